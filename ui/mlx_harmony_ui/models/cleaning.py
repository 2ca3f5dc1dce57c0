"""Cleaning up as shown: what could go at one press, what the selection comes to, and the question before it goes. Pure; clock given."""

import zlib
from collections.abc import Collection, Mapping, Sequence

from mlx_harmony.models.holdings import Holding
from mlx_harmony.models.info import ModelInfo
from mlx_harmony.models.removal import Removal, RemovalItem, Selected
from mlx_harmony.records import Record
from mlx_harmony_ui import words
from mlx_harmony_ui.models.tiles import LONG_S, taken
from mlx_harmony_ui.models.wanted import key_of


class Suggestion(Record):
    """A set of things that may be worth deleting. `keys` are what pressing it selects."""

    name: str
    count: str
    size: str
    title: str
    keys: tuple[str, ...]


class Bar(Record):
    """What the selection comes to. `problem` says why it cannot go as it is."""

    count: str
    frees: str = ""
    rest: str = ""
    problem: str = ""


class Going(Record):
    """One line of the question: what goes, its size, and who will miss it."""

    id: str
    what: str
    size: str
    notes: tuple[str, ...] = ()


class Question(Record):
    """The question before something goes; `mark` is that of what was planned."""

    mark: str
    title: str
    goes: tuple[Going, ...]
    frees: str
    free_after: str
    yes: str


class Used(Record):
    """Who uses the models: which ids are in use now, so that nothing suggests to delete them, and what is known of each by its id."""

    kept: frozenset[str] = frozenset()
    loaded: frozenset[str] = frozenset()
    chosen: str = ""
    infos: Mapping[str, ModelInfo] = {}


def suggestions(holdings: Sequence[Holding], used: Used, now_s: float) -> tuple[Suggestion, ...]:
    """What could go, each kind that there is any of."""
    free = [each for each in holdings if each.kind != "bundled"]
    found = (_detached(free, used), _halves(free), _duplicates(free, used), _long_unused(free, used, now_s))
    return tuple(each for each in found if each is not None)


def bar_of(selection: Collection[Selected], removal: Removal | None, kept_bytes: int, problem: str = "") -> Bar | None:
    """The bar under the list; None where nothing is selected. `kept_bytes` are of the selection but stay for others."""
    if not selection:
        return None
    count = f"{words.count(len(selection))} selected"
    if removal is None:
        return Bar(count=count, problem=problem)
    whole = removal.freed_bytes + kept_bytes
    rest = f"of {words.size(whole)}; {words.size(kept_bytes)} are shared with what stays" if kept_bytes else ""
    return Bar(count=count, frees=f"frees {words.size(removal.freed_bytes)}", rest=rest)


def question_of(removal: Removal, used: Used) -> Question:
    """What is asked before it goes."""
    size = words.size(removal.freed_bytes)
    things = removal.items[0].id if len(removal.items) == 1 else words.several(len(removal.items), "thing")
    return Question(
        mark=mark_of(removal),
        title=f"Delete {words.shorten(things, 48)}?",
        goes=tuple(_going(item, used) for item in removal.items),
        frees=size,
        free_after=words.size(removal.free_bytes_after),
        yes=f"Move {size} to the trash",
    )


def mark_of(removal: Removal) -> str:
    """Tells whether what goes is still what was asked about."""
    return f"{zlib.crc32(repr(removal.items).encode('utf-8', 'replace')):08x}"


def _going(item: RemovalItem, used: Used) -> Going:
    return Going(id=item.id, what=_what(item), size=words.size(item.freed_bytes), notes=tuple(_notes(item, used)))


def _what(item: RemovalItem) -> str:
    if item.whole:
        several = len(item.revisions) > 1
        return f"all of it, {len(item.revisions)} revisions" if several else "all of it"
    parts = [f"revision {commit[:8]}" for commit in item.revisions] + (["half downloads"] if item.incomplete_bytes else [])
    return ", ".join(parts)


def _notes(item: RemovalItem, used: Used) -> list[str]:
    """What will be missed, and what happens to a model that is in memory."""
    info = used.infos.get(item.id)
    notes = []
    if item.id in used.loaded and (item.whole or (info is not None and info.revision in item.revisions)):
        notes.append("It is loaded and will be unloaded first.")
    if info is None or not item.whole:
        return notes
    if item.id == used.chosen:
        notes.append("It is the default model.")
    if info.profiles:
        notes.append(f"Named by {'profile' if len(info.profiles) == 1 else 'profiles'} {', '.join(info.profiles)}.")
    if info.chats:
        notes.append(f"It answered in {words.several(info.chats, 'chat')}; those stay.")
    over = [each.entry.id for each in used.infos.values() if each.entry.adapter and each.entry.base == item.id]
    if over:
        notes.append(f"Without it {', '.join(over)} cannot run.")
    return notes


def _detached(holdings: Sequence[Holding], used: Used) -> Suggestion | None:
    """Revisions that no branch or tag leads to, but for the one that is in use."""
    found = [(each, revision) for each in holdings for revision in each.revisions if revision.detached and len(each.revisions) > 1]
    found = [(each, revision) for each, revision in found if revision.commit != _current(each, used)]
    keys = tuple(key_of(Selected(id=each.id, revision=revision.commit)) for each, revision in found)
    title = "Older revisions that no branch or tag leads to any more"
    return _suggestion("Detached revisions", sum(revision.own_bytes for _, revision in found), title, keys)


def _halves(holdings: Sequence[Holding]) -> Suggestion | None:
    found = [each for each in holdings if each.incomplete_bytes]
    keys = tuple(key_of(Selected(id=each.id, incomplete_only=True)) for each in found)
    return _suggestion("Half downloads", sum(each.incomplete_bytes for each in found), "Files that were never got whole", keys)


def _duplicates(holdings: Sequence[Holding], used: Used) -> Suggestion | None:
    """Of several variants of one base all but the one that was used last, and none that is in use."""
    families: dict[str, list[Holding]] = {}
    for each in holdings:
        if each.mlx and each.kind != "adapter":
            families.setdefault(each.family, []).append(each)
    found: list[Holding] = []
    for members in families.values():
        members.sort(key=lambda each: (each.id in used.kept, _last_use(each, used)))
        found += [each for each in members[:-1] if each.id not in used.kept]
    title = "Other quantisations of a model of which a more recently used one stays"
    return _suggestion("Duplicates", sum(map(taken, found)), title, tuple(key_of(Selected(id=each.id)) for each in found))


def _long_unused(holdings: Sequence[Holding], used: Used, now_s: float) -> Suggestion | None:
    found = [each for each in holdings if each.id not in used.kept and now_s - _last_use(each, used) > LONG_S and taken(each)]
    keys = tuple(key_of(Selected(id=each.id)) for each in found)
    return _suggestion("Unused for 90 days", sum(map(taken, found)), "Nothing was read of them for 90 days", keys)


def _last_use(holding: Holding, used: Used) -> float:
    info = used.infos.get(holding.id)
    return max(holding.last_used_at, holding.modified_at, (info.last_used_at or 0.0) if info else 0.0)


def _current(holding: Holding, used: Used) -> str:
    info = used.infos.get(holding.id)
    return info.revision if info else ""


def _suggestion(name: str, size: int, title: str, keys: tuple[str, ...]) -> Suggestion | None:
    return Suggestion(name=name, count=words.count(len(keys)), size=words.size(size), title=title, keys=keys) if keys else None
