r"""What may be typed into a chat instead of a message: `\help`, `\list`, `\models`, `\set name=value`, each also with `/`.

Pure: it reads the text and says what was meant. It neither shows anything nor knows where it was typed.
"""

import re

import msgspec

from mlx_harmony.conversation.records import TurnOptions
from mlx_harmony.conversation.typed import ALSO_CALLED, TYPED, put
from mlx_harmony.errors import InvalidRequest
from mlx_harmony.field import Field, check_field
from mlx_harmony.kv_ranges import FORMS, KV_FIELDS, check_kv, combined
from mlx_harmony.ranges import ANALYSIS_BUDGET, SAMPLING_FIELDS, TURN_FIELDS
from mlx_harmony.records import KvOptions, Record

HELP = (
    (r"\help", "this list"),
    (r"\list, \show", "the settings of the next answer"),
    (r"\models", "the models on this machine"),
    (r"\set name=value", r"change a setting, as in \set temperature=0.7; \set temperature=default takes it back"),
)
"""Each command with its sentence, as shown by `\\help` and beside an unknown command."""

_FIELDS = {field.name: field for field in (*SAMPLING_FIELDS, *TURN_FIELDS, *KV_FIELDS)}
_TYPED = {field.name: field for field in TYPED}
_COMMAND = re.compile(r"[\\/](?P<name>[A-Za-z]+)(?:\s+(?P<rest>.*))?", re.DOTALL)


class Suggestion(Record):
    """What may be typed next: `text` as it would stand in the box, `note` what it does or takes. `whole`: it can be sent as it is."""

    text: str
    note: str
    whole: bool = True


class Help(Record, tag="help"):
    """Show what can be typed."""


class ShowSettings(Record, tag="settings"):
    """Show what the next answer is made with."""


class ListModels(Record, tag="models"):
    """Show the models on this machine."""


class SetValue(Record, tag="set"):
    """Change one setting; `value` is still text."""

    name: str
    value: str


class Unknown(Record, tag="unknown"):
    """It looks like a command and is none."""

    name: str


Command = Help | ShowSettings | ListModels | SetValue | Unknown


def parse_command(text: str) -> Command | None:
    """The command in `text`; None where it is a message, as anything is whose first word is a path (`/usr/bin`) or holds no plain name.

    Raises InvalidRequest for a `\\set` without `name=value`.
    """
    found = _COMMAND.fullmatch(text.strip())
    if found is None:
        return None
    rest = (found["rest"] or "").strip()
    match found["name"].lower():
        case "help":
            return Help()
        case "list" | "show":
            return ShowSettings()
        case "models":
            return ListModels()
        case "set":
            return _set_value(rest)
        case name:
            return Unknown(name=name)


def change(options: TurnOptions, name: str, value: str) -> TurnOptions:
    """`options` with one setting changed. Raises InvalidRequest, naming the known settings or the range."""
    if name in _TYPED:
        return put(options, _TYPED[name], value)
    field = _FIELDS.get(name)
    if field is None:
        raise InvalidRequest(f"There is no setting {name!r}.", hint=f"Known settings: {', '.join([*_FIELDS, *_TYPED])}.", param=name)
    number = field.default if value.lower() == "default" else parse_number(field, value)
    if field in TURN_FIELDS:
        return msgspec.structs.replace(options, **{name: number})
    if field in KV_FIELDS:
        return msgspec.structs.replace(options, kv=_with_kv(options.kv, name, number))
    return msgspec.structs.replace(options, sampling=msgspec.structs.replace(options.sampling, **{name: number}))


def _with_kv(kv: KvOptions, name: str, number: float | None) -> KvOptions:
    """The form with one number changed. Raises InvalidRequest where it has no effect beside the others."""
    changed = combined(kv, KvOptions(**{name: int(number or 0)})) if number is not None or name in FORMS else kv
    if number is None:
        # With its form goes what only had an effect beside it.
        changed = msgspec.structs.replace(changed, **{name: None})
    check_kv(changed)
    return changed


def parse_number(field: Field, text: str) -> float | int:
    """The number in `text`. Raises InvalidRequest, with the range, where it is none, not finite or out of range."""
    try:
        value = int(text) if field.integer else float(text)
    except ValueError:
        raise InvalidRequest(f"{field.name} must be a number, {field.span}; it was {text!r}.", param=field.name) from None
    check_field(field, value)
    return value


def suggestions() -> tuple[Suggestion, ...]:
    r"""Every command, then every setting that `\set` knows with its range, as they are typed."""
    commands = (
        Suggestion(text=r"\help", note="all commands"),
        Suggestion(text=r"\list", note="the settings of the next answer"),
        Suggestion(text=r"\models", note="the models on this machine"),
        Suggestion(text="\\set ", note="change a setting", whole=False),
    )
    takes = {field.name: field.span for field in _FIELDS.values()} | {field.name: field.takes for field in TYPED}
    takes |= {name: f"the same as {other}" for name, other in ALSO_CALLED.items()}
    return (*commands, *(Suggestion(text=f"\\set {name}=", note=note, whole=False) for name, note in takes.items()))


def describe(options: TurnOptions) -> tuple[tuple[str, str], ...]:
    """Name and value, in words, of each setting that `\\set` knows."""
    numbers = [(field.name, getattr(options.sampling, field.name)) for field in SAMPLING_FIELDS]
    shown = [*numbers, *((field.name, getattr(options, field.name)) for field in TURN_FIELDS)]
    shown += [(field.name, getattr(options.kv, field.name)) for field in KV_FIELDS]
    unset = {ANALYSIS_BUDGET.name: "none"} | dict.fromkeys([field.name for field in KV_FIELDS], "unset")
    return (
        *((name, unset.get(name, "the model's own") if value is None else f"{value:g}") for name, value in shown),
        *((field.name, field.said(options)) for field in TYPED),
    )


def _set_value(rest: str) -> SetValue:
    name, equals, value = rest.partition("=")
    if not equals or not name.strip() or not value.strip():
        raise InvalidRequest(r"\set takes name=value.", hint=r"For example: \set temperature=0.7")
    known = name.strip().lower().replace("-", "_")
    return SetValue(name=ALSO_CALLED.get(known, known), value=value.strip())
