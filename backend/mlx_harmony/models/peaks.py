"""What models were seen to take of the memory, kept in the app's home, so that the next forecast is nearer. Knows no engines and no mlx.

A model's weights and its keys and values are exact figures already; what a forecast can only estimate is the rest: what lies between the
layers, what the process itself takes, what reading the weights took for a moment. So that is what is kept, between two bounds, since an
answer's KV may or may not be among what is kept of prompts when it ends.
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
    """What a process took beside weights, KV and kept prompts: from `least` to `most` bytes; its longest prompt had `read` tokens."""

    least: int
    most: int
    read: int = 0

    def joined(self, other: "Peak") -> "Peak":
        """Both together."""
        return Peak(least=max(self.least, other.least), most=max(self.most, other.most), read=max(self.read, other.read))

    def says_more_than(self, before: "Peak") -> bool:
        """Whether this is worth a write."""
        grew = self.least > before.least * (1 + NEWS) or self.most > before.most * (1 + NEWS)
        return grew or before.read < min(self.read, CHUNK)


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

    def note(self, entry: ModelEntry, card: ModelCard, timings: Timings | None, *, grew: bool = True) -> None:
        """Take notice of what a model took: to be loaded, or, with `timings`, for an answer that was alone.

        `grew`: the peak is of this answer; where it is older, what is kept of prompts may have changed since, so it tells nothing.
        """
        seen = _seen(card, timings, grew)
        if seen is None:
            return
        key = _key(entry, card.device)
        with self._changing:
            kept = self._read()
            before = kept.get(key)
            if before is not None and not seen.says_more_than(before):
                return
            both = seen.joined(before) if before else seen
            self._kept = dict([*(pair for pair in kept.items() if pair[0] != key), (key, both)][-MOST_MODELS:])
            try:
                write_file(self._path, self._kept)
            except StorageError:
                log.warning("%s could not be written; forecasts stay as they are", self._path)

    def _read(self) -> dict[str, Peak]:
        if self._kept is None:
            self._kept = _file(self._path)
        return self._kept


def calibrated(forecast: Forecast, peak: Peak | None) -> Forecast:
    """The forecast, its estimate brought within what was seen.

    It is lowered only once a prompt was read that is as long as the longest piece that is read at once.
    """
    if peak is None:
        return forecast
    lowered = min(forecast.working, peak.most) if peak.read >= CHUNK else forecast.working
    working = max(lowered, peak.least)
    return forecast if working == forecast.working else msgspec.structs.replace(forecast, working=working, seen=True)


def _seen(card: ModelCard, timings: Timings | None, grew: bool) -> Peak | None:
    if timings is None:
        beside = max(0, card.peak_bytes - card.weight_bytes)
        return Peak(least=beside, most=beside) if card.peak_bytes else None
    if not timings.peak_bytes:
        return None
    beside = timings.peak_bytes - card.weight_bytes if grew else 0
    least = max(0, beside - timings.kv_bytes - timings.kept_bytes)
    return Peak(least=least, most=max(0, beside - max(timings.kv_bytes, timings.kept_bytes)), read=timings.prompt_n)


def _key(entry: ModelEntry, device: str) -> str:
    return f"{device}:{entry.bytes}:{entry.modified_at:.6f}:{entry.folder}"


def _file(path: Path) -> dict[str, Peak]:
    """What the file holds; nothing where it is not there or makes no sense: it is only an estimate's support."""
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(LARGEST_FILE_BYTES), type=dict[str, Peak])
    except (OSError, ValueError, RecursionError):
        return {}
