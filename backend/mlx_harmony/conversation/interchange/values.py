"""Single values of a conversation file: texts, times, numbers and options, taken as far as they make sense. Pure."""

import datetime
import math
from typing import Any

import msgspec

from mlx_harmony.conversation.records import TurnOptions
from mlx_harmony.errors import InvalidRequest
from mlx_harmony.field import Field, check_field
from mlx_harmony.ranges import (
    ANALYSIS_BUDGET,
    CONTEXT_LIMIT,
    MAX_TOKENS,
    NUM_DRAFT_TOKENS,
    SAMPLING_FIELDS,
    check_channels,
    check_sampling,
    check_stops,
)
from mlx_harmony.records import EFFORTS, Effort, Sampling, Tool, ToolKind

DAY_S = 86400.0
_MILLISECONDS = 1e11
_BUILT_IN: tuple[ToolKind, ...] = ("python", "browser", "apply_patch")


def text_of(value: Any) -> str | None:
    """The text, half characters mended; a list of OpenAI's text parts is one text. None for anything else."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list) and all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in value):
        return text_of("".join(part["text"] for part in value))
    return None


def seconds_of(value: Any, now: float) -> float | None:
    """Seconds since the epoch from {unix, iso}, a number, or ISO text (local where it names no zone); None for no past time."""
    if isinstance(value, dict):
        found = seconds_of(value.get("unix"), now)
        return seconds_of(value.get("iso"), now) if found is None else found
    if isinstance(value, str):
        try:
            value = datetime.datetime.fromisoformat(value.strip()).timestamp()
        except (ValueError, OverflowError, OSError):
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e15:
        return None
    seconds = float(value) / 1000 if value > _MILLISECONDS else float(value)
    return seconds if math.isfinite(seconds) and seconds <= now + DAY_S else None


def section(value: Any, *names: str) -> dict[str, Any]:
    """The objects of these names as one, the first named strongest."""
    found = [value.get(name) for name in names] if isinstance(value, dict) else []
    merged: dict[str, Any] = {}
    for each in reversed(found):
        merged |= each if isinstance(each, dict) else {}
    return merged


def numbers_of(given: dict[str, Any], unused: list[str]) -> tuple[Sampling, int | None]:
    """The sampling numbers and the longest answer; names whose values cannot be used are added to `unused`."""
    numbers = {field.name: _number(field, given, unused) for field in (*SAMPLING_FIELDS, MAX_TOKENS)}
    max_tokens = numbers.pop(MAX_TOKENS.name)
    sampling = Sampling(**{name: value for name, value in numbers.items() if value is not None})  # type: ignore[arg-type]
    return sampling, int(max_tokens) if max_tokens is not None else None


def options_of(metadata: dict[str, Any], unused: list[str]) -> TurnOptions:
    """What the next turn of a chat would be made with, as its metadata has it."""
    config = section(metadata, "last_prompt_config", "prompt_config")
    sampling, max_tokens = numbers_of(config | section(metadata, "last_hyperparameters", "hyperparameters"), unused)
    names = metadata.get("tools") if isinstance(metadata.get("tools"), list) else []
    unused += [f"the tool {text_of(str(name)[:40])}" for name in names or () if name not in _BUILT_IN]
    model = next((text for name in ("last_model_path", "model_path", "model") if (text := text_of(metadata.get(name)))), None)
    effort = str(config.get("reasoning_effort", "medium")).lower()
    return TurnOptions(
        model=model,
        sampling=sampling,
        max_tokens=max_tokens,
        effort=_effort(effort),
        identity=text_of(config.get("system_model_identity")),
        instructions=text_of(config.get("developer_instructions")) or "",
        tools=tuple(Tool(kind=name) for name in _BUILT_IN if name in (names or ())),
    )


def own_options(value: Any) -> TurnOptions | None:
    """The options as this release wrote them; None where they are not, or not in range."""
    try:
        options = msgspec.convert(value, TurnOptions, str_keys=True)
        check_sampling(options.sampling)
        check_field(MAX_TOKENS, options.max_tokens)
        check_stops(options.stop)
        check_stops(options.end_tokens, "end_tokens")
        check_field(ANALYSIS_BUDGET, options.analysis_budget)
        check_field(CONTEXT_LIMIT, options.max_context_tokens)
        check_field(NUM_DRAFT_TOKENS, options.num_draft_tokens)
        check_channels(options.channels)
        return msgspec.json.decode(msgspec.json.encode(options), type=TurnOptions)
    except (msgspec.MsgspecError, InvalidRequest, UnicodeEncodeError):
        return None


def _number(field: Field, given: dict[str, Any], unused: list[str]) -> float | int | None:
    value: float | int | None = given.get(field.name)
    if value is None:
        return None
    if field.integer and isinstance(value, float) and value.is_integer():
        value = int(value)
    try:
        check_field(field, value)
    except InvalidRequest:
        unused.append(field.name)
        return None
    return value


def _effort(text: str) -> Effort:
    return next((effort for effort in EFFORTS if effort == text), "medium")
