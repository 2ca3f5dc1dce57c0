"""The models as rows of a table, and what else lies on the disk beneath them. Pure records in and out; the clock is given."""

from collections.abc import Callable, Collection, Mapping
from typing import Literal

from mlx_harmony.engine.protocols import ModelPhase, ModelState
from mlx_harmony.models.filtering import Filter
from mlx_harmony.models.holdings import Holding
from mlx_harmony.models.info import ModelInfo
from mlx_harmony.models.outlook import Needs, Verdict
from mlx_harmony.models.removal import Selected
from mlx_harmony.records import ModelEntry, Record
from mlx_harmony_ui import listing, words
from mlx_harmony_ui.models.tiles import KINDS, taken
from mlx_harmony_ui.models.wanted import key_of

FITS: dict[Verdict, str] = {"fits": "fits", "tight": "shorter context", "too large": "will not fit", "unknown": ""}
COLUMNS = (
    ("id", "Name", "name"),
    ("format", "Kind", ""),
    ("size", "Size", "n"),
    ("bits", "Bits", "n"),
    ("context", "Context", "n"),
    ("", "Memory", "n"),
    ("used", "Used", ""),
    ("", "State", ""),
)
"""What each column is sorted by, "" for none, its heading and its class."""
FIGURES = ("size", "bits", "context", "used", "parameters", "modified", "chats")
"""What is sorted from the largest and latest at first."""
GONE = "—"


class Heading(Record):
    """A column's head. `reverse` is what pressing it asks for."""

    sort: str
    name: str
    kind: str
    order: Literal["", "ascending", "descending"] = ""
    reverse: bool = False


class Row(Record):
    """One model. All but flags and `fraction` is text; `key` selects it for deleting, "" where it cannot go."""

    id: str
    name: str
    title: str
    about: str
    kind: str
    size: str
    bits: str
    context: str
    needs: str
    fit: Verdict
    fit_text: str
    fit_title: str
    used: str
    used_exact: str
    phase: ModelPhase
    phase_text: str
    fraction: float
    problem: str
    key: str
    chosen: bool
    pinned: bool
    can_load: bool
    anyway: bool
    can_unload: bool
    can_talk: bool

    @property
    def load_text(self) -> str:
        return "Load anyway" if self.anyway else "Load"


class Standing(Record):
    """What is known beside the files: the states and needs by id, the default model, and those whose last load was refused for room."""

    states: Mapping[str, ModelState] = {}
    needs: Mapping[str, Needs] = {}
    chosen: str = ""
    pinned: Collection[str] = ()
    refused: Collection[str] = ()

    @property
    def loaded(self) -> frozenset[str]:
        return frozenset(each.id for each in self.states.values() if each.phase in ("loading", "awake", "busy"))


class Other(Record):
    """Something on the disk that is no model MLX could run: a data set, a space, another format."""

    id: str
    name: str
    kind: str
    size: str
    used: str
    used_exact: str
    key: str
    problem: str


def headings(wanted: Filter) -> tuple[Heading, ...]:
    """The table's heads as they stand for this order."""
    return tuple(_heading(sort, name, kind, wanted) for sort, name, kind in COLUMNS)


def _heading(sort: str, name: str, kind: str, wanted: Filter) -> Heading:
    if not sort or sort != wanted.sort:
        return Heading(sort=sort, name=name, kind=kind)
    falling = (sort in FIGURES) != wanted.reverse
    return Heading(sort=sort, name=name, kind=kind, order="descending" if falling else "ascending", reverse=not wanted.reverse)


def rows_of(infos: Collection[ModelInfo], standing: Standing, now_s: float) -> tuple[Row, ...]:
    """The models as they stand, in their order."""
    return tuple(row_of(info, standing, now_s) for info in infos)


def row_of(info: ModelInfo, standing: Standing, now_s: float) -> Row:
    """One model as it stands."""
    entry = info.entry
    state, needs = standing.states.get(entry.id), standing.needs.get(entry.id)
    phase: ModelPhase = state.phase if state else "asleep"
    problem = entry.problem or info.lacks or (state.trouble if state else "")
    runs = not entry.problem
    rests = phase in ("asleep", "crashed")
    # One that is loaded has its memory already.
    verdict: Verdict = needs.verdict if needs and rests else "unknown"
    bundled = entry.source == "bundled"
    return Row(
        id=entry.id,
        name="Starter" if bundled else words.shorten(entry.id.rpartition("/")[2], 48),
        title=f"{entry.id}\n{entry.folder}",
        about=_about(info),
        kind="LoRA adapter" if entry.adapter else listing.FORMATS[entry.format],
        size=words.size(info.disk_bytes),
        bits=str(entry.bits) if entry.bits else GONE,
        context=_thousands(entry.context_length),
        needs=words.size(needs.forecast.total) if needs else GONE,
        fit=verdict,
        fit_text=FITS[verdict],
        fit_title=_fit_title(needs) if needs else "",
        used=_used(info.last_used_at, now_s),
        used_exact=words.exact(info.last_used_at) if info.last_used_at else "",
        phase=phase,
        phase_text=listing.phase_text(state),
        fraction=state.fraction if state else 0.0,
        problem=problem,
        key="" if bundled else key_of(Selected(id=entry.id)),
        chosen=entry.id == standing.chosen,
        pinned=entry.id in standing.pinned,
        can_load=runs and rests,
        anyway=verdict == "too large" or entry.id in standing.refused,
        can_unload=runs and not rests,
        can_talk=runs,
    )


def others_of(holdings: Collection[Holding], infos: Collection[ModelInfo], now_s: float) -> tuple[Other, ...]:
    """What lies beside the models, the largest first."""
    listed = {info.entry.id for info in infos}
    rest = sorted((each for each in holdings if each.id not in listed), key=taken, reverse=True)
    return tuple(_other(each, now_s) for each in rest)


def as_info(holding: Holding) -> ModelInfo:
    """A holding in the form in which models are filtered, so that one rule picks both."""
    entry = ModelEntry(id=holding.id, path=holding.path, bytes=holding.bytes, architecture="", format="unsupported", source="hub_cache")
    return ModelInfo(entry=entry, disk_bytes=taken(holding))


def needs_by_id(infos: Collection[ModelInfo], needs_of: Callable[[ModelEntry], Needs | None]) -> dict[str, Needs]:
    """What is forecast for each model that could run. Reads files: called in threads."""
    return {info.entry.id: found for info in infos if not info.entry.problem and (found := needs_of(info.entry)) is not None}


def _other(holding: Holding, now_s: float) -> Other:
    kind = "other format" if holding.kind == "model" else KINDS[holding.kind]
    used = max(holding.last_used_at, holding.modified_at)
    return Other(
        id=holding.id,
        name=words.shorten(holding.id, 60),
        kind=kind,
        size=words.size(taken(holding)),
        used=_used(used, now_s),
        used_exact=words.exact(used) if used else "",
        key=key_of(Selected(id=holding.id)),
        problem=holding.problem,
    )


def _about(info: ModelInfo) -> str:
    """The line under a name."""
    entry = info.entry
    owner = entry.id.rpartition("/")[0]
    parts = [words.shorten(owner, 32), entry.architecture, parameters(info.parameters) if info.parameters else ""]
    if entry.adapter:
        parts = [owner, f"over {words.shorten(entry.base, 40)}"]
    if len(info.revisions) > 1:
        parts.append(words.several(len(info.revisions), "revision"))
    return " · ".join(filter(None, parts))


def parameters(count: int) -> str:
    """How many weights a model has, as models are named for them: `20.9B`, `600M`."""
    for unit, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= unit:
            return f"{count / unit:.3g}{letter} parameters"
    return f"{count} parameters"


def _thousands(tokens: int | None) -> str:
    if not tokens:
        return GONE
    return f"{tokens // 1024}k" if tokens >= 1024 and tokens % 1024 == 0 else words.count(tokens)


def _used(at: float | None, now_s: float) -> str:
    return words.ago(at, now_s) if at else GONE


def _fit_title(needs: Needs) -> str:
    """What the memory is for, and how much there is."""
    told = needs.forecast
    context = f"{words.count(told.context)} tokens {words.size(told.kv)}"
    parts = f"Weights {words.size(told.weights)}, {context}, room to work {words.size(told.working)}"
    return f"{parts}; {words.size(needs.free)} are free" if needs.free is not None else parts
