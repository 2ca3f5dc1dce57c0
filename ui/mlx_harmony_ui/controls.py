"""The chat's options as controls and back: TurnOptions to sliders, what the page sends to checked TurnOptions. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import msgspec

from mlx_harmony.conversation.records import TurnOptions
from mlx_harmony.errors import InvalidRequest
from mlx_harmony.field import LARGEST, Field, check_field
from mlx_harmony.kv_ranges import KV_FIELDS, check_kv
from mlx_harmony.ranges import SAMPLING_FIELDS, TURN_FIELDS, check_channels, check_stops, token_ids
from mlx_harmony.records import (
    AUTO_DRAFT,
    CHANNELS,
    EFFORTS,
    LOOP_DETECTIONS,
    SPECULATIONS,
    Channel,
    Effort,
    KvOptions,
    LoopDetection,
    ModelEntry,
    Record,
    Speculation,
    Tool,
    ToolKind,
)
from mlx_harmony_ui import words

DEFAULT_IDENTITY = "You are ChatGPT, a large language model trained by OpenAI."
GROUPS = (("sampling", "Sampling"), ("length", "Length"), ("repetition", "Repetition"), ("advanced", "Advanced"), ("kv", "KV cache"))
TOOLS: tuple[tuple[ToolKind, str, str], ...] = (
    ("python", "Python", "Arithmetic and small programs."),
    ("browser", "Browser", "Looking at a web page."),
    ("apply_patch", "Patch", "Small edits to files."),
)
CHANNEL_SWITCHES: tuple[tuple[Channel, str], ...] = (("analysis", "Thinking"), ("commentary", "Commentary"))
"""The channels a person may switch off; the answer's own stays."""
LOOP_CHOICES: tuple[tuple[LoopDetection | str, str], ...] = (
    ("", "Usual"),
    ("off", "Off"),
    ("cheap", "Stuck tokens"),
    ("full", "Stuck tokens and phrases"),
)
GUESSERS: tuple[tuple[Speculation, str], ...] = (
    ("auto", "Whatever is faster"),
    ("lookup", "From the chat alone"),
    ("draft", "By a draft model alone"),
    ("off", "Off"),
)
RESEED_CHOICES = (("", "Usual"), ("false", "The same for every turn"), ("true", "One of its own for each turn"))
NO_DRAFT = "none"
"""What the page calls an empty draft model; empty there is what the settings say."""
LONGEST_TEXT = 100_000


class SlideView(Record):
    """One slider, or a list where there are few `choices`. Numbers are already text; an empty `shown` is "the model's own"."""

    name: str
    label: str
    help: str
    span: str
    low: str
    high: str
    reach: str
    step: str
    changed: bool
    shown: str
    position: str
    default: str
    whole: bool
    bounded: bool
    choices: tuple[str, ...] = ()


class SlideGroup(Record):
    name: str
    rows: tuple[SlideView, ...]


def slides(options: TurnOptions) -> tuple[SlideGroup, ...]:
    """Every plain number of a turn, in its group."""
    fields = (*SAMPLING_FIELDS, *TURN_FIELDS, *KV_FIELDS)
    return tuple(
        SlideGroup(name=name, rows=tuple(_slide(field, _value(options, field)) for field in fields if field.group == group))
        for group, name in GROUPS
    )


def _value(options: TurnOptions, field: Field) -> float | None:
    holder = options if field in TURN_FIELDS else options.kv if field in KV_FIELDS else options.sampling
    value: float | None = getattr(holder, field.name)
    return value


def _slide(field: Field, value: float | None) -> SlideView:
    resting = field.default if field.default is not None else _usual(field)
    return SlideView(
        name=field.name,
        label=field.label,
        help=field.help,
        span=field.span,
        low=f"{field.low:g}",
        high=f"{field.high:g}",
        reach=f"{field.reach:.15g}",
        step=f"{field.step:g}",
        changed=value != field.default,
        shown="" if value is None else f"{value:.15g}",
        position=f"{min(resting if value is None else value, field.reach):.15g}",
        default="" if field.default is None else f"{field.default:g}",
        whole=field.integer,
        bounded=field.high < LARGEST,
        choices=tuple(map(str, field.choices)),
    )


def _usual(field: Field) -> float:
    """Where the knob of an unset value rests: only a place to start from."""
    return {"max_tokens": 1024.0, "repetition_penalty": 1.0, "repetition_context_size": 256.0}.get(
        field.name, field.reach if field in TURN_FIELDS else field.low
    )


def options_from(data: Mapping[str, Any], kept: TurnOptions) -> TurnOptions:
    """The options a page sent, each checked, over those `kept`: what the page has no control for stays.

    Raises InvalidRequest naming the field.
    """
    numbers = _mapping(data, "numbers")
    return msgspec.structs.replace(
        kept,
        model=_text(data, "model") or None,
        sampling=msgspec.structs.replace(
            kept.sampling, **_numbers(SAMPLING_FIELDS, numbers), xtc_special_tokens=_ids(data, "xtc_special_tokens")
        ),
        **_numbers(TURN_FIELDS, numbers),
        stop=_lines(data, "stop"),
        end_tokens=_lines(data, "end_tokens"),
        channels=_channels(data.get("channels", list(CHANNELS))),
        loop_detection=_loop_detection(data.get("loop_detection", "")),
        reseed_each_turn=_reseed(data.get("reseed_each_turn", "")),
        speculation=_speculation(data.get("speculation", "auto")),
        draft_model=_draft_model(_text(data, "draft_model")),
        effort=effort_from(data.get("effort", "medium")),
        identity=_text(data, "identity").strip() or None,
        instructions=_text(data, "instructions"),
        kv=_kv(numbers),
        tools=(*(tool for tool in kept.tools if tool.kind == "function"), *_tools(data.get("tools", []))),
    )


def _numbers(fields: tuple[Field, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    return {field.name: number_from(field, given.get(field.name)) for field in fields}


def _kv(given: Mapping[str, Any]) -> KvOptions:
    kv = KvOptions(**_numbers(KV_FIELDS, given))
    check_kv(kv)
    return kv


def number_from(field: Field, value: object) -> Any:
    """A number the page sent, its default in place of none. Raises InvalidRequest naming the field."""
    if value is None:
        return field.default if field.default is None or not field.integer else int(field.default)
    if field.integer and isinstance(value, float) and value.is_integer():
        value = int(value)
    check_field(field, value)
    return value


def _mapping(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = data.get(name, {})
    if not isinstance(value, dict):
        raise InvalidRequest(f"{name} must be an object.", param=name)
    return value


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name) or ""
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise InvalidRequest(f"{name} must be text of at most {LONGEST_TEXT:,} characters.", param=name)
    return value


def _lines(data: Mapping[str, Any], name: str) -> tuple[str, ...]:
    lines = tuple(line for line in _text(data, name).splitlines() if line)
    check_stops(lines, name)
    return lines


def _ids(data: Mapping[str, Any], name: str) -> tuple[int, ...] | None:
    text = _text(data, name).strip()
    return token_ids(name, text) if text else None


def _channels(value: object) -> tuple[Channel, ...]:
    if not isinstance(value, list) or not all(isinstance(channel, str) for channel in value):
        raise InvalidRequest("channels must be a list of names.", param="channels")
    check_channels(tuple(value))
    return tuple(channel for channel in CHANNELS if channel in value)


def _loop_detection(value: object) -> LoopDetection | None:
    for choice in LOOP_DETECTIONS:
        if value == choice:
            return choice
    if value:
        raise InvalidRequest(f"The loop detection must be one of {', '.join(LOOP_DETECTIONS)}.", param="loop_detection")
    return None


def _reseed(value: object) -> bool | None:
    if value not in ("", "true", "false"):
        raise InvalidRequest("reseed_each_turn must be true or false.", param="reseed_each_turn")
    return None if value == "" else value == "true"


def _speculation(value: object) -> Speculation:
    for choice in SPECULATIONS:
        if value == choice:
            return choice
    raise InvalidRequest(f"Guessing ahead must be one of {', '.join(SPECULATIONS)}.", param="speculation")


def _draft_model(value: str) -> str | None:
    return "" if value == NO_DRAFT else value or None


def draft_choices(models: Sequence[ModelEntry], chosen: str | None) -> tuple[tuple[str, str], ...]:
    """The draft models to choose from, as (value, name); one that was chosen and is gone stays in the list."""
    names = tuple((model.id, words.shorten(model.id, 40)) for model in models if not model.problem)
    gone = (
        ((chosen, f"{words.shorten(chosen, 28)} (not here)"),)
        if chosen and chosen not in {AUTO_DRAFT, *(name for name, _ in names)}
        else ()
    )
    return (("", "As the settings say"), (NO_DRAFT, "None"), (AUTO_DRAFT, "The largest that fits"), *names, *gone)


def effort_from(value: object) -> Effort:
    """An effort the page sent. Raises InvalidRequest for anything else."""
    for effort in EFFORTS:
        if value == effort:
            return effort
    raise InvalidRequest(f"The reasoning effort must be one of {', '.join(EFFORTS)}.", param="effort")


def _tools(value: object) -> tuple[Tool, ...]:
    kinds = get_args(ToolKind)
    if not isinstance(value, list) or not all(kind in kinds and kind != "function" for kind in value):
        raise InvalidRequest("Only the tools python, browser and apply_patch can be offered here.", param="tools")
    return tuple(Tool(kind=kind) for kind in dict.fromkeys(value))
