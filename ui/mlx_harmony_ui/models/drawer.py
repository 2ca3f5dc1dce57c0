"""All that is known of one model, beside the list: facts, what it would need of the memory, its revisions, who uses it. Pure."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from mlx_harmony.models.holdings import Holding, Revision
from mlx_harmony.models.info import ModelInfo
from mlx_harmony.models.outlook import USUAL_CONTEXT, Needs
from mlx_harmony.models.removal import Selected
from mlx_harmony.records import ChatName, Record
from mlx_harmony_ui import listing, words
from mlx_harmony_ui.models.rows import FITS, Row, Standing, parameters, row_of
from mlx_harmony_ui.models.tiles import revision_name
from mlx_harmony_ui.models.wanted import key_of

BEGINS_AT = 16_384
"""The context at which the forecast stands at first, where the model has one so long."""
SHORTEST = 1024


class Fact(Record):
    """`exact` is shown on hover; `copied`: what the button beside it copies, "" for none."""

    name: str
    text: str
    exact: str = ""
    copied: str = ""


class Point(Record):
    """The forecast at one context, in words; widths are percent of the bar, `free` where on it the free memory ends, -1 for unknown."""

    context: str
    total: str
    told: str
    verdict: str
    fit: str
    weights: float
    kv: float
    working: float
    free: float


class RevisionRow(Record):
    """One revision on the disk. `alone`: it goes with the whole model, so that it is not selected by itself."""

    key: str
    name: str
    commit: str
    size: str
    frees: str
    used: str
    exact: str
    current: bool
    detached: bool
    alone: bool


class Drawer(Record):
    """One model. `points` is the forecast at each step of the slider, which begins at `step`; `making_room` says what a load would do."""

    row: Row
    id: str
    path: str
    facts: tuple[Fact, ...]
    points: tuple[Point, ...]
    step: int
    making_room: str
    revisions: tuple[RevisionRow, ...]
    half_key: str
    half_size: str
    drafts: tuple[str, ...]
    profiles: tuple[str, ...]
    chats: str
    latest_chats: tuple[ChatName, ...] = ()
    more_chats: str = ""

    @property
    def told(self) -> str:
        """The forecast for the page's slider."""
        return json.dumps([{name: getattr(point, name) for name in point.__struct_fields__} for point in self.points])


class Opened(NamedTuple):
    """What was found of the model beside the list: `needs` at each context, and what a load of it would do."""

    info: ModelInfo
    holding: Holding | None
    needs: tuple[tuple[int, Needs], ...]
    making_room: str = ""


def contexts(length: int | None) -> tuple[int, ...]:
    """The contexts that are told of: from 1,024 on, each twice the last, and the model's own length."""
    length = length or USUAL_CONTEXT
    steps = [SHORTEST]
    while steps[-1] * 2 < length:
        steps.append(steps[-1] * 2)
    return tuple(dict.fromkeys((*(step for step in steps if step < length), length)))


def drawer_of(opened: Opened, standing: Standing, now_s: float) -> Drawer:
    """The model as it stands."""
    info, holding = opened.info, opened.holding
    lengths = [length for length, _ in opened.needs]
    wanted = min(BEGINS_AT, lengths[-1]) if lengths else 0
    return Drawer(
        row=row_of(info, standing, now_s),
        id=info.entry.id,
        path=info.entry.folder,
        facts=tuple(_facts(info, standing, now_s)),
        points=tuple(_point(length, needs) for length, needs in opened.needs),
        step=max((at for at, length in enumerate(lengths) if length <= wanted), default=0),
        making_room=opened.making_room,
        revisions=tuple(_revision(info, each, holding, now_s) for each in holding.revisions) if holding else (),
        half_key=key_of(Selected(id=info.entry.id, incomplete_only=True)) if holding and holding.incomplete_bytes else "",
        half_size=words.size(holding.incomplete_bytes) if holding else "",
        drafts=info.drafts,
        profiles=info.profiles,
        chats=f"It answered in {words.several(info.chats, 'chat')}{':' if info.latest_chats else '.'}" if info.chats else "",
        latest_chats=info.latest_chats,
        more_chats=_more(info),
    )


def going_text(going: Sequence[str], waits_for: Sequence[str]) -> str:
    """What a load does to the models that are loaded; "" where it leaves them alone."""
    if going:
        return f"Loading it makes room: {', '.join(going)} {'is' if len(going) == 1 else 'are'} unloaded."
    return f"Loading it waits until {', '.join(waits_for)} {'has' if len(waits_for) == 1 else 'have'} answered." if waits_for else ""


def _more(info: ModelInfo) -> str:
    """What the latest chats leave out."""
    more = info.chats - len(info.latest_chats)
    return f"and {words.count(more)} more" if info.latest_chats and more > 0 else ""


def _facts(info: ModelInfo, standing: Standing, now_s: float) -> list[Fact]:
    entry, state = info.entry, standing.states.get(info.entry.id)
    facts = [
        Fact(name="Id", text=entry.id, copied=entry.id),
        Fact(name="Family", text=info.family),
        Fact(name="Architecture", text=entry.architecture),
        Fact(name="Parameters", text=parameters(info.parameters).partition(" ")[0] if info.parameters else ""),
        Fact(name="Bits", text=str(entry.bits) if entry.bits else "not quantised" if entry.architecture else ""),
        Fact(name="Context", text=f"{words.count(entry.context_length)} tokens" if entry.context_length else ""),
        Fact(name="Format", text=listing.FORMATS[entry.format]),
        Fact(name="Thinking", text=info.thinking),
        Fact(name="Tools", text=info.tools),
        Fact(name="Over", text=entry.base),
        Fact(name="On disk", text=words.size(info.disk_bytes), exact=f"{words.count(info.disk_bytes)} bytes"),
        Fact(name="From", text=listing.SOURCES[entry.source]),
        Fact(name="Revision", text=f"{info.ref} {info.revision[:8]}".strip(), exact=info.revision, copied=info.revision),
        _moment("Last used", info.last_used_at, now_s),
        _moment("Changed", entry.modified_at, now_s),
        Fact(name="In memory", text=words.size(state.memory_bytes) if state and state.memory_bytes else ""),
        _moment("Loaded", state.loaded_at if state else None, now_s),
        Fact(name="Path", text=words.shorten(entry.folder, 40), exact=entry.folder, copied=entry.folder),
    ]
    return [fact for fact in facts if fact.text]


def _moment(name: str, at: float | None, now_s: float) -> Fact:
    return Fact(name=name, text=words.ago(at, now_s) if at else "", exact=words.exact(at) if at else "")


def _point(length: int, needs: Needs) -> Point:
    told, free = needs.forecast, needs.free
    scale = max(told.total, free or 0, 1) / 100
    parts = f"weights {words.size(told.weights)}, context {words.size(told.kv)}, room to work {words.size(told.working)}"
    return Point(
        context=f"{words.count(length)} tokens",
        total=words.size(told.total),
        told=parts + (", as it was seen to take" if told.seen else ""),
        verdict=needs.verdict,
        fit=_fit(needs),
        weights=round(told.weights / scale, 2),
        kv=round(told.kv / scale, 2),
        working=round(told.working / scale, 2),
        free=round(free / scale, 2) if free is not None else -1.0,
    )


def _fit(needs: Needs) -> str:
    """Whether this much context fits, and how much is free."""
    if needs.free is None:
        return "What is free is not known here."
    fits = "It fits" if needs.forecast.total <= needs.free else FITS["too large"].capitalize()
    return f"{fits}: {words.size(needs.free)} are free."


def _revision(info: ModelInfo, revision: Revision, holding: Holding, now_s: float) -> RevisionRow:
    at = revision.last_used_at or revision.modified_at
    alone = len(holding.revisions) == 1
    return RevisionRow(
        key=key_of(Selected(id=holding.id, revision=revision.commit)),
        name=revision_name(revision),
        commit=revision.commit,
        size=words.size(revision.bytes),
        frees="" if alone or revision.own_bytes == revision.bytes else f"frees {words.size(revision.own_bytes)}",
        used=words.ago(at, now_s) if at else "",
        exact=words.exact(at) if at else "",
        current=revision.commit == info.revision,
        detached=revision.detached,
        alone=alone,
    )
