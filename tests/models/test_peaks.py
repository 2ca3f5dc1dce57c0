"""What models were seen to take: kept over restarts, by state and device, and put into the next forecast."""

from pathlib import Path

import msgspec
import pytest

from mlx_harmony.models.forecast import CHUNK, Forecast
from mlx_harmony.models.peaks import PEAKS_FILE, Peak, Peaks, calibrated
from mlx_harmony.records import ModelCard, ModelEntry, Timings

MB = 10**6
ENTRY = ModelEntry(id="a", path="/models/a", bytes=5, architecture="llama", format="template", source="folder", modified_at=7.5)
CARD = ModelCard(
    format="template",
    architecture="llama",
    context_length=4096,
    vocabulary_size=10,
    weight_bytes=100 * MB,
    parameters=1,
    device="cpu",
    fingerprint="f",
    peak_bytes=250 * MB,
)


def answered(peak: int, *, read: int = 10, kv: int = 0, kept: int = 0) -> Timings:
    return Timings(
        prompt_n=read, cached_n=0, prompt_ms=1, predicted_n=1, predicted_ms=1, kv_bytes=kv * MB, peak_bytes=peak * MB, kept_bytes=kept * MB
    )


def test_what_a_load_took_beside_its_weights_is_kept_over_restarts(tmp_path: Path) -> None:
    Peaks(str(tmp_path)).note(ENTRY, CARD, None)
    assert Peaks(str(tmp_path)).of(ENTRY, "cpu") == Peak(least=150 * MB, most=150 * MB)
    assert (tmp_path / PEAKS_FILE).stat().st_mode & 0o777 == 0o600


def test_an_answer_raises_it_by_what_was_neither_kv_nor_kept(tmp_path: Path) -> None:
    """Whether the KV of an answer are among what is kept when it ends is not known: so there are two bounds."""
    peaks = Peaks(str(tmp_path))
    peaks.note(ENTRY, CARD, None)
    peaks.note(ENTRY, CARD, answered(500, kv=50, kept=60))
    assert peaks.of(ENTRY, "cpu") == Peak(least=290 * MB, most=340 * MB, read=10)


def test_an_older_peak_tells_no_more_than_how_long_a_prompt_was(tmp_path: Path) -> None:
    """Kept prompts that were dropped since would look like memory that the model needs."""
    peaks = Peaks(str(tmp_path))
    peaks.note(ENTRY, CARD, None)
    peaks.note(ENTRY, CARD, answered(900, kv=50, kept=0, read=CHUNK), grew=False)
    assert peaks.of(ENTRY, "cpu") == Peak(least=150 * MB, most=150 * MB, read=CHUNK)


def test_only_so_many_models_are_remembered_the_latest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlx_harmony.models.peaks.MOST_MODELS", 2)
    peaks = Peaks(str(tmp_path))
    entries = [msgspec.structs.replace(ENTRY, path=f"/models/{name}") for name in "abc"]
    for entry in entries:
        peaks.note(entry, CARD, None)
    assert [peaks.of(entry, "cpu") is not None for entry in entries] == [False, True, True]


def test_what_brings_no_news_is_not_written(tmp_path: Path) -> None:
    peaks = Peaks(str(tmp_path))
    peaks.note(ENTRY, CARD, None)
    (tmp_path / PEAKS_FILE).unlink()
    peaks.note(ENTRY, CARD, None)
    assert not (tmp_path / PEAKS_FILE).exists()


def test_changed_files_and_another_device_begin_anew(tmp_path: Path) -> None:
    peaks = Peaks(str(tmp_path))
    peaks.note(ENTRY, CARD, None)
    assert peaks.of(ENTRY, "cuda") is None
    assert peaks.of(msgspec.structs.replace(ENTRY, modified_at=8.0), "cpu") is None
    assert peaks.of(msgspec.structs.replace(ENTRY, adapter="/models/lora"), "cpu") is None


def test_nothing_is_learnt_where_nothing_was_measured(tmp_path: Path) -> None:
    peaks = Peaks(str(tmp_path))
    peaks.note(ENTRY, msgspec.structs.replace(CARD, peak_bytes=0), None)
    peaks.note(ENTRY, CARD, answered(0))
    assert peaks.of(ENTRY, "cpu") is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"a": 1}', b"\xff" * 50])
def test_a_damaged_file_costs_what_it_knew_and_no_more(content: bytes, tmp_path: Path) -> None:
    (tmp_path / PEAKS_FILE).write_bytes(content)
    peaks = Peaks(str(tmp_path))
    assert peaks.of(ENTRY, "cpu") is None
    peaks.note(ENTRY, CARD, None)
    assert Peaks(str(tmp_path)).of(ENTRY, "cpu") is not None


def test_a_home_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    peaks = Peaks(str(tmp_path / "file"))
    peaks.note(ENTRY, CARD, None)
    assert peaks.of(ENTRY, "cpu") == Peak(least=150 * MB, most=150 * MB)


def test_a_forecast_is_raised_at_once_and_lowered_once_a_long_prompt_was_read() -> None:
    forecast = Forecast(weights=10, kv=5, working=100, context=1)
    assert calibrated(forecast, None) is forecast
    assert calibrated(forecast, Peak(least=70, most=80, read=5)) is forecast
    assert calibrated(forecast, Peak(least=70, most=130, read=CHUNK)) is forecast
    raised = calibrated(forecast, Peak(least=130, most=150, read=5))
    assert (raised.total, raised.seen) == (145, True)
    lowered = calibrated(forecast, Peak(least=60, most=70, read=CHUNK))
    assert (lowered.total, lowered.seen) == (85, True)
