"""The voices of a turn: the model's messages of one answer, in the order it spoke them. Knows neither Gradio nor HTML.

A stored answer and a growing one both become voices, so that what is shown while it streams is what is shown after.
"""

import json
from typing import Literal

import msgspec

from mlx_harmony.conversation.records import ChatMessage, Lane
from mlx_harmony.records import Channel, Record, ToolCall

Part = Literal["thinking", "aside", "call", "answer"]


class Voice(Record):
    """One message of the model. Seconds; `ended_s` None while it is still being written. `name` and `text` of a call are OpenAI's."""

    index: int
    channel: Channel
    text: str = ""
    recipient: str | None = None
    content_type: str | None = None
    name: str = ""
    started_s: float = 0.0
    ended_s: float | None = None
    stop_token: str = ""
    raw: str = ""
    tokens: int = 0

    @property
    def part(self) -> Part:
        """What it is to the reader; a recipient makes a call of any channel."""
        if self.recipient or self.name:
            return "call"
        match self.channel:
            case "analysis":
                return "thinking"
            case "commentary":
                return "aside"
            case "final":
                return "answer"

    @property
    def seconds(self) -> float:
        return max(0.0, (self.ended_s or self.started_s) - self.started_s)


def of_message(message: ChatMessage) -> tuple[Voice, ...]:
    """The voices of a stored answer; one without lanes is read from its fields."""
    voices = _from_lanes(message.lanes, message.tool_calls) if message.lanes else _from_fields(message)
    thinking = [voice.index for voice in voices if voice.part == "thinking"]
    spent_s = message.thinking_ms / 1000
    if thinking and spent_s:
        first = thinking[0]
        voices = [_timed(voice, spent_s) if voice.index == first else voice for voice in voices]
    return tuple(voices)


def _from_lanes(lanes: tuple[Lane, ...], calls: tuple[ToolCall, ...]) -> list[Voice]:
    waiting = list(calls)
    voices = []
    for index, lane in enumerate(lanes):
        call = waiting.pop(0) if lane.recipient and waiting else None
        voices.append(
            Voice(
                index=index,
                channel=lane.channel,
                text=call.arguments if call else lane.text,
                recipient=lane.recipient,
                content_type=lane.content_type,
                name=call.name if call else lane.recipient or "",
                ended_s=0.0,
                stop_token=lane.stop_token,
                raw=lane.raw,
                tokens=lane.tokens,
            )
        )
    return voices


def _from_fields(message: ChatMessage) -> list[Voice]:
    spoken: list[tuple[Channel, str]] = []
    if message.reasoning:
        spoken.append(("analysis", message.reasoning))
    if message.content:
        spoken.append(("commentary" if message.tool_calls else "final", message.content))
    voices = [Voice(index=index, channel=channel, text=text, ended_s=0.0) for index, (channel, text) in enumerate(spoken)]
    voices += [
        Voice(index=len(spoken) + index, channel="commentary", text=call.arguments, name=call.name, ended_s=0.0)
        for index, call in enumerate(message.tool_calls)
    ]
    return voices


def _timed(voice: Voice, seconds: float) -> Voice:
    return msgspec.structs.replace(voice, started_s=0.0, ended_s=seconds)


def call_source(voice: Voice) -> tuple[str, str]:
    """(language, text) of a call's argument as a person reads it: code as code, a patch as a patch, anything else as JSON."""
    try:
        arguments = json.loads(voice.text)
    except ValueError:
        return "", voice.text
    if isinstance(arguments, dict):
        for key, language in (("code", "python"), ("patch", "diff")):
            if set(arguments) == {key} and isinstance(arguments[key], str):
                return language, arguments[key]
    return "json", json.dumps(arguments, ensure_ascii=False, indent=2)


def call_line(voice: Voice, limit: int = 90) -> str:
    """The argument in one line."""
    _, source = call_source(voice)
    line = " ".join(source.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
