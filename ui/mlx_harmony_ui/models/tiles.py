"""The disk as a map: a tile for each family, model, revision and left-over, as large as its bytes and coloured by what may go. Pure."""

from collections.abc import Iterator, Sequence
from typing import Literal

from mlx_harmony.models.holdings import Holding, Revision
from mlx_harmony.models.removal import Selected
from mlx_harmony.records import Record
from mlx_harmony_ui import words
from mlx_harmony_ui.models.treemap import Box, squarify
from mlx_harmony_ui.models.wanted import Wanted, key_of

DAY_S = 86_400.0
RECENT_S, LONG_S = 30 * DAY_S, 90 * DAY_S
LEAST_PX = 26.0
"""The smallest tiles are drawn as squares of this side, so that they can be seen and pressed."""
HEAD_PX, EDGE_PX = 20.0, 2.0
LETTER_PX = 7.5
FEWEST_LETTERS = 6

Tone = Literal["fixed", "loaded", "recent", "idle", "old", "spare", "shared"]
TONES: dict[Tone, str] = {
    "loaded": "loaded",
    "recent": "used in the last 30 days",
    "idle": "not used for a month",
    "old": "not used for 90 days",
    "spare": "left over: half downloads, revisions that nothing leads to",
    "fixed": "comes with the app",
    "shared": "shared by revisions",
}
KINDS = {"bundled": "in this app", "model": "model", "dataset": "data set", "space": "space", "folder": "folder", "adapter": "adapter"}


class Tile(Record):
    """One rectangle, in percent of the map. `key` selects what it stands for, "" where it cannot go.

    `wide`: its name fits, `sized`: its size too.
    `level` 1 is a family, 2 a model, 3 a part of one; `head`: it frames the tiles that follow it.
    """

    level: int
    name: str
    short: str
    size: str
    tone: Tone
    title: str
    left: float
    top: float
    width: float
    height: float
    key: str = ""
    picked: bool = False
    head: bool = False
    wide: bool = False
    sized: bool = False


class Part(Record):
    """A part of one model's bytes. `short` is what a tile is called among others of its family."""

    name: str
    bytes: int
    tone: Tone
    key: str = ""
    short: str = ""


class DiskMap(Record):
    """The tiles in reading order, and the tones that occur, each with what it means."""

    tiles: tuple[Tile, ...] = ()
    tones: tuple[tuple[Tone, str], ...] = ()


def disk_map(holdings: Sequence[Holding], loaded: frozenset[str], wanted: Wanted, now_s: float) -> DiskMap:
    """All that lies on the disk, drawn for the page's width; `loaded` are the ids of models in memory."""
    tiles = tuple(_Drawing(holdings, loaded, wanted, now_s).tiles())
    tones: dict[Tone, None] = dict.fromkeys(tile.tone for tile in tiles if not (tile.head and tile.level == 1))
    return DiskMap(tiles=tiles, tones=tuple((tone, text) for tone, text in TONES.items() if tone in tones))


def taken(holding: Holding) -> int:
    """All bytes of a holding, half downloads as well."""
    return holding.bytes + holding.incomplete_bytes


def tone_of(holding: Holding, loaded: frozenset[str], now_s: float) -> Tone:
    """How ready a holding is to go."""
    if holding.kind == "bundled":
        return "fixed"
    if holding.id in loaded:
        return "loaded"
    gone = now_s - max(holding.last_used_at, holding.modified_at)
    return "recent" if gone < RECENT_S else "idle" if gone < LONG_S else "old"


def parts_of(holding: Holding, tone: Tone) -> tuple[Part, ...]:
    """The revisions of a holding that has several, and what they share; nothing for one that goes as a whole."""
    if len(holding.revisions) < 2:
        return ()
    parts = [part for each in holding.revisions if (part := _of_revision(holding, each, tone)).bytes]
    shared = holding.bytes - sum(part.bytes for part in parts)
    if shared > 0:
        parts.append(Part(name="shared by its revisions", bytes=shared, tone="shared"))
    return tuple(parts)


def revision_name(revision: Revision) -> str:
    """A revision as a person tells it from another: its branch or tag, else the beginning of its commit."""
    return " ".join((revision.commit[:8], *(f"({ref})" for ref in revision.refs[:1])))


def _of_revision(holding: Holding, revision: Revision, tone: Tone) -> Part:
    key = key_of(Selected(id=holding.id, revision=revision.commit))
    return Part(name=revision_name(revision), bytes=revision.own_bytes, tone="spare" if revision.detached else tone, key=key)


class _Drawing:
    """One map as it is drawn."""

    def __init__(self, holdings: Sequence[Holding], loaded: frozenset[str], wanted: Wanted, now_s: float) -> None:
        self._loaded, self._wanted, self._now = loaded, wanted, now_s
        self._picked = {key_of(each) for each in wanted.picked}
        total = sum(map(taken, holdings))
        self._least = total * LEAST_PX**2 / (wanted.width * wanted.height)
        families: dict[str, list[Holding]] = {}
        for holding in sorted(holdings, key=taken, reverse=True):
            if taken(holding):
                families.setdefault(holding.family or holding.id, []).append(holding)
        self._families = families

    def tiles(self) -> Iterator[Tile]:
        weights = {name: sum(map(self._weight, members)) for name, members in self._families.items()}
        names = sorted(weights, key=lambda name: weights[name], reverse=True)
        whole = Box(0, 0, self._wanted.width, self._wanted.height)
        for name, box in zip(names, squarify([weights[name] for name in names], whole), strict=True):
            members = self._families[name]
            if len(members) == 1:
                yield from self._model(members[0], box, "")
                continue
            whole_family = Part(name=name, bytes=sum(map(taken, members)), tone="shared")
            told = f"{name}: {words.several(len(members), 'variant')} of one base, {words.size(whole_family.bytes)}"
            yield self._tile(1, whole_family, box, told, head=True)
            for member, inner in zip(members, squarify([self._weight(each) for each in members], _within(box)), strict=True):
                yield from self._model(member, inner, name)

    def _weight(self, holding: Holding) -> float:
        return sum(self._weights(holding))

    def _weights(self, holding: Holding) -> list[float]:
        """Those of its complete files and of its half downloads, as far as there are any."""
        parts = parts_of(holding, "idle")
        whole = sum(max(part.bytes, self._least) for part in parts) if parts else max(holding.bytes, self._least)
        return [each for each, any_of_it in ((whole, holding.bytes), (self._half(holding), holding.incomplete_bytes)) if any_of_it]

    def _half(self, holding: Holding) -> float:
        return max(holding.incomplete_bytes, self._least)

    def _model(self, holding: Holding, box: Box, family: str) -> Iterator[Tile]:
        name = _name(holding)
        places = squarify(self._weights(holding), box)
        if holding.bytes:
            yield from self._complete(holding, places[0], family)
        if holding.incomplete_bytes:
            key = key_of(Selected(id=holding.id, incomplete_only=True))
            part = Part(name="half downloads", bytes=holding.incomplete_bytes, tone="spare", key=key)
            yield self._tile(3, part, places[-1], f"{name}: half downloads, {words.size(part.bytes)}, never got whole")

    def _complete(self, holding: Holding, box: Box, family: str) -> Iterator[Tile]:
        name, tone = _name(holding), tone_of(holding, self._loaded, self._now)
        parts = parts_of(holding, tone)
        used = words.ago(max(holding.last_used_at, holding.modified_at), self._now)
        title = f"{name}: {KINDS[holding.kind]}, {words.size(holding.bytes)}, {'loaded' if tone == 'loaded' else f'last used {used}'}"
        key = "" if holding.kind == "bundled" else key_of(Selected(id=holding.id))
        whole = Part(name=name, bytes=holding.bytes, tone=tone, key=key, short=_among(name, family))
        yield self._tile(2, whole, box, title, head=bool(parts))
        weights = [max(part.bytes, self._least) for part in parts]
        for part, inner in zip(parts, squarify(weights, _within(box)) if parts else (), strict=True):
            yield self._tile(3, part, inner, f"{name}, {part.name}: {words.size(part.bytes)}, {TONES[part.tone]}")

    def _tile(self, level: int, part: Part, box: Box, title: str, *, head: bool = False) -> Tile:
        across, down = self._wanted.width / 100, self._wanted.height / 100
        size, letters = words.size(part.bytes), int((box.width - 16) / LETTER_PX)
        short = words.shorten(part.short or part.name, max(FEWEST_LETTERS, letters - (len(size) + 1 if head else 0)))
        return Tile(
            level=level,
            name=part.name,
            short=short,
            size=size,
            tone=part.tone,
            title=title,
            left=round(box.left / across, 3),
            top=round(box.top / down, 3),
            width=round(box.width / across, 3),
            height=round(box.height / down, 3),
            key=part.key,
            picked=bool(part.key) and part.key in self._picked,
            head=head,
            wide=letters >= FEWEST_LETTERS and box.height >= HEAD_PX,
            sized=letters >= len(size) and (letters > len(size) + FEWEST_LETTERS if head else box.height >= 2 * HEAD_PX),
        )


def _name(holding: Holding) -> str:
    return "Starter" if holding.kind == "bundled" else holding.id


def _among(name: str, family: str) -> str:
    """What tells a variant from the others of its family; its name without its owner's where nothing does."""
    bare = name.rpartition("/")[2]
    return bare.removeprefix(family).strip("-_. ") or bare


def _within(box: Box) -> Box:
    """Where the tiles of a framed one stand; in a very small frame they cover its head."""
    return box.inside(EDGE_PX, HEAD_PX if box.height > 2 * HEAD_PX and box.width > 3 * HEAD_PX else 0.0)
