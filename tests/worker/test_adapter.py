"""LoRA weights over a model: they change what it answers as mlx-lm has it, leave the model alone, and are refused where they do not fit."""

import json
import shutil
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm.tuner.utils import linear_to_lora_layers
from mlx_lm.utils import load as stock_load
from mlx_lm.utils import load_model, quantize_model, save_model
from safetensors.numpy import load_file, save_file

from mlx_harmony.errors import AdapterMismatch, LoadFailed
from mlx_harmony.records import LoadOptions
from mlx_harmony.worker.adapter import CONFIG, WEIGHTS, check_adapter, digest_of
from mlx_harmony.worker.cache.opening import open_cache
from mlx_harmony.worker.device import Device
from mlx_harmony.worker.load import LoadedModel, load
from tests.fixtures.adapters import build_adapter

TOKENS = mx.array([[5, 30, 31, 32, 77, 120]])
PARAMETERS = {"rank": 4, "scale": 10.0, "dropout": 0.5}


def trained(base: Path, folder: Path, kind: str = "lora", **parameters: Any) -> Path:
    """An adapter as mlx_lm.lora writes it: its own layers over the base, the half that training begins with at zero filled."""
    model, _ = load_model(base)
    model.freeze()
    settings = PARAMETERS | parameters
    linear_to_lora_layers(model, 2, settings, use_dora=kind == "dora")
    keys = iter(mx.random.split(mx.random.key(3), 100))
    filled = [
        (name, mx.random.normal(leaf.shape, key=next(keys)) / 4 if name.endswith("lora_b") else leaf)
        for name, leaf in tree_flatten(model.trainable_parameters())
    ]
    folder.mkdir(parents=True)
    mx.save_safetensors(str(folder / WEIGHTS), dict(filled))
    config = {"model": str(base), "fine_tune_type": kind, "num_layers": 2, "lora_parameters": settings}
    (folder / CONFIG).write_text(json.dumps(config))
    return folder


def opened(base: Path, device: Device, adapter: Path | None = None) -> LoadedModel:
    return load(LoadOptions(path=str(base), adapter=str(adapter or "")), device, lambda _stage, _fraction: None)


def logits(model: Any) -> np.ndarray:
    return np.array(model(TOKENS).astype(mx.float32))


@pytest.fixture(scope="module")
def adapter(fx1: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(fx1, tmp_path_factory.mktemp("adapters") / "manners")


@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_it_answers_as_mlx_lm_has_it_and_not_as_the_base(kind: str, fx1: Path, device: Device, tmp_path: Path, llama: LoadedModel) -> None:
    before = logits(llama.model)
    folder = trained(fx1, tmp_path / "adapter", kind)
    over = opened(fx1, device, folder)
    stock, _ = stock_load(str(fx1), adapter_path=str(folder))
    assert np.allclose(logits(over.model), logits(stock), atol=1e-4)
    assert np.abs(logits(over.model) - before).max() > 0.1
    assert np.array_equal(logits(llama.model), before) and np.array_equal(logits(opened(fx1, device).model), before)


def test_its_dropout_is_off(fx1: Path, device: Device, adapter: Path) -> None:
    model = opened(fx1, device, adapter).model
    assert np.array_equal(logits(model), logits(model))


def test_it_goes_over_a_quantised_model_too(fx1: Path, device: Device, tmp_path: Path) -> None:
    model, config = load_model(fx1)
    model, config = quantize_model(model, config, group_size=32, bits=4)
    base = Path(shutil.copytree(fx1, tmp_path / "packed"))
    for file in base.glob("model*"):
        file.unlink()
    save_model(base, model)
    (base / "config.json").write_text(json.dumps(config))
    folder = trained(base, tmp_path / "adapter")
    stock, _ = stock_load(str(base), adapter_path=str(folder))
    assert np.allclose(logits(opened(base, device, folder).model), logits(stock), atol=1e-3)


def test_whole_weights_in_place_of_pairs_are_applied(fx1: Path, device: Device, tmp_path: Path, llama: LoadedModel) -> None:
    folder = tmp_path / "full"
    folder.mkdir()
    name = "model.layers.1.mlp.down_proj.weight"
    save_file({name: np.zeros((64, 128), np.float32)}, folder / WEIGHTS)
    (folder / CONFIG).write_text(json.dumps({"model": str(fx1), "fine_tune_type": "full", "num_layers": 2}))
    over = opened(fx1, device, folder).model
    assert not np.array(dict(tree_flatten(over.parameters()))[name]).any()
    assert np.abs(logits(over) - logits(llama.model)).max() > 0.01


@pytest.mark.parametrize("wrong", [{"width": 48}, {"rank": 8}])
def test_other_shapes_and_ranks_are_named(wrong: dict[str, int], fx1: Path, device: Device, tmp_path: Path) -> None:
    folder = build_adapter(tmp_path / "adapter", str(fx1), **wrong)
    config = json.loads((folder / CONFIG).read_text())
    config["lora_parameters"]["rank"] = 4
    (folder / CONFIG).write_text(json.dumps(config))
    with pytest.raises(AdapterMismatch, match=r"lora_[ab]: adapter shape \(") as refused:
        opened(fx1, device, folder)
    assert "mlx_lm.lora" in refused.value.hint


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"fine_tune_type": "magic"}, "magic"),
        ({"peft_type": "LORA"}, "LORA"),
        ({"num_layers": 10**9}, "num_layers"),
        ({"num_layers": None}, "num_layers"),
        ({"lora_parameters": None}, "rank"),
        ({"lora_parameters": PARAMETERS | {"rank": 10**6}}, "rank"),
        ({"lora_parameters": PARAMETERS | {"scale": "loud"}}, "scale"),
        ({"lora_parameters": PARAMETERS | {"dropout": 1}}, "dropout"),
        ({"lora_parameters": PARAMETERS | {"keys": [1]}}, "keys"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused_before_mlx_sees_it(
    change: dict[str, Any], named: str, adapter: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(adapter, tmp_path / "adapter"))
    config = json.loads((folder / CONFIG).read_text()) | change
    (folder / CONFIG).write_text(json.dumps(config))
    with pytest.raises(AdapterMismatch, match=named):
        check_adapter(str(folder))


def test_half_a_pair_would_answer_at_random_and_is_refused(adapter: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(adapter, tmp_path / "adapter"))
    weights = load_file(folder / WEIGHTS)
    lonely = next(name for name in weights if name.endswith("lora_a"))
    del weights[lonely]
    save_file(weights, folder / WEIGHTS)
    with pytest.raises(AdapterMismatch, match="half of a pair"):
        check_adapter(str(folder))
    save_file({}, folder / WEIGHTS)
    with pytest.raises(AdapterMismatch, match="no weights"):
        check_adapter(str(folder))


@pytest.mark.parametrize("content", [b"", b"\xff" * 200, (10**9).to_bytes(8, "little") + b"{}"])
def test_a_damaged_file_of_weights_is_named(content: bytes, adapter: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(adapter, tmp_path / "adapter"))
    (folder / WEIGHTS).write_bytes(content)
    with pytest.raises(LoadFailed, match=WEIGHTS):
        check_adapter(str(folder))


def test_the_fingerprint_changes_with_the_weights_and_not_with_their_time(
    fx1: Path, device: Device, tmp_path: Path, llama: LoadedModel
) -> None:
    one, other = (build_adapter(tmp_path / str(seed), str(fx1), seed=seed) for seed in (1, 2))
    cards = [opened(fx1, device, folder).card for folder in (one, other)]
    assert len({llama.card.fingerprint, *(card.fingerprint for card in cards)}) == 3
    before = digest_of(one)
    (one / WEIGHTS).touch()
    assert digest_of(one) == before


def test_what_the_base_and_its_adapters_read_is_never_shared(fx1: Path, device: Device, adapter: Path, tmp_path: Path) -> None:
    """One folder on disk for all of them, and still each finds only its own."""
    other = build_adapter(tmp_path / "other", str(fx1))
    identities = []
    for folder in (None, adapter, other):
        options = LoadOptions(path=str(fx1), adapter=str(folder or ""), cache_folder=str(tmp_path / "cache"), cache_disk_bytes=10**9)
        cache = open_cache(opened(fx1, device, folder), options)
        identities.append(cache.identity)
        cache.close()
    assert all(identity is not None for identity in identities)
    assert len({identity.key for identity in identities if identity}) == 3
    assert [identity.model for identity in identities if identity] == [str(path.resolve()) for path in (fx1, adapter, other)]
    assert "adapter" in identities[0].differs_from(identities[1])  # type: ignore[union-attr,arg-type]
