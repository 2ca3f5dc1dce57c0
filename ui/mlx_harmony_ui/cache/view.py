"""The Cache tab as shown: one model's cache with its figures, its course, its tree and its latest prompts. Pure; the clock is given."""

import zlib
from collections.abc import Mapping

import msgspec

from mlx_harmony.cache_records import CacheKeeper, CacheState
from mlx_harmony.engine.protocols import ModelPhase, ModelState
from mlx_harmony.records import Record
from mlx_harmony_ui import words
from mlx_harmony_ui.cache.course import Course, courses
from mlx_harmony_ui.cache.figures import Figure, Tier, figures, tiers
from mlx_harmony_ui.cache.requests import RequestRow, request_rows
from mlx_harmony_ui.cache.tree import TreeView, tree
from mlx_harmony_ui.listing import PHASES
from mlx_harmony_ui.present import Notice

COUNTING = ("awake", "busy")


class Choice(Record):
    """A model whose cache can be looked at."""

    id: str
    name: str
    chosen: bool


class CacheView(Record):
    """`clear_memory` and `clear_disk` say what clearing would free, "" where there is nothing to clear; `most` how many chats are kept.

    `mark` changes whenever anything else does.
    """

    model: str
    choices: tuple[Choice, ...]
    phase: ModelPhase
    phase_text: str
    can_load: bool
    figures: tuple[Figure, ...]
    tiers: tuple[Tier, ...]
    courses: tuple[Course, ...]
    tree: TreeView
    requests: tuple[RequestRow, ...]
    notices: tuple[Notice, ...] = ()
    clear_memory: str = ""
    clear_disk: str = ""
    most: str = ""
    mark: str = ""


class Looked(Record):
    """What was found: the model's cache, where the model stands, and all models that could be looked at, this one too."""

    model: str
    state: CacheState
    standing: ModelState | None
    keepers: tuple[CacheKeeper, ...]
    titles: Mapping[str, str]
    notices: tuple[Notice, ...] = ()


def cache_view(looked: Looked, now_s: float) -> CacheView:
    """All of the tab."""
    state, phase = looked.state, looked.standing.phase if looked.standing else "asleep"
    counting = phase in COUNTING
    view = CacheView(
        model=looked.model,
        choices=tuple(Choice(id=each.model, name=named(each), chosen=each.model == looked.model) for each in looked.keepers),
        phase=phase,
        phase_text=_phase(looked.standing),
        can_load=phase in ("asleep", "crashed") and all(each.model != looked.model or each.model != each.folder for each in looked.keepers),
        figures=figures(state, counting),
        tiers=tiers(state, counting),
        courses=courses(state, now_s),
        tree=tree(state.entries, looked.titles, now_s),
        requests=request_rows(state.recent, looked.titles, now_s),
        notices=(*looked.notices, *_notices(state, phase)),
        clear_memory=_clearing_memory(state),
        clear_disk=_clearing_disk(state),
        most=f"At most {words.several(state.most_entries, 'chat')}, as set" if state.most_entries else "",
    )
    return _marked(view)


def _marked(view: CacheView) -> CacheView:
    return msgspec.structs.replace(view, mark=f"{zlib.crc32(repr(view).encode('utf-8', 'replace')):08x}")


def named(keeper: CacheKeeper) -> str:
    """A model as a person knows it; of one that is gone the last part of its folder."""
    if keeper.model == keeper.folder:
        return f"{words.shorten(keeper.folder.rstrip('/').rpartition('/')[2], 36)} (no longer here)"
    return "Starter" if keeper.model == "starter" else words.shorten(keeper.model, 44)


def _phase(standing: ModelState | None) -> str:
    if standing is None:
        return PHASES["asleep"]
    text = PHASES[standing.phase]
    return f"{text} {words.percent(standing.fraction)}" if standing.phase == "loading" else text


def _notices(state: CacheState, phase: ModelPhase) -> tuple[Notice, ...]:
    found = []
    if state.problem:
        text = f"{state.problem} What is in memory still works; look at the disk’s room and at who may write to the app’s folder."
        found.append(Notice(tone="warn", headline="What is read cannot be kept on disk", text=text))
    if phase in COUNTING and not state.memory_budget and not state.disk_budget:
        text = "It has no room in memory and none on disk. Give it some under Settings, and what is read once need not be read again."
        found.append(Notice(tone="warn", headline="The prompt cache is switched off", text=text))
    return tuple(found)


def _clearing_memory(state: CacheState) -> str:
    if not state.memory_bytes:
        return ""
    only = sum(entry.memory_bytes > 0 and not entry.disk_bytes for entry in state.entries)
    lost = (
        f"{words.several(only, 'entry', 'entries')} of it {'is' if only == 1 else 'are'} not on disk and will be read again. "
        if only
        else ""
    )
    return f"This frees {words.size(state.memory_bytes)} of memory, pinned entries included. {lost}There is no way back."


def _clearing_disk(state: CacheState) -> str:
    mine = sum(entry.disk_bytes for entry in state.entries)
    if not mine:
        return ""
    return (
        f"This removes {words.size(mine)} from the disk, pinned entries included. "
        "What is in memory too stays until the model is unloaded. There is no way back."
    )
