"""What a model needs beside what is free, as people are told before they load it."""

import json
import shutil
from pathlib import Path

import pytest

from mlx_harmony.models import outlook
from mlx_harmony.models.folder import describe
from mlx_harmony.models.outlook import needs_of


def test_a_model_fits_whole_or_in_part_or_not_at_all(fx1: Path) -> None:
    entry = describe("llama", fx1, "folder")
    verdicts = []
    for free in (10**10, 209_000_000, 10**7):
        needs = needs_of(entry, free)
        assert needs is not None and needs.free == free
        verdicts.append(needs.verdict)
    assert verdicts == ["fits", "tight", "too large"]


def test_a_graphics_cards_memory_is_not_known_from_here(fx1: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlook, "likely_device", lambda: "cuda")
    needs = needs_of(describe("llama", fx1, "folder"), 1)
    assert needs is not None and (needs.verdict, needs.free) == ("unknown", None)
    assert not needs.forecast.plain


def test_a_folder_without_weights_has_no_forecast(fx1: Path, tmp_path: Path) -> None:
    shutil.copy(fx1 / "config.json", tmp_path)
    assert needs_of(describe("empty", tmp_path, "folder")) is None
    (tmp_path / "config.json").write_text("{")
    assert needs_of(describe("broken", tmp_path, "folder")) is None


def test_a_changed_folder_is_looked_at_again(fx1: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(fx1, tmp_path / "model"))
    before = needs_of(describe("model", folder, "folder"), 10**10)
    config = json.loads((folder / "config.json").read_text()) | {"num_key_value_heads": 1}
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    after = needs_of(describe("model", folder, "folder"), 10**10)
    assert before is not None and after is not None
    assert after.forecast.kv == before.forecast.kv // 2
