"""What each model on this machine would need of its memory, beside what is free. Reads configs and headers of weights, once a version."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Literal

from mlx_harmony.models.anatomy import Anatomy, anatomy_of
from mlx_harmony.models.folder import read_config
from mlx_harmony.models.forecast import Forecast, forecast, smallest
from mlx_harmony.models.memory import DeviceKind, available_bytes, graphics_free_bytes, likely_device, wired_limit_bytes
from mlx_harmony.models.peaks import Peak, Peaks, calibrated
from mlx_harmony.models.used import Used
from mlx_harmony.records import MemoryNeed, ModelCard, ModelEntry, Record, Timings

Verdict = Literal["fits", "tight", "too large", "unknown"]
"""Whether a model fits with its whole context, with a shorter one only, or not at all; unknown where nobody says what is free."""

USUAL_CONTEXT = 4096


class Needs(Record):
    """What one model needs, and whether it is there. `free` is None where that is not known from here, `least` is with a short context."""

    forecast: Forecast
    verdict: Verdict
    free: int | None = None
    least: int = 0


def needs_of(entry: ModelEntry, free: int | None = None, context: int | None = None, seen: Peak | None = None) -> Needs | None:
    """What a model would need now, with its whole context or with `context` of it; None where its files do not tell.

    `free` is given where it was asked for already, `seen` where the model was loaded before.
    """
    anatomy = _anatomy(entry.path, entry.bytes, entry.modified_at)
    if anatomy is None:
        return None
    device, whole = likely_device(), entry.context_length or USUAL_CONTEXT
    free = free_for_models(device) if free is None else free
    found = calibrated(forecast(anatomy, device, min(context or whole, whole), free or 0), seen)
    least = calibrated(smallest(anatomy, device), seen).total
    if free is None:
        return Needs(forecast=found, verdict="unknown", least=least)
    verdict: Verdict = "fits" if found.total <= free else "tight" if least <= free else "too large"
    return Needs(forecast=found, verdict=verdict, free=free, least=least)


def free_for_models(device: DeviceKind) -> int | None:
    """What models may take there at this moment; on a Mac what they may take in all, and None where nobody says."""
    match device:
        case "cpu":
            return available_bytes()
        case "cuda":
            return graphics_free_bytes()
    return wired_limit_bytes()


class Outlook:
    """Forecasts that learn: what models were seen to take stands in the app's home. May be asked in any thread.

    `taken` tells what loaded models take together, for machines that do not say what is free.
    """

    def __init__(self, home: str) -> None:
        self._peaks = Peaks(home)
        self._used = Used(home)
        self.taken: Callable[[], int] = int

    def needs(self, entry: ModelEntry, free: int | None = None, context: int | None = None) -> Needs | None:
        """As `needs_of`, by what was seen of the model and beside what is loaded already."""
        if free is None and likely_device() == "metal":
            free = max(0, wired_limit_bytes() - self.taken())
        return needs_of(entry, free, context, self._peaks.of(entry, likely_device()))

    def need(self, entry: ModelEntry) -> MemoryNeed | None:
        """What loading it takes with a usual context, and what there is at this moment; None where its files do not tell."""
        device = likely_device()
        free = free_for_models(device)
        needs = self.needs(entry, free, USUAL_CONTEXT)
        if needs is None:
            return None
        # A Mac does not say what is free for its GPU: what it allows is for all models together.
        on_mac = device == "metal"
        usual = max(needs.least, needs.forecast.total)
        return MemoryNeed(least=needs.least, usual=usual, free=None if on_mac else free, limit=free if on_mac else None)

    def observe(self, entry: ModelEntry, card: ModelCard, timings: Timings | None, *, grew: bool = True) -> None:
        """Take notice of what a model took: to be loaded, or for an answer, whose peak it is where it `grew`; and that it is in use."""
        self._peaks.note(entry, card, timings, grew=grew)
        self._used.note(entry.folder)


def parameters_of(entry: ModelEntry) -> int | None:
    """How many weights a model has; None where its files do not tell."""
    anatomy = _anatomy(entry.path, entry.bytes, entry.modified_at)
    return anatomy.numbers if anatomy else None


@lru_cache(maxsize=512)
def _anatomy(path: str, size: int, modified_at: float) -> Anatomy | None:
    """The anatomy of a folder in this state."""
    config, problem = read_config(Path(path))
    return None if problem else anatomy_of(Path(path), config)
