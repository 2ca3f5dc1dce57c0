"""An alias as a form, and what the page made of it back as an alias. Pure; what may be kept is the service's to say."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from mlx_harmony.errors import HarmonyError, InvalidRequest
from mlx_harmony.records import EFFORTS, Effort, ModelEntry, Record
from mlx_harmony.routing.records import STRATEGIES, Alias, AliasRow, Rule
from mlx_harmony_ui import words

LIMITS = (("min_tokens", "Tokens from"), ("max_tokens", "to"), ("min_characters", "Characters from"), ("max_characters", "to"))
LONGEST_NAME = 60
LONGEST_NUMBER = 10
LONGEST_ID = 4096
MOST = 100
TOOLS = {"": None, "yes": True, "no": False}


class Choice(Record):
    """Somebody who may answer."""

    id: str
    name: str


class Limit(Record):
    """One bound of a prompt's length in a rule; `value` is text, empty for none."""

    name: str
    label: str
    full: str
    value: str


class RuleForm(Record):
    """A rule with all that it may ask for; "" where it does not ask."""

    model: str
    limits: tuple[Limit, ...]
    tools: str = ""
    effort: str = ""


class AliasForm(Record):
    """The form. `new`: the name is still to be given. `blank` is what another rule begins as."""

    name: str
    new: bool
    models: tuple[str, ...]
    strategy: str
    rules: tuple[RuleForm, ...]
    fallbacks: tuple[str, ...]
    choices: tuple[Choice, ...]
    blank: RuleForm
    efforts: tuple[str, ...] = EFFORTS


def form_of(alias: Alias | None, entries: Iterable[ModelEntry], rows: Iterable[AliasRow]) -> AliasForm:
    """The form of an alias, or of a new one; it may name any model and any other alias, and goes on naming what is not here."""
    own = alias or Alias(name="")
    choices = {entry.id: _choice(entry, "cannot run") for entry in entries}
    choices |= {row.entry.id: _choice(row.entry, "cannot be used", "alias") for row in rows if row.entry.id not in (own.name, *choices)}
    for name in own.named:
        choices.setdefault(name, Choice(id=name, name=f"{words.shorten(name, 48)} (not here)"))
    first = own.models or tuple(choices)[:1]
    return AliasForm(
        name=own.name,
        new=alias is None,
        models=first,
        strategy=own.strategy,
        rules=tuple(map(_rule_form, own.rules)),
        fallbacks=own.fallbacks,
        choices=tuple(choices.values()),
        blank=_rule_form(Rule(model=next(iter(choices), ""))),
    )


def alias_from(sent: Mapping[str, Any]) -> Alias:
    """The alias that the page sent. Raises InvalidRequest with the field at fault in `param`, as `models` or `rules[0].max_tokens`."""
    models = _ids(sent.get("models"))
    if not models:
        raise InvalidRequest("Choose at least one model.", param="models")
    strategy = next((each for each in STRATEGIES if each == sent.get("strategy")), STRATEGIES[0])
    rules = sent.get("rules")
    records = [each for each in rules if isinstance(each, dict)][:MOST] if isinstance(rules, list) else []
    name = sent.get("name")
    return Alias(
        name=name if isinstance(name, str) else "",
        models=models,
        strategy=strategy,
        rules=tuple(_rule_from(each, f"rules[{at}]") for at, each in enumerate(records)),
        fallbacks=_ids(sent.get("fallbacks")),
    )


def sent_of(alias: Alias) -> dict[str, Any]:
    """An alias as the page would send it, so that it can be brought back."""
    rules = [{name: _text(value) for name, value in msgspec.to_builtins(rule).items()} for rule in alias.rules]
    return {
        "name": alias.name,
        "models": list(alias.models),
        "strategy": alias.strategy,
        "rules": rules,
        "fallbacks": list(alias.fallbacks),
    }


def beside(error: HarmonyError) -> str:
    """What is wrong, as it stands beside the field that the error names."""
    rest = error.message.removeprefix(f"{error.param} ") if error.param else error.message
    told = error.message if rest == error.message else f"This {rest}"
    return told[:1].upper() + told[1:]


def _choice(entry: ModelEntry, problem: str, kind: str = "") -> Choice:
    told = ", ".join(part for part in (kind, problem if entry.problem else "") if part)
    return Choice(id=entry.id, name=words.shorten(entry.id, 48) + (f" ({told})" if told else ""))


def _rule_form(rule: Rule) -> RuleForm:
    unit = {"min": "at least", "max": "at most"}
    limits = tuple(
        Limit(name=name, label=label, full=f"{name[4:].capitalize()}, {unit[name[:3]]}", value=_text(getattr(rule, name)))
        for name, label in LIMITS
    )
    return RuleForm(model=rule.model, limits=limits, tools=_text(rule.tools), effort=rule.effort or "")


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def _ids(sent: object) -> tuple[str, ...]:
    """The names that were chosen, in their order, each once."""
    given = sent if isinstance(sent, list) else []
    return tuple(dict.fromkeys(each for each in given if isinstance(each, str) and 0 < len(each) <= LONGEST_ID))[:MOST]


def _rule_from(sent: Mapping[str, Any], place: str) -> Rule:
    model = sent.get("model")
    asks = {name: _number(sent.get(name), f"{place}.{name}") for name, _ in LIMITS}
    tools, effort = TOOLS.get(str(sent.get("tools"))), _effort(sent.get("effort"))
    rule = Rule(model=model if isinstance(model, str) else "", tools=tools, effort=effort, **asks)
    if rule == Rule(model=rule.model):
        raise InvalidRequest("Say when it answers: by a length, tools or an effort.", param=place)
    return rule


def _effort(sent: object) -> Effort | None:
    return next((effort for effort in EFFORTS if effort == sent), None)


def _number(sent: object, place: str) -> int | None:
    text = sent.strip() if isinstance(sent, str) else ""
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > LONGEST_NUMBER:
        raise InvalidRequest("A length is a whole number of 0 or more.", param=place)
    return int(text)
