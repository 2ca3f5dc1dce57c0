"""Recent prompts as shown: what of each was reused, and where not all of it, why and since which token. Pure; the clock is given."""

import re
from collections.abc import Mapping
from difflib import SequenceMatcher
from typing import Literal

from mlx_harmony.cache_reasons import explained
from mlx_harmony.cache_records import READ_ALONE, CacheRequest, Reuse
from mlx_harmony.records import Record
from mlx_harmony_ui import words
from mlx_harmony_ui.listing import Piece

Outcome = Literal["kept", "partly", "read"]
_PIECES = re.compile(r"\w+|\s+|[^\w\s]")
SHOWN = 20
"""Requests listed at once."""
ALIKE = 0.6


class RequestRow(Record):
    """One prompt. Shares are percent of it, from memory and from disk; all else is text.

    `kept` and `asked` are the two sides of the first difference, empty where there is none; in both what differs is marked.

    `chat` is "" for a prompt of no chat on the list; `settings`: the advice is to be followed in the settings; `changed`: the difference
    is what a person would look for.
    """

    key: str
    outcome: Outcome
    whose: str
    when: str
    exact: str
    memory: float
    disk: float
    figures: str
    label: str
    reason: str
    chat: str = ""
    advice: str = ""
    settings: bool = False
    kept: tuple[Piece, ...] = ()
    asked: tuple[Piece, ...] = ()
    position: str = ""
    changed: bool = False


def request_rows(recent: tuple[CacheRequest, ...], titles: Mapping[str, str], now_s: float) -> tuple[RequestRow, ...]:
    """The newest prompts; `titles` are the chats' by id."""
    return tuple(_row(request, titles, now_s) for request in recent[:SHOWN])


def _row(request: CacheRequest, titles: Mapping[str, str], now_s: float) -> RequestRow:
    reuse = request.reuse
    title = titles.get(request.chat)
    read = reuse.prompt - reuse.reused
    figures = f"{words.count(reuse.reused)} of {words.several(reuse.prompt, 'token')} reused"
    spared = f", about {words.moment(request.seconds)} spared" if request.seconds >= 0.05 else ""
    advice, settings = advised(request)
    kept, asked = difference(request.kept_text, request.asked_text)
    return RequestRow(
        key=f"{request.at:.6f}",
        outcome=outcome(reuse),
        whose=words.shorten(title or "New chat", 48) if title is not None else _nobody(request.chat),
        chat=request.chat if title is not None else "",
        when=words.ago(request.at, now_s),
        exact=words.exact(request.at),
        memory=_share(reuse.memory, reuse.prompt),
        disk=_share(reuse.disk, reuse.prompt),
        figures=figures + spared,
        label=f"{words.count(reuse.memory)} tokens from memory, {words.count(reuse.disk)} from disk, {words.count(read)} read",
        reason=explained(request),
        advice=advice,
        settings=settings,
        kept=kept,
        asked=asked,
        position=f"from token {words.count(reuse.position)}" if reuse.position is not None else "",
        changed=bool(advice) and reuse.reason == "differs",
    )


def _nobody(chat: str) -> str:
    """Whose a prompt is that belongs to no chat on the list."""
    if chat.startswith(READ_ALONE):
        return "A prompt for a file"
    return "A chat that is gone" if chat else "A program"


def outcome(reuse: Reuse) -> Outcome:
    """Whether all that could be was reused, some, or nothing."""
    if reuse.reason in ("whole", "new"):
        return "kept"
    return "partly" if reuse.reused else "read"


def advised(request: CacheRequest) -> tuple[str, bool]:
    """What would spare the reading next time, "" where nothing would; and whether that is to be done in the settings."""
    match request.reuse.reason:
        case "evicted":
            return "Pin what you often go on from, or give the cache more room.", True
        case "off":
            return "Give it room and what is read once need not be read again.", True
        case "differs" if "tool" in request.place:
            return "Tools stand at the beginning of the prompt: what they are turned on or off for is read anew.", False
        case "differs" if any(word in request.place for word in ("system", "developer", "identity", "instructions")):
            return "Instructions stand at the beginning: leave them as they are, and say what changes in your message instead.", False
    return "", False


def difference(kept: str, asked: str) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """Both sides of the first difference, word by word; what the other side does not have is marked.

    Both are cut off somewhere: what one has beyond the other's end is no difference. Sides with little in common are marked whole.
    """
    left, right = _PIECES.findall(kept), _PIECES.findall(asked)
    matcher = SequenceMatcher(None, left, right, autojunk=False)
    if matcher.ratio() < ALIKE:
        return tuple(Piece(text=kept, marked=True) for _ in kept[:1]), tuple(Piece(text=asked, marked=True) for _ in asked[:1])
    sides: tuple[list[Piece], list[Piece]] = ([], [])
    for act, *spans in matcher.get_opcodes():
        beyond = act in ("insert", "delete") and (spans[1], spans[3]) == (len(left), len(right))
        for side, source, (start, end) in ((sides[0], left, spans[:2]), (sides[1], right, spans[2:])):
            if start < end:
                side.append(Piece(text="".join(source[start:end]), marked=act != "equal" and not beyond))
    return tuple(sides[0]), tuple(sides[1])


def _share(part: int, whole: int) -> float:
    return round(part / whole * 100, 2) if whole else 0.0
