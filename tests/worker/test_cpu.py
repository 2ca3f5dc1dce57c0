"""What is done for a CPU is done for no other device."""

import mlx.core as mx
import mlx.nn as nn
import pytest
from mlx_lm.models.switch_layers import SwitchLinear

from mlx_harmony.worker import attention, cpu
from mlx_harmony.worker.attention import attend
from mlx_harmony.worker.cpu import quicken
from mlx_harmony.worker.device import Device
from mlx_harmony.worker.expert_tiles import TiledSwitchLinear
from mlx_harmony.worker.few_rows import FilledLinear


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """One large layer and one of experts, in a process that computes attention as mlx does."""
    monkeypatch.setattr(mx.fast, "scaled_dot_product_attention", attention._mlx)
    return nn.Sequential(nn.Linear(1024, 1024), SwitchLinear(8, 8, 2))


@pytest.mark.parametrize("kind", ["metal", "cuda"])
def test_a_gpu_is_left_alone(model: nn.Module, kind: str) -> None:
    quicken(model, Device(kind=kind))  # type: ignore[arg-type]
    assert mx.fast.scaled_dot_product_attention is attention._mlx
    assert [type(layer) for layer in model.layers] == [nn.Linear, SwitchLinear]


@pytest.mark.parametrize(
    ("blas", "quicker", "kinds"),
    [
        ("some", True, [FilledLinear, TiledSwitchLinear]),
        ("some", False, [nn.Linear, TiledSwitchLinear]),
        ("", True, [nn.Linear, SwitchLinear]),
    ],
)
def test_a_cpu_multiplies_many_rows_at_once_where_its_blas_is_quicker_so(
    model: nn.Module, monkeypatch: pytest.MonkeyPatch, blas: str, quicker: bool, kinds: list[type]
) -> None:
    monkeypatch.setattr(cpu, "is_worth_it", lambda: quicker)
    quicken(model, Device(kind="cpu", blas=blas))
    assert mx.fast.scaled_dot_product_attention is attend
    assert [type(layer) for layer in model.layers] == kinds
