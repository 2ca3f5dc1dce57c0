"""What models were seen to take of the memory, kept in the app's home, so that the next forecast is nearer. Knows no engines and no mlx.

A model's weights and its keys and values are exact figures already; what a forecast can only estimate is the rest: what lies between the
layers, what the process itself takes, what reading the weights took for a moment. So that is what is kept.
"""

import logging
import threading
from pathlib import Path

import msgspec

from mlx_harmony.errors import StorageError
from mlx_harmony.models.forecast import CHUNK, Forecast
from mlx_harmony.records import ModelCard, ModelEntry, Record, Timings
from mlx_harmony.settings import write_file

PEAKS_FILE = "peaks.json"
MOST_MODELS = 500
LARGEST_FILE_BYTES = 1024 * 1024
NEWS = 0.01
"""A peak that is higher by less than this share is not worth a write."""

log = logging.getLogger(__name__)


class Peak(Record):
    """The most bytes a model's process took beside weights, KV and what it keeps of prompts; `read` is the longest prompt it read."""

    beside: int
    read: int = 0


class Peaks:
    """The peaks of all models, by folder, state and device. Its methods may be called in any thread; none raises for a file's sake."""

    def __init__(self, home: str) -> None:
        self._path = Path(home, PEAKS_FILE)
        self._changing = threading.Lock()
        self._kept: dict[str, Peak] | None = None

    def of(self, entry: ModelEntry, device: str) -> Peak | None:
        """What was seen of a model in its present state; None where it was never loaded on such a device."""
        with self._changing:
            return self._read().get(_key(entry, device))

    def note(self, entry: ModelEntry, card: ModelCard, timings: Timings | None) -> None:
        """Take notice of what a model took: to be loaded, or, with `timings`, for an answer."""
        seen = _seen(card, timings)
        if seen is None:
            return
        key = _key(entry, card.device)
        with self._changing:
            kept = self._read()
            before = kept.get(key)
            if before is not None and seen.beside <= before.beside * (1 + NEWS) and (seen.read <= before.read or before.read >= CHUNK):
                return
            most = Peak(beside=max(seen.beside, before.beside), read=max(seen.read, before.read)) if before else seen
            self._kept = dict([*(pair for pair in kept.items() if pair[0] != key), (key, most)][-MOST_MODELS:])
            try:
                write_file(self._path, self._kept)
            except StorageError:
                log.warning("%s could not be written; forecasts stay as they are", self._path)

    def _read(self) -> dict[str, Peak]:
        if self._kept is None:
            self._kept = _file(self._path)
        return self._kept


def calibrated(forecast: Forecast, peak: Peak | None) -> Forecast:
    """The forecast with what was seen in place of what was estimated.

    Until a prompt as long as the longest piece that is read at once was seen, the estimate is only ever raised.
    """
    if peak is None or (peak.read < CHUNK and peak.beside <= forecast.working):
        return forecast
    return msgspec.structs.replace(forecast, working=peak.beside, seen=True)


def _seen(card: ModelCard, timings: Timings | None) -> Peak | None:
    """What an answer's KV take is among what is kept of prompts once it has ended, so the larger of the two counts."""
    if timings is None:
        return Peak(beside=max(0, card.peak_bytes - card.weight_bytes)) if card.peak_bytes else None
    if not timings.peak_bytes:
        return None
    held = card.weight_bytes + max(timings.kv_bytes, timings.kept_bytes)
    return Peak(beside=max(0, timings.peak_bytes - held), read=timings.prompt_n)


def _key(entry: ModelEntry, device: str) -> str:
    return f"{device}:{entry.bytes}:{entry.modified_at:.6f}:{entry.folder}"


def _file(path: Path) -> dict[str, Peak]:
    """What the file holds; nothing where it is not there or makes no sense: it is only an estimate's support."""
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(LARGEST_FILE_BYTES), type=dict[str, Peak])
    except (OSError, ValueError, RecursionError):
        return {}
