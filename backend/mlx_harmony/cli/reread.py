"""Why a prompt was read again, in a sentence: where it differs from what is kept, with both sides. Pure; asks no model."""

from mlx_harmony.cache_records import CacheRequest

LITTLE = 256
"""Fewer tokens than this are read without a word."""
_REASONS = {
    "evicted": "they had gone from the cache to make room",
    "damaged": "what was kept of them is damaged",
    "other_model": "what was kept is of the model as it was before",
    "boundary": "the model can go on only from an earlier place",
}


def reread(request: CacheRequest) -> str:
    """What was read again and why; "" where it was little, new, or of the person's own making (an edited message)."""
    reuse = request.reuse
    count = reuse.prompt - reuse.reused
    if count < LITTLE:
        return ""
    if reuse.reason == "differs" and reuse.position is not None and not request.place.startswith("message "):
        sides = f"it was {_quoted(request.kept_text)}, now it is {_quoted(request.asked_text)}" if request.kept_text else ""
        place = request.place or "the prompt"
        return f"{count:,} tokens were read: {place} changed at token {reuse.position:,}{f'; {sides}' if sides else ''}."
    if reuse.reason in _REASONS:
        return f"{count:,} tokens were read: {_REASONS[reuse.reason]}{f' ({reuse.detail})' if reuse.detail else ''}."
    return ""


def _quoted(text: str) -> str:
    return f"“{' '.join(text.split())}”"
