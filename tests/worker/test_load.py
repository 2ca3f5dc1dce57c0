"""A folder becomes a model with a true card, or a clear error; progress can stop it."""

import json
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm.utils import load_model, quantize_model, save_model
from safetensors.numpy import load_file, save_file

from mlx_harmony.errors import LoadFailed, ShuttingDown, UnsupportedArchitecture
from mlx_harmony.records import LoadOptions
from mlx_harmony.worker.device import KEPT_HALF, KEPT_QUANTISED, NO_BLAS, Device, free_bytes, load_blas, prepare, wired
from mlx_harmony.worker.load import LoadedModel, load
from mlx_harmony.worker.loop import guarded
from mlx_harmony.worker.room import Free


def quiet(_stage: str, _fraction: float) -> None:
    """A progress that says nothing."""


def opened(folder: Path, device: Device, free: Free = free_bytes, **options: Any) -> LoadedModel:
    return load(LoadOptions(path=str(folder), **options), device, quiet, free)


@pytest.fixture
def folder(fx1: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(fx1, tmp_path / "model"))


def change_config(folder: Path, **fields: object) -> None:
    config = json.loads((folder / "config.json").read_text()) | fields
    (folder / "config.json").write_text(json.dumps(config))


def test_the_card_says_what_was_loaded(llama: LoadedModel, gpt_oss: LoadedModel) -> None:
    card = llama.card
    assert (card.format, card.architecture, card.context_length, card.vocabulary_size) == ("template", "llama", 8192, 392)
    assert card.parameters * 4 == card.weight_bytes
    assert re.fullmatch(r"[0-9a-f]{16}\.[0-9a-f]{16}", card.fingerprint)
    assert (gpt_oss.card.format, gpt_oss.card.architecture) == ("harmony", "gpt_oss")


def test_progress_never_falls_and_ends_at_one(fx2: Path, device: Device) -> None:
    seen: list[tuple[str, float]] = []
    load(LoadOptions(path=str(fx2)), device, lambda stage, fraction: seen.append((stage, fraction)))
    fractions = [fraction for _, fraction in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert len([stage for stage, _ in seen if stage == "Reading weights"]) >= 4


def test_a_progress_that_raises_stops_the_load(fx1: Path, device: Device) -> None:
    def stop(_stage: str, fraction: float) -> None:
        if fraction > 0.3:
            raise ShuttingDown("enough")

    with pytest.raises(ShuttingDown):
        load(LoadOptions(path=str(fx1)), device, stop)


def test_the_context_is_capped_by_the_options_but_never_raised(fx1: Path, device: Device) -> None:
    assert opened(fx1, device, max_context_tokens=100).card.context_length == 100
    assert opened(fx1, device, max_context_tokens=10**6).card.context_length == 8192


@pytest.mark.parametrize("model_type", ["no_such_model", "cache", "base", "__init__"])
def test_an_unknown_architecture_is_named(folder: Path, device: Device, model_type: str) -> None:
    change_config(folder, model_type=model_type)
    with pytest.raises(UnsupportedArchitecture, match=model_type):
        opened(folder, device)


@pytest.mark.parametrize("fields", [{"hidden_size": 128}, {"num_hidden_layers": 3}, {"num_hidden_layers": 1}])
def test_weights_that_do_not_fit_the_config_are_refused(folder: Path, device: Device, fields: dict[str, object]) -> None:
    change_config(folder, **fields)
    with pytest.raises(LoadFailed):
        opened(folder, device)


def test_what_a_library_raises_over_an_odd_config_is_told_too(folder: Path, device: Device) -> None:
    change_config(folder, num_attention_heads=None)
    failed = guarded(lambda: opened(folder, device) and None, LoadFailed)
    assert failed is not None
    assert failed.code == "load_failed"
    assert "num_attention_heads" in failed.message


@pytest.mark.parametrize("content", ["", "{", "{}", '{"model": {"type": "BPE"}}'])
def test_a_broken_tokenizer_is_refused(folder: Path, device: Device, content: str) -> None:
    (folder / "tokenizer.json").write_text(content)
    with pytest.raises(LoadFailed):
        opened(folder, device)


def test_code_beside_the_tokenizer_is_never_run(folder: Path, device: Device) -> None:
    (folder / "tokenization_evil.py").write_text("import sys; sys.modules['ran_evil'] = sys")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings |= {"auto_map": {"AutoTokenizer": ["tokenization_evil.Evil", None]}, "tokenizer_class": "Evil"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    try:
        opened(folder, device)
    except LoadFailed as error:
        assert error.hint
    assert "ran_evil" not in sys.modules


def quantised(fx1: Path, into: Path) -> Path:
    """FX1 with 8-bit weights in bf16 scales, as hubs have them."""
    shutil.copytree(fx1, into)
    for file in into.glob("model*"):
        file.unlink()
    model, config = load_model(fx1)
    model.update({})
    model.set_dtype(mx.bfloat16)
    model, config = quantize_model(model, config, 32, 8)
    save_model(into, model)
    (into / "config.json").write_text(json.dumps(config))
    return into


def dtypes(model: nn.Module) -> set[mx.Dtype]:
    return {leaf.dtype for _, leaf in tree_flatten(model.parameters())}


def test_on_a_cpu_quantised_weights_become_float32(fx1: Path, llama: LoadedModel, device: Device, tmp_path: Path) -> None:
    loaded = opened(quantised(fx1, tmp_path / "q"), device)
    assert dtypes(loaded.model) == {mx.float32}
    assert loaded.card.parameters == llama.card.parameters
    prompt = mx.array([[5, 6, 7, 8]])
    np.testing.assert_allclose(np.array(loaded.model(prompt)), np.array(llama.model(prompt)), atol=0.6)


def test_weights_that_would_not_fit_as_float32_stay_as_they_are_and_say_so(fx1: Path, device: Device, tmp_path: Path) -> None:
    def little(_device: Device) -> int:
        return 250_000_000

    loaded = opened(quantised(fx1, tmp_path / "q"), device, little)
    assert mx.uint32 in dtypes(loaded.model)
    assert loaded.card.notes == (KEPT_QUANTISED,)
    assert opened(fx1, device, little).card.notes == (KEPT_HALF,)


def test_other_devices_are_left_as_mlx_has_them(fx1: Path, tmp_path: Path) -> None:
    seen: list[str] = []
    loaded = load(LoadOptions(path=str(quantised(fx1, tmp_path / "q"))), Device(kind="cuda"), lambda stage, _fraction: seen.append(stage))
    assert any(stage.startswith("Warming up") for stage in seen)
    assert mx.uint32 in dtypes(loaded.model)
    assert loaded.card.device == "cuda"


def test_a_cpu_without_openblas_is_told(fx1: Path) -> None:
    assert opened(fx1, Device(kind="cpu")).card.notes == (NO_BLAS,)


def test_the_blas_of_this_machine_is_found_and_kept() -> None:
    assert prepare().blas == prepare().blas
    if load_blas():
        assert "blas" in prepare().blas or "mkl" in prepare().blas


def test_padded_rows_count_as_vocabulary(llama: LoadedModel) -> None:
    assert llama.card.vocabulary_size == len(llama.tokenizer) + 8


def test_a_shard_with_a_tensor_too_many_is_refused(folder: Path, device: Device) -> None:
    file = sorted(folder.glob("*.safetensors"))[0]
    save_file({**load_file(file), "model.layers.0.extra": np.ones(3, np.float32)}, file)
    with pytest.raises(LoadFailed, match="do not fit"):
        opened(folder, device)


class Wiring:
    """mlx.core as far as wired memory goes."""

    def __init__(self) -> None:
        self.limit = 5
        self.set: list[int] = []

    def device_info(self) -> dict[str, int]:
        return {"max_recommended_working_set_size": 700}

    def set_wired_limit(self, limit: int) -> int:
        before, self.limit = self.limit, limit
        self.set.append(limit)
        return before

    def synchronize(self) -> None:
        """Nothing is under way."""


def test_what_a_mac_s_models_take_already_is_not_free_to_others() -> None:
    mlx = SimpleNamespace(device_info=lambda: {"max_recommended_working_set_size": 700}, get_active_memory=lambda: 200)
    assert free_bytes(Device(kind="metal"), mlx) == 500
    mlx.get_active_memory = lambda: 900
    assert free_bytes(Device(kind="metal"), mlx) == 0


def test_memory_is_wired_while_a_model_is_loaded_and_no_longer() -> None:
    mlx = Wiring()
    with pytest.raises(ShuttingDown), wired(Device(kind="metal"), mlx):
        assert mlx.limit == 700
        raise ShuttingDown("enough")
    assert mlx.limit == 5
    with wired(Device(kind="cuda"), mlx):
        assert mlx.limit == 5
    assert mlx.set == [700, 5]
