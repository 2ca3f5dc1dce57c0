"""Whether a model that is still on the hub would fit this machine's memory, told from its size and its config. Asks nobody."""

from typing import Any

from mlx_harmony.models.anatomy import guessed_anatomy
from mlx_harmony.models.folder import context_length_of
from mlx_harmony.models.forecast import forecast, smallest
from mlx_harmony.models.hub.offers import Found, Offer
from mlx_harmony.models.memory import likely_device
from mlx_harmony.models.outlook import USUAL_CONTEXT, Verdict, free_for_models
from mlx_harmony.records import Record


class Fit(Record):
    """The verdict and its two sides, in bytes. `needs_bytes` is with the whole context where the config is known; None: not known."""

    verdict: Verdict
    needs_bytes: int | None = None
    free_bytes: int | None = None


def fit_of(size: int | None, config: dict[str, Any] | None, free: int | None = None) -> Fit:
    """Whether weights of so many bytes fit; without a config its keys and values do not count. `free` where it was asked for already."""
    device = likely_device()
    free = free_for_models(device) if free is None else free
    if not size:
        return Fit(verdict="unknown", free_bytes=free)
    told = config or {}
    anatomy = guessed_anatomy(size, told)
    needs = forecast(anatomy, device, context_length_of(told) or USUAL_CONTEXT, free or 0).total
    if free is None:
        return Fit(verdict="unknown", needs_bytes=needs)
    verdict: Verdict = "fits" if needs <= free else "tight" if smallest(anatomy, device).total <= free else "too large"
    return Fit(verdict=verdict, needs_bytes=needs, free_bytes=free)


def fit_of_found(found: Found, free: int | None = None) -> Fit:
    """The same for a row of a search, whose layers are not known."""
    return fit_of(found.bytes, {"quantization": {"bits": found.bits}} if found.bits else None, free)


def fit_of_offer(offer: Offer, free: int | None = None) -> Fit:
    """The same for a model whose files are known; only its weights go into memory."""
    return fit_of(sum(file.bytes for file in offer.files if file.name.endswith(".safetensors")), offer.config, free)
