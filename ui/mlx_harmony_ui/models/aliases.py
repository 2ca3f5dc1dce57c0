"""Aliases as the Models tab lists them: whom each leads to, in which order, and who answered for it. Pure; the clock is given."""

from collections.abc import Iterable
from typing import NamedTuple

from mlx_harmony.records import Record
from mlx_harmony.routing.choosing import because
from mlx_harmony.routing.records import Alias, AliasRow
from mlx_harmony_ui import words


class Aliased(NamedTuple):
    """An alias as listed, and the last way that a request to it went: when, and what was said of it; 0 and "" for none yet."""

    row: AliasRow
    at: float = 0.0
    note: str = ""


class AliasFact(Record):
    """One line of what is known of an alias; `exact` is shown on hover."""

    name: str
    text: str
    exact: str = ""


class AliasView(Record):
    """One alias. `problem` says why it cannot be asked, `missing` which of its models are not here."""

    id: str
    name: str
    facts: tuple[AliasFact, ...]
    chosen: bool
    problem: str
    missing: str

    @property
    def can_talk(self) -> bool:
        return not self.problem


def aliases_of(aliases: Iterable[Aliased], chosen: str, now_s: float) -> tuple[AliasView, ...]:
    """The aliases as they stand; `chosen` is the default model."""
    return tuple(_view(each, chosen, now_s) for each in aliases)


def _view(each: Aliased, chosen: str, now_s: float) -> AliasView:
    row = each.row
    return AliasView(
        id=row.entry.id,
        name=words.shorten(row.entry.id, 48),
        facts=(*_leads_to(row.alias), *_answered(each, now_s)),
        chosen=row.entry.id == chosen,
        problem=row.alias.problem,
        missing="" if row.alias.problem or not row.missing else f"Not on this machine: {', '.join(row.missing)}.",
    )


def _leads_to(alias: Alias) -> Iterable[AliasFact]:
    """Its rules in their order, the models where none of them holds, and who answers where these cannot."""
    for rule in alias.rules:
        yield AliasFact(name=f"Where {because(rule)}", text=rule.model)
    if alias.models:
        yield AliasFact(name=_strategy(alias), text=", ".join(alias.models))
    if alias.fallbacks:
        yield AliasFact(name="Where they cannot", text=", ".join(alias.fallbacks))


def _strategy(alias: Alias) -> str:
    if len(alias.models) == 1:
        return "Else" if alias.rules else "Leads to"
    return "In turns" if alias.strategy == "round_robin" else "The first that can"


def _answered(each: Aliased, now_s: float) -> Iterable[AliasFact]:
    """How often each model answered since the program started, the busiest first, and who did last."""
    if not each.row.answered:
        return
    busiest = sorted(each.row.answered.items(), key=lambda found: (-found[1], found[0]))
    yield AliasFact(name="Answered so far", text=", ".join(f"{model} {words.several(times, 'time')}" for model, times in busiest))
    if each.note:
        yield AliasFact(name="The last time", text=f"{words.ago(each.at, now_s)}: {each.note}", exact=words.exact(each.at))
