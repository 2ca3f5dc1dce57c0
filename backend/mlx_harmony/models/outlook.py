"""What each model on this machine would need of its memory, beside what is free. Reads configs and headers of weights, once a version."""

from functools import lru_cache
from pathlib import Path
from typing import Literal

from mlx_harmony.models.anatomy import Anatomy, anatomy_of
from mlx_harmony.models.folder import read_config
from mlx_harmony.models.forecast import Forecast, forecast, smallest
from mlx_harmony.models.memory import available_bytes, likely_device
from mlx_harmony.records import ModelEntry, Record

Verdict = Literal["fits", "tight", "too large", "unknown"]
"""Whether a model fits with its whole context, with a shorter one only, or not at all. A graphics card's memory is known to models only."""

USUAL_CONTEXT = 4096


class Needs(Record):
    """What one model needs, and whether it is there. `free` is None where that is not known from here."""

    forecast: Forecast
    verdict: Verdict
    free: int | None = None


def needs_of(entry: ModelEntry, free: int | None = None) -> Needs | None:
    """What a model would need now; None where its files do not tell. `free` is given where it was asked for already."""
    anatomy = _anatomy(entry.path, entry.bytes, entry.modified_at)
    if anatomy is None:
        return None
    device = likely_device()
    free = available_bytes() if free is None else free
    found = forecast(anatomy, device, entry.context_length or USUAL_CONTEXT, free)
    if device == "cuda":
        return Needs(forecast=found, verdict="unknown")
    least = smallest(anatomy, device).total
    return Needs(forecast=found, verdict="fits" if found.total <= free else "tight" if least <= free else "too large", free=free)


@lru_cache(maxsize=512)
def _anatomy(path: str, size: int, modified_at: float) -> Anatomy | None:
    """The anatomy of a folder in this state."""
    config, problem = read_config(Path(path))
    return None if problem else anatomy_of(Path(path), config)
