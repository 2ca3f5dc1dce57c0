"""What a model needs beside what is free, as people are told before they load it."""

import json
import shutil
from pathlib import Path

import pytest

from mlx_harmony.models import outlook
from mlx_harmony.models.folder import describe
from mlx_harmony.models.outlook import Outlook, needs_of
from mlx_harmony.records import ModelCard


def test_a_model_fits_whole_or_in_part_or_not_at_all(fx1: Path) -> None:
    entry = describe("llama", fx1, "folder")
    verdicts = []
    for free in (10**10, 209_000_000, 10**7):
        needs = needs_of(entry, free)
        assert needs is not None and needs.free == free
        verdicts.append(needs.verdict)
    assert verdicts == ["fits", "tight", "too large"]


def test_nothing_is_promised_of_a_graphics_card_that_says_nothing(fx1: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlook, "likely_device", lambda: "cuda")
    monkeypatch.setattr(outlook, "graphics_free_bytes", lambda: None)
    needs = needs_of(describe("llama", fx1, "folder"))
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


def test_a_shorter_context_needs_less_and_none_is_longer_than_the_model_s_own(fx1: Path) -> None:
    entry = describe("llama", fx1, "folder")
    short, whole, beyond = (needs_of(entry, 10**10, context) for context in (100, None, 10**6))
    assert short is not None and whole is not None and beyond is not None
    assert short.forecast.context == 100 and short.forecast.kv < whole.forecast.kv
    assert beyond == whole and whole.forecast.context == 8192


def test_what_was_seen_makes_the_next_forecast(fx1: Path, tmp_path: Path) -> None:
    entry = describe("llama", fx1, "folder")
    before = Outlook(str(tmp_path)).needs(entry, 10**10)
    card = ModelCard(
        format="template",
        architecture="llama",
        context_length=8192,
        vocabulary_size=392,
        weight_bytes=500_000,
        parameters=1,
        device=outlook.likely_device(),
        fingerprint="f",
        peak_bytes=900_500_000,
    )
    Outlook(str(tmp_path)).observe(entry, card, None)
    after = Outlook(str(tmp_path)).needs(entry, 10**10)
    assert before is not None and after is not None
    assert (after.forecast.working, after.forecast.seen, before.forecast.seen) == (900_000_000, True, False)
    assert after.least - before.least == after.forecast.working - before.forecast.working


def test_what_a_load_needs_is_told_beside_what_there_is(fx1: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry, asked = describe("llama", fx1, "folder"), Outlook(str(tmp_path))
    monkeypatch.setattr(outlook, "available_bytes", lambda: 10**10)
    need = asked.need(entry)
    assert need is not None and need.least < need.usual and (need.free, need.limit) == (10**10, None)
    monkeypatch.setattr(outlook, "likely_device", lambda: "metal")
    monkeypatch.setattr(outlook, "wired_limit_bytes", lambda: 3 * 10**9)
    asked.taken = lambda: 10**9
    need, needs = asked.need(entry), asked.needs(entry)
    assert need is not None and (need.free, need.limit) == (None, 3 * 10**9)
    assert needs is not None and needs.free == 2 * 10**9
