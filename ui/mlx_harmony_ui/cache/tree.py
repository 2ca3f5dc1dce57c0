"""The prefix tree as shown: what a model keeps, from shared beginnings to the chats they lead to. Pure records in and out; clock given."""

import re
from collections.abc import Iterator, Mapping
from typing import Literal

from mlx_harmony.cache_records import READ_ALONE, CacheEntry
from mlx_harmony.records import Record
from mlx_harmony_ui import words
from mlx_harmony_ui.listing import Piece

Where = Literal["memory", "disk", "evicted"]
WHERE: dict[Where, str] = {"memory": "in memory", "disk": "on disk", "evicted": "evicted"}
OPEN_ROWS = 60
"""Trees of more rows than this begin folded below their second level."""
SHORT_RUN = 16
"""A run of no more tokens is told of whole by its text."""
ENOUGH = 160
DEEPEST = 9
"""Deeper rows stand no further in."""
GONE = "a chat that is no longer listed"
ALONE = "A prompt that was read into a file"
_BITS = re.compile(r"(\d+) bits")
_CONTROL = re.compile(r"<\|[^|<>]{1,40}\|>")


class TreeRow(Record):
    """One row: a stretch of tokens, or a chat that it leads to. All but numbers and flags is text.

    A stretch may be several runs, each the only one that goes on from the one before: `first` is dropped to drop all of it, `last` pinned
    or saved. `place` of `peers` under the same row, `level` from 1; `inset` is `level` as far as it is drawn. `frees` says what dropping
    it would free. `kv` is the form of its keys and values in few words and `kv_text` in all, "" where they are as the model computes them.
    """

    key: str
    kind: Literal["run", "chat"]
    level: int
    inset: int
    place: int
    peers: int
    text: tuple[Piece, ...]
    label: str
    branches: bool = False
    open: bool = False
    first: str = ""
    last: str = ""
    chat: str = ""
    range: str = ""
    tokens: str = ""
    pieces: str = ""
    where: Where = "memory"
    where_text: str = ""
    size: str = ""
    used: str = ""
    exact: str = ""
    pinned: bool = False
    frees: str = ""
    kv: str = ""
    kv_text: str = ""


class TreeView(Record):
    """The rows in reading order; `stretches` of them are not chats."""

    rows: tuple[TreeRow, ...] = ()
    stretches: int = 0
    folded: bool = False


class _Stretch(Record):
    """Runs that follow one another with nothing else beside them."""

    runs: tuple[CacheEntry, ...]

    @property
    def last(self) -> CacheEntry:
        return self.runs[-1]


class _Place(Record):
    """Where something stands in the tree: a stretch, or the chat of that id."""

    what: _Stretch | str
    level: int
    place: int
    peers: int
    key: str


def tree(entries: tuple[CacheEntry, ...], titles: Mapping[str, str], now_s: float) -> TreeView:
    """The entries as rows, siblings by their last use; `titles` are the chats' by id."""
    under = _children(entries)
    places = tuple(_places(under))
    weights = _weights(entries, under)
    folded = len(places) > OPEN_ROWS
    rows = []
    for at, place in enumerate(places):
        branches = at + 1 < len(places) and places[at + 1].level > place.level
        shown = branches and (not folded or place.level < 2)
        if isinstance(place.what, str):
            rows.append(_chat_row(place, place.what, titles))
        else:
            rows.append(_run_row(place, place.what, weights[place.what.runs[0].id], now_s, (branches, shown)))
    return TreeView(rows=tuple(rows), stretches=sum(row.kind == "run" for row in rows), folded=folded)


def _children(entries: tuple[CacheEntry, ...]) -> dict[str, list[CacheEntry]]:
    """What goes on from each entry, the last used first; "" holds the roots, and those whose parent is not told of."""
    known = {entry.id for entry in entries}
    under: dict[str, list[CacheEntry]] = {}
    for entry in sorted(entries, key=lambda entry: (-entry.used_at, entry.start, entry.id)):
        under.setdefault(entry.parent if entry.parent in known else "", []).append(entry)
    return under


def _places(under: Mapping[str, list[CacheEntry]]) -> Iterator[_Place]:
    """Every stretch and chat in reading order. Without recursion: a long chat is a deep tree."""
    waiting = _peers([_stretch(entry, under) for entry in under.get("", ())], 1, "")
    while waiting:
        place = waiting.pop()
        yield place
        if isinstance(place.what, _Stretch):
            last = place.what.last
            below: list[_Stretch | str] = [*last.chats, *(_stretch(entry, under) for entry in under.get(last.id, ()))]
            waiting += _peers(below, place.level + 1, place.key)


def _peers(things: list["_Stretch | str"] | list[_Stretch], level: int, above: str) -> list[_Place]:
    """Their places, the first at the end, where it is taken from."""
    return [
        _Place(
            what=thing,
            level=level,
            place=at,
            peers=len(things),
            key=f"{above}-{thing}" if isinstance(thing, str) else thing.runs[0].id,
        )
        for at, thing in reversed(list(enumerate(things, 1)))
    ]


def _stretch(entry: CacheEntry, under: Mapping[str, list[CacheEntry]]) -> _Stretch:
    runs = [entry]
    while not runs[-1].chats and len(below := under.get(runs[-1].id, [])) == 1:
        if (below[0].where, below[0].pinned, below[0].kv) != (entry.where, entry.pinned, entry.kv):
            break
        runs.append(below[0])
    return _Stretch(runs=tuple(runs))


def _weights(entries: tuple[CacheEntry, ...], under: Mapping[str, list[CacheEntry]]) -> dict[str, tuple[int, int, int]]:
    """For each entry, of it and all that goes on from it: bytes of memory, bytes of disk, and how many entries."""
    weights: dict[str, tuple[int, int, int]] = {}
    for entry in sorted(entries, key=lambda entry: -entry.start):
        below = [weights[each.id] for each in under.get(entry.id, ()) if each.id in weights]
        memory, disk, count = (sum(column) for column in zip((entry.memory_bytes, entry.disk_bytes, 1), *below, strict=True))
        weights[entry.id] = (memory, disk, count)
    return weights


def _chat_row(place: _Place, chat: str, titles: Mapping[str, str]) -> TreeRow:
    title = titles.get(chat)
    alone = title is None and chat.startswith(READ_ALONE)
    said = words.shorten(title or "New chat", 60) if title is not None else ALONE if alone else GONE
    return TreeRow(
        key=place.key,
        kind="chat",
        level=place.level,
        inset=min(place.level, DEEPEST),
        place=place.place,
        peers=place.peers,
        text=(Piece(text=said),),
        label=said if alone else f"Chat {said}",
        chat=chat if title is not None else "",
    )


def _opening(stretch: _Stretch) -> str:
    """How its text begins: a short run tells all of its own, and the next one goes on."""
    said = ""
    for run in stretch.runs:
        said += run.text
        if run.end - run.start > SHORT_RUN or len(said) > ENOUGH:
            break
    return said


def _run_row(place: _Place, stretch: _Stretch, weight: tuple[int, int, int], now_s: float, folds: tuple[bool, bool]) -> TreeRow:
    first, last = stretch.runs[0], stretch.last
    memory, disk = (sum(getattr(run, name) for run in stretch.runs) for name in ("memory_bytes", "disk_bytes"))
    text = first_words(_opening(stretch))
    tokens = words.several(last.end - first.start, "token")
    where = WHERE[last.where]
    said, kv = " ".join(piece.text.strip() for piece in text if not piece.marked), kv_form(last.kv)
    return TreeRow(
        key=place.key,
        kind="run",
        level=place.level,
        inset=min(place.level, DEEPEST),
        place=place.place,
        peers=place.peers,
        text=text,
        label=", ".join(each for each in (said or "Control tokens", tokens, where, "pinned" if last.pinned else "", kv) if each),
        branches=folds[0],
        open=folds[1],
        first=first.id,
        last=last.id,
        range=f"{words.count(first.start)} – {words.count(last.end)}",
        tokens=tokens,
        pieces=f"Kept in {words.several(len(stretch.runs), 'piece')}; used {words.several(max(run.hits for run in stretch.runs), 'time')}",
        where=last.where,
        where_text=where,
        size=words.size(max(memory, disk)) if memory or disk else "",
        used=words.ago(last.used_at, now_s) if last.used_at else "",
        exact=words.exact(last.used_at) if last.used_at else "",
        pinned=last.pinned,
        frees=freed(*weight, pieces=len(stretch.runs)),
        kv=kv,
        kv_text=f"Keys and values: {last.kv}" if kv else "",
    )


def kv_form(words: str) -> str:
    """A form of keys and values in few words: `8-bit KV`; "" for the model's own."""
    if " and " in words:
        return "KV in several forms"
    if bits := _BITS.match(words):
        return f"{bits[1]}-bit KV"
    return "KV in a window" if words else ""


def freed(memory: int, disk: int, count: int, pieces: int = 1) -> str:
    """What dropping an entry frees, and what goes with it."""
    parts = [f"{words.size(amount)} {where}" for amount, where in ((memory, "in memory"), (disk, "on disk")) if amount]
    said = f"This frees {' and '.join(parts)}." if parts else "It takes no room any more."
    more = count - pieces
    return (
        f"{said} {words.several(more, 'entry', 'entries')} that {'goes' if more == 1 else 'go'} on from it will go too." if more else said
    )


def first_words(text: str) -> tuple[Piece, ...]:
    """How a run begins, on one line, control tokens marked."""
    line = " ".join(text.split())
    return pieces_at(line, _CONTROL) or (Piece(text="…"),)


def pieces_at(text: str, pattern: re.Pattern[str]) -> tuple[Piece, ...]:
    """The text cut at what matches, which is marked."""
    cut, at = [], 0
    for match in pattern.finditer(text):
        cut += [Piece(text=text[at : match.start()]), Piece(text=match[0], marked=True)]
        at = match.end()
    return tuple(piece for piece in (*cut, Piece(text=text[at:])) if piece.text)
