"""When models were last asked for: kept over restarts, and never worth an error."""

from pathlib import Path

import pytest

from mlx_harmony.models.outlook import Outlook
from mlx_harmony.models.used import AGAIN_S, USED_FILE, Used
from mlx_harmony.records import ModelCard, ModelEntry


@pytest.fixture
def model(tmp_path: Path) -> str:
    (tmp_path / "model").mkdir()
    return str(tmp_path / "model")


def test_a_use_is_kept_for_the_next_start(tmp_path: Path, model: str) -> None:
    Used(str(tmp_path)).note(model, 1000.0)
    assert Used(str(tmp_path)).times() == {model: 1000.0}
    assert (tmp_path / USED_FILE).stat().st_mode & 0o777 == 0o600


def test_a_model_asked_again_and_again_is_written_down_now_and_then(tmp_path: Path, model: str) -> None:
    used = Used(str(tmp_path))
    for now in (1000.0, 1001.0, 1000.0 + AGAIN_S - 1):
        used.note(model, now)
    assert used.times() == {model: 1000.0}
    used.note(model, 1000.0 + AGAIN_S)
    assert used.times() == {model: 1000.0 + AGAIN_S}


def test_models_that_are_gone_are_forgotten_and_others_are_kept(tmp_path: Path, model: str) -> None:
    (tmp_path / "other").mkdir()
    Used(str(tmp_path)).note(model, 1.0)
    Used(str(tmp_path)).note(str(tmp_path / "other"), 2.0)
    Path(model).rmdir()
    Used(str(tmp_path)).note(str(tmp_path / "other"), 9000.0)
    assert Used(str(tmp_path)).times() == {str(tmp_path / "other"): 9000.0}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"a": "b"}', b"[" * 100_000])
def test_a_damaged_file_is_as_none_and_is_replaced(content: bytes, tmp_path: Path, model: str) -> None:
    (tmp_path / USED_FILE).write_bytes(content)
    used = Used(str(tmp_path))
    assert used.times() == {}
    used.note(model, 5.0)
    assert used.times() == {model: 5.0}


def test_a_home_that_cannot_be_written_to_stops_nobody(tmp_path: Path, model: str) -> None:
    (tmp_path / "home").write_text("a file")
    used = Used(str(tmp_path / "home"))
    used.note(model)
    assert used.times() == {}


def test_a_model_that_was_loaded_was_used(tmp_path: Path, model: str) -> None:
    entry = ModelEntry(id="m", path=model, bytes=1, architecture="llama", format="raw", source="folder")
    card = ModelCard(
        format="raw", architecture="llama", context_length=1, vocabulary_size=1, weight_bytes=1, parameters=1, device="cpu", fingerprint=""
    )
    Outlook(str(tmp_path)).observe(entry, card, None)
    assert list(Used(str(tmp_path)).times()) == [model]
