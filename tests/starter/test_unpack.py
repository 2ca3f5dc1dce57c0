"""The shipped weights come back as the training's: the names, the sizes, and the same tokens."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import export
import unpack


@pytest.fixture(scope="module")
def shards(starter: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shards")
    unpack.unpack(starter, out)
    return out


def test_exported_again_they_say_the_same(starter: Path, shards: Path, tmp_path: Path) -> None:
    import mlx.core as mx

    from runtime import open_model

    shutil.copy(starter / "tokenizer.json", tmp_path)
    export.build(shards, tmp_path, 8, 64)
    prompt = mx.array([[*range(300, 340)]])
    want, got = (open_model(folder)(prompt) for folder in (starter, tmp_path))
    assert mx.array_equal(want.argmax(-1), got.argmax(-1))
    assert json.loads((tmp_path / "config.json").read_text()) == json.loads((starter / "config.json").read_text())


def test_sizes_are_the_training_models(shards: Path) -> None:
    torch = pytest.importorskip("torch", reason="the training model needs torch")
    import train

    model = train.load(shards)
    assert json.loads(json.dumps(model.sizes())) == json.loads((shards / "sizes.json").read_text())
    assert all(torch.isfinite(p).all() for p in model.parameters())
