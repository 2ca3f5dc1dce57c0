"""Why no more of a prompt was reused, in a sentence for people: the page and the terminal say the same. Pure; knows no edge."""

from mlx_harmony.cache_records import CacheRequest, ReuseReason


def explained(request: CacheRequest) -> str:
    """Why no more was reused, in a sentence."""
    reuse = request.reuse
    sentence = _differs(request) if reuse.reason == "differs" else _SENTENCES[reuse.reason]
    return f"{sentence} {reuse.detail}".strip() if reuse.detail not in sentence else sentence


def _differs(request: CacheRequest) -> str:
    """Instructions change; a message may as well be one of another chat that began the same."""
    token = f"token {request.reuse.position:,}" if request.reuse.position is not None else "there"
    place = request.place[:1].upper() + request.place[1:]
    if place.startswith("Message"):
        return f"{place} is not the one that was kept, from {token} on."
    return f"{place} changed at {token}." if place else f"The prompt goes on otherwise than what was kept, from {token} on."


_SENTENCES: dict[ReuseReason, str] = {
    "whole": "All of it was kept; only its last token was read again.",
    "new": "All that was known of it was reused; the rest is new.",
    "answer": "The answer before stands in this prompt otherwise than the model wrote it, so it was read as it stands now.",
    "differs": "",
    "boundary": "This kind of model goes on only from places at which it was kept, and none lay nearer.",
    "nothing": "Nothing that begins like this was kept.",
    "evicted": "What was kept of it was evicted to make room.",
    "other_model": "What is kept was read by this model as it was before.",
    "damaged": "What was kept of it could not be used.",
    "off": "The prompt cache is switched off: it has no room in memory and none on disk.",
}
