"""A template model's tokens into events: thinking on analysis, answers on final, calls through mlx-lm's tool parsers.

Knows tags by their marks only. A call that cannot be read is shown as the text it is.
"""

import json
from collections.abc import Callable
from typing import Any

import msgspec

from mlx_harmony.events import Event, MessageStarted, TokenLogprob
from mlx_harmony.records import Channel
from mlx_harmony.worker.templates.tags import Found, TagFinder
from mlx_harmony.worker.tokens import Tokens
from mlx_harmony.worker.writing import CallWriter, TextWriter, Writer
from mlx_harmony.worker.wrote import Wrote

ReadCalls = Callable[[str, list[dict[str, Any]] | None], Any]
"""mlx-lm's tool parser: text between the tool tags, and the tools, to one call or a list of calls."""

_UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, SyntaxError, RecursionError)


class TemplateParser:
    """Parses one answer. `thinking` where the prompt left the thinking tag open; `stop_tokens` are never content."""

    def __init__(self, tokens: Tokens, stop_tokens: frozenset[int], tools: list[dict[str, Any]], *, thinking: bool) -> None:
        self._tokens = tokens
        self._finder = TagFinder(tokens)
        self._stop_tokens = stop_tokens
        self._tools = tools
        self._channel: Channel = "analysis" if thinking else "final"
        self._writer: Writer | None = None
        self._call: str | None = None
        self._blank = ""
        self._index = -1
        self._raw = ""
        self._count = 0
        self._wrote = Wrote()
        self._logprobs: tuple[TokenLogprob, ...] = ()
        self._notes: dict[str, None] = {}
        self._stopped = ""
        self.called_tool = False
        self.done = False
        self.reasoning_tokens = 0

    @property
    def repaired(self) -> str:
        return "; ".join(self._notes)

    @property
    def may_answer(self) -> bool:
        return self._channel == "analysis" and self._call is None and not self._finder.waiting

    def feed(self, token: int, logprob: TokenLogprob | None = None) -> list[Event]:
        self._wrote.add(token, self._tokens.piece(token))
        if token in self._stop_tokens:
            self._stopped = self._tokens.piece(token).decode("utf-8", "replace")
            return []
        self._stopped = ""
        self._count += 1
        thinking = self._channel == "analysis" and self._call is None
        if logprob:
            self._logprobs += (logprob,)
        events = [event for found in self._finder.feed(token) for event in self._take(found)]
        # The tag that ends thinking is none of it.
        self.reasoning_tokens += thinking and self._channel == "analysis"
        return events

    def finish(self) -> list[Event]:
        """The stream's end: what is open is closed; a call without an end is read all the same, or shown."""
        if self.done:
            return []
        events = [event for found in self._finder.finish() for event in self._take(found)]
        if self._finder.broken:
            self._notes["bytes that form no character were left out"] = None
        if self._call is not None:
            events += self._read_calls(ended=bool(self._stopped))
        self.done = True
        self._raw += self._stopped
        return events + self._end(self._stopped)

    def _take(self, found: Found) -> list[Event]:
        self._raw += found.text
        if self._call is not None:
            if found.mark == "tool_end":
                return self._read_calls(ended=True)
            self._call += found.text
            return []
        match found.mark:
            case "think_start":
                return self._switch("analysis", "")
            case "think_end":
                if self._channel != "analysis":
                    self._notes["thinking ended that had not begun"] = None
                return self._switch("final", found.text)
            case "tool_start":
                events = self._switch("final", "")
                self._call = ""
                return events
            case _:
                return self._text(found.text) if found.kind == "text" else []

    def _switch(self, channel: Channel, closer: str) -> list[Event]:
        """Goes on on another channel; the same one stays open."""
        if channel == self._channel:
            return []
        self._channel = channel
        return self._end(closer)

    def _text(self, text: str) -> list[Event]:
        """Text of the open message; white space alone opens none, and none begins with it."""
        if self._writer is not None:
            text = self._blank + text
            kept = text.rstrip()
            self._blank = text[len(kept) :]
            if not kept:
                return []
            logprobs, self._logprobs = self._logprobs, ()
            return self._writer.write(kept.encode(), logprobs)
        text = text.lstrip()
        if not text:
            return []
        self._index += 1
        self._writer = TextWriter(self._index, self._channel)
        return self._writer.start() + self._text(text)

    def _end(self, closer: str) -> list[Event]:
        self._blank, self._logprobs = "", ()
        if self._writer is None:
            return []
        events = self._writer.finish(True)
        self._writer = None
        return [*events, self._ended(closer)]

    def _ended(self, closer: str) -> Event:
        # A tag may hold text back, so that what was found is said and not what was fed.
        ended = msgspec.structs.replace(self._wrote.ended(self._index, closer), raw=self._raw, tokens=self._count)
        self._raw, self._count = "", 0
        return ended

    def _read_calls(self, *, ended: bool) -> list[Event]:
        """The calls between the tool tags; text that is none is shown as it is."""
        text, self._call = self._call or "", None
        read: ReadCalls = self._tokens.tokenizer.tool_parser
        # A parser without an end tag reads to the end of the answer, so only a stop token says that the call is whole.
        events = self._end("")
        try:
            parsed = read(text, self._tools or None)
            calls = [_shaped(call) for call in (parsed if isinstance(parsed, list) else [parsed])]
        except _UNREADABLE:
            self._notes["a tool call could not be read" if ended else "a tool call was cut off"] = None
            return events + self._text(text)
        if not ended:
            self._notes["a tool call was not ended"] = None
        for name, arguments in calls:
            events += self._write_call(name, arguments)
        return events

    def _write_call(self, name: str, arguments: str) -> list[Event]:
        self._index += 1
        self.called_tool = True
        started = MessageStarted(index=self._index, channel="commentary", recipient=f"functions.{name}", content_type="json")
        writer = CallWriter(started, name)
        return [*writer.start(), *writer.write(arguments.encode()), *writer.finish(True), self._ended("")]


def _shaped(call: Any) -> tuple[str, str]:
    """A parsed call's name and the JSON text of its arguments. Raises ValueError for anything else."""
    name, arguments = call["name"], call.get("arguments", {})
    if not isinstance(name, str) or not name:
        raise ValueError("a call without a name")
    if isinstance(arguments, str):
        json.loads(arguments)
        return name, arguments
    return name, json.dumps(arguments, ensure_ascii=False)
