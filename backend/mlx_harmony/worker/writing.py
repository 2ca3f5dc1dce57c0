"""The events of one message of the model while it is being written: text on a channel, or a call. Knows no format and no control tokens."""

import json
import secrets
from typing import Literal, Protocol

from mlx_harmony.events import Event, MessageStarted, TextDelta, TokenLogprob, ToolCallDelta
from mlx_harmony.records import Channel
from mlx_harmony.worker.utf8 import Utf8

Wrapping = Literal["json", "text", "patch"]
"""How a call's content becomes JSON: it is JSON; it is the text of one key; it is either, which its first letter tells."""


class Writer(Protocol):
    """Turns the bytes of one message into events."""

    @property
    def broken(self) -> bool: ...

    @property
    def waiting(self) -> bool: ...

    def start(self) -> list[Event]: ...

    def write(self, piece: bytes, logprobs: tuple[TokenLogprob, ...] = ()) -> list[Event]: ...

    def finish(self, complete: bool) -> list[Event]: ...


class TextWriter:
    """Text on a channel. Log-probabilities of tokens that end inside a character go with the delta that completes it."""

    def __init__(self, index: int, channel: Channel, recipient: str | None = None, content_type: str | None = None) -> None:
        self._started = MessageStarted(index=index, channel=channel, recipient=recipient, content_type=content_type)
        self._utf8 = Utf8()
        self._logprobs: tuple[TokenLogprob, ...] = ()

    @property
    def broken(self) -> bool:
        return self._utf8.broken

    @property
    def waiting(self) -> bool:
        return self._utf8.waiting

    def start(self) -> list[Event]:
        return [self._started]

    def write(self, piece: bytes, logprobs: tuple[TokenLogprob, ...] = ()) -> list[Event]:
        text = self._utf8.feed(piece)
        logprobs = self._logprobs + logprobs
        if not text:
            self._logprobs = logprobs
            return []
        self._logprobs = ()
        return [TextDelta(index=self._started.index, channel=self._started.channel, text=text, logprobs=logprobs)]

    def finish(self, complete: bool) -> list[Event]:
        self._utf8.finish()
        return []


class CallWriter:
    """A tool call. `wrapping` says how its content becomes the JSON of its arguments, `key` under which name a bare text stands."""

    def __init__(self, started: MessageStarted, name: str, wrapping: Wrapping = "json", key: str = "") -> None:
        self._started = started
        self._name = name
        self._wrapping = wrapping
        self._key = key
        self._id = f"call_{secrets.token_hex(12)}"
        self._utf8 = Utf8()
        self._begun = False
        self._closing = ""

    @property
    def broken(self) -> bool:
        return self._utf8.broken

    @property
    def waiting(self) -> bool:
        return self._utf8.waiting

    def start(self) -> list[Event]:
        return [self._started, ToolCallDelta(index=self._started.index, call_id=self._id, name=self._name)]

    def write(self, piece: bytes, logprobs: tuple[TokenLogprob, ...] = ()) -> list[Event]:
        text = self._utf8.feed(piece)
        if not self._begun and self._wrapping == "patch":
            text = text.lstrip()
        return self._arguments(self._opening(text) + self._escaped(text)) if text else []

    def finish(self, complete: bool) -> list[Event]:
        """Closes the JSON of a complete call; one that was cut off stays open, so that nobody runs half of it."""
        self._utf8.finish()
        if not complete:
            return []
        if not self._begun:
            return self._arguments("{}" if self._wrapping == "json" else self._opening("") + self._closing)
        return self._arguments(self._closing)

    def _opening(self, text: str) -> str:
        """What the JSON begins with; decides a patch's shape by its first letter."""
        if self._begun:
            return ""
        self._begun = bool(text.strip()) or self._wrapping == "text"
        if self._wrapping == "patch":
            self._wrapping = "json" if text.startswith(("{", '"')) else "text"
            if text.startswith('"'):
                self._closing = "}"
                return f"{{{json.dumps(self._key)}: "
        if self._wrapping == "json":
            return ""
        self._closing = '"}'
        return f'{{{json.dumps(self._key)}: "'

    def _escaped(self, text: str) -> str:
        return text if self._wrapping == "json" else json.dumps(text, ensure_ascii=False)[1:-1]

    def _arguments(self, text: str) -> list[Event]:
        return [ToolCallDelta(index=self._started.index, call_id=self._id, arguments=text)] if text else []
