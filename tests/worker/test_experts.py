"""Long chunks go through unpacked experts: the same answer, nothing kept, and only where it pays."""

import json
import shutil
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx_lm.models.switch_layers import QuantizedSwitchLinear
from mlx_lm.utils import load_model, quantize_model, save_model

from mlx_harmony.records import LoadOptions
from mlx_harmony.worker import experts
from mlx_harmony.worker.device import Device
from mlx_harmony.worker.experts import WORTH, UnpackingSwitchLinear, unpack_for_long_chunks
from mlx_harmony.worker.load import LoadedModel, load
from tests.worker.company import alone, ask, text

EXPERTS = 4
PER_TOKEN = 2
LONG = 3 * WORTH * EXPERTS // PER_TOKEN
"""Tokens that are well above the length from which unpacking is worth it."""


def quiet(_stage: str, _fraction: float) -> None:
    """A progress that says nothing."""


@pytest.fixture(scope="module")
def mxfp4(fx2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """FX2 with its experts in mxfp4, as gpt-oss is published."""
    folder = tmp_path_factory.mktemp("mxfp4") / "model"
    shutil.copytree(fx2, folder)
    for file in folder.glob("model*"):
        file.unlink()
    model, config = load_model(fx2)
    packs = lambda path, part: ".experts." in path and hasattr(part, "to_quantized")  # noqa: E731
    model, config = quantize_model(model, config, 32, 4, mode="mxfp4", quant_predicate=packs)
    save_model(folder, model)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def opened(folder: Path, kind: str) -> LoadedModel:
    return load(LoadOptions(path=str(folder)), Device(kind=kind), quiet)


def expert_kinds(model: nn.Module) -> set[type]:
    return {type(part) for part in model.modules() if isinstance(part, QuantizedSwitchLinear)}


class Counting:
    """Counts how often experts are unpacked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times = 0
        unpack = UnpackingSwitchLinear._unpacked

        def counted(layer: UnpackingSwitchLinear, x: mx.array) -> mx.array:
            self.times += 1
            return unpack(layer, x)

        monkeypatch.setattr(UnpackingSwitchLinear, "_unpacked", counted)


def test_unpacked_experts_give_the_same_logits(mxfp4: Path) -> None:
    plain, unpacking = load_model(mxfp4)[0], load_model(mxfp4)[0]
    assert unpack_for_long_chunks(unpacking) > 0
    tokens = mx.array([[(at * 7) % 300 + 20 for at in range(LONG)]])
    np.testing.assert_allclose(np.array(unpacking(tokens)), np.array(plain(tokens)), rtol=1e-4, atol=1e-4)


def test_an_answer_is_the_same_with_and_without(mxfp4: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counting = Counting(monkeypatch)
    request = ask("a", length=LONG + 20)
    packed = alone(opened(mxfp4, "metal"), request)
    assert counting.times == 0
    unpacked = alone(opened(mxfp4, "cuda"), request)
    assert counting.times > 0
    assert text(unpacked) == text(packed) != ""


def test_a_single_token_stays_with_the_packed_experts(mxfp4: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model(mxfp4)[0]
    unpack_for_long_chunks(model)
    counting = Counting(monkeypatch)
    mx.eval(model(mx.array([[5]])), model(mx.array([[5] * (WORTH * EXPERTS // PER_TOKEN - 1)])))
    assert counting.times == 0
    mx.eval(model(mx.array([[5] * (WORTH * EXPERTS // PER_TOKEN)])))
    assert counting.times == 3 * len(model.layers)


def test_what_was_unpacked_is_not_kept(mxfp4: Path) -> None:
    model = load_model(mxfp4)[0]
    unpack_for_long_chunks(model)
    before, kept = mx.get_active_memory(), sum(leaf.nbytes for leaf in _arrays(model))
    mx.eval(mx.sum(model(mx.array([[5] * LONG]))))
    assert sum(leaf.nbytes for leaf in _arrays(model)) == kept
    assert mx.get_active_memory() - before < model.layers[0].mlp.experts.up_proj.weight.nbytes


def _arrays(model: nn.Module) -> list[mx.array]:
    from mlx.utils import tree_flatten

    return [leaf for _, leaf in tree_flatten(model.parameters())]


@pytest.mark.parametrize(("kind", "unpacks"), [("cuda", True), ("metal", False)])
def test_only_cuda_unpacks(mxfp4: Path, kind: str, unpacks: bool) -> None:
    loaded = opened(mxfp4, kind)
    assert expert_kinds(loaded.model) == {UnpackingSwitchLinear if unpacks else QuantizedSwitchLinear}


def test_no_chunk_is_shorter_than_what_is_worth_unpacking(mxfp4: Path) -> None:
    assert opened(mxfp4, "cuda").least_chunk == 2 * WORTH * EXPERTS // PER_TOKEN
    assert opened(mxfp4, "metal").least_chunk == experts_free_chunk()


def experts_free_chunk() -> int:
    from mlx_harmony.worker.pace import SMALLEST

    return SMALLEST


def test_a_model_without_packed_experts_is_left_alone(llama: LoadedModel) -> None:
    assert experts.unpack_for_long_chunks(llama.model) == 0
