"""What is done for a CPU is done for no other device."""

import mlx.core as mx
import mlx.nn as nn
import pytest

from mlx_harmony.worker import attention, cpu
from mlx_harmony.worker.attention import attend
from mlx_harmony.worker.cpu import quicken
from mlx_harmony.worker.device import Device
from mlx_harmony.worker.few_rows import FilledLinear


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """One large layer, in a process that computes attention as mlx does."""
    monkeypatch.setattr(mx.fast, "scaled_dot_product_attention", attention._mlx)
    return nn.Sequential(nn.Linear(1024, 1024))


@pytest.mark.parametrize("kind", ["metal", "cuda"])
def test_a_gpu_is_left_alone(model: nn.Module, kind: str) -> None:
    quicken(model, Device(kind=kind))  # type: ignore[arg-type]
    assert mx.fast.scaled_dot_product_attention is attention._mlx
    assert type(model.layers[0]) is nn.Linear


@pytest.mark.parametrize(("blas", "quicker", "kind"), [("some", True, FilledLinear), ("some", False, nn.Linear), ("", True, nn.Linear)])
def test_a_cpu_fills_rows_up_where_its_blas_is_quicker_so(
    model: nn.Module, monkeypatch: pytest.MonkeyPatch, blas: str, quicker: bool, kind: type
) -> None:
    monkeypatch.setattr(cpu, "is_worth_it", lambda: quicker)
    quicken(model, Device(kind="cpu", blas=blas))
    assert mx.fast.scaled_dot_product_attention is attend
    assert type(model.layers[0]) is kind
