"""A model's Harmony tokens into events, as they come. Repairs what is malformed, says so in words, and never drops an answer.

Two states: inside a header, or inside a message. Knows control tokens by name only, so every tokenizer parses alike.
"""

from mlx_harmony.events import Event, MessageStarted, TokenLogprob
from mlx_harmony.records import Channel
from mlx_harmony.worker.harmony.header import Header, HeaderText
from mlx_harmony.worker.harmony.routing import CODE_KEY, PATCH, PATCH_KEY, PYTHON, is_tool, name_of
from mlx_harmony.worker.tokens import Tokens
from mlx_harmony.worker.utf8 import Utf8
from mlx_harmony.worker.writing import CallWriter, TextWriter, Writer
from mlx_harmony.worker.wrote import Wrote

_CLOSERS = ("<|end|>", "<|return|>", "<|call|>", "<|endoftext|>")


class HarmonyParser:
    """Parses one answer. `functions` are the declared function tools; `opened` is the channel the prompt left open, if any.

    `ends` are control tokens that end this answer besides Harmony's own.
    """

    def __init__(self, tokens: Tokens, functions: frozenset[str], opened: Channel | None, ends: frozenset[int] = frozenset()) -> None:
        self._tokens = tokens
        self._functions = functions
        self._opened = opened
        self._closers = {*_CLOSERS, *(tokens.control[token] for token in ends)}
        self._header = HeaderText(first=True)
        self._header_utf8 = Utf8()
        self._header_logprobs: list[TokenLogprob] = []
        self._message: Writer | None = None
        self._thinking = False
        self._calling = False
        self._index = -1
        self._wrote = Wrote()
        self._token = -1
        self._notes: dict[str, None] = {}
        self.called_tool = False
        self.done = False
        self.reasoning_tokens = 0

    @property
    def repaired(self) -> str:
        return "; ".join(self._notes)

    @property
    def may_answer(self) -> bool:
        return self._opened == "analysis" or (self._thinking and self._message is not None and not self._message.waiting)

    def feed(self, token: int, logprob: TokenLogprob | None = None) -> list[Event]:
        events: list[Event] = []
        if self.done:
            return events
        if self._opened is not None:
            events += self._start(Header(channel=self._opened))
            self._opened = None
        self._token = token
        name = self._tokens.control.get(token)
        if name is not None:
            return events + self._control(name)
        piece = self._tokens.piece(token)
        self._take(piece)
        if self._message is not None:
            self.reasoning_tokens += self._thinking
            return events + self._message.write(piece, (logprob,) if logprob else ())
        return events + self._header_piece(piece, logprob)

    def finish(self) -> list[Event]:
        """The stream's end: what is open is closed, what is held in a header is shown."""
        if self.done:
            return []
        events = self._flush_header() if self._message is None and not self._header.blank else []
        if self._message is not None:
            events += self._end("", cut=True)
        self.done = True
        return events

    def _control(self, name: str) -> list[Event]:
        events: list[Event] = []
        if name in self._closers:
            self._take(name.encode())
            return self._close(name)
        if name == "<|start|>" or (name == "<|channel|>" and self._message is not None):
            events += self._interrupt()
            if self.done:
                return events
        self._take(name.encode())
        if self._message is not None:
            self._note(f"{name} stood inside a message")
            return events
        match name:
            case "<|start|>":
                if self._header.first:
                    self._note("the answer began with a second <|start|>")
                self._begin(HeaderText(opened=True))
            case "<|channel|>":
                self._header.open_channel()
            case "<|constrain|>":
                self._header.open_constrain()
            case "<|message|>":
                events += self._start(self._header.read())
            case _:
                self._note(f"{name} stood inside a header")
        return events

    def _header_piece(self, piece: bytes, logprob: TokenLogprob | None) -> list[Event]:
        if logprob:
            self._header_logprobs.append(logprob)
        self._header.add(self._header_utf8.feed(piece))
        return self._flush_header() if self._header.runaway() else []

    def _flush_header(self) -> list[Event]:
        """The header's text turns out to be content; a header without any is dropped."""
        header = self._header.as_content()
        if not header.rest.strip():
            self._note("a header never ended")
            self._begin(HeaderText())
            return []
        logprobs = tuple(self._header_logprobs)
        started = self._start(header)
        return started + self._message.write(header.rest.encode(), logprobs) if self._message is not None else started

    def _start(self, header: Header) -> list[Event]:
        """Opens a message. One in another's role ends the answer, unless it is all there is."""
        for note in header.notes:
            self._note(note)
        if header.role != "assistant":
            self._note(f"the model began to speak as {header.role[:40]!r}")
            if self._index >= 0:
                self.done = True
                return []
        self._index += 1
        self._calling = is_tool(header.recipient) and header.role == "assistant"
        channel: Channel = header.channel or ("commentary" if self._calling else "final")
        self._thinking = channel == "analysis" and not self._calling
        self._message = (
            self._call(header, channel) if self._calling else TextWriter(self._index, channel, header.recipient, header.content_type)
        )
        return self._message.start()

    def _call(self, header: Header, channel: Channel) -> Writer:
        recipient = header.recipient or ""
        started = MessageStarted(index=self._index, channel=channel, recipient=recipient, content_type=header.content_type)
        name = name_of(recipient)
        if name not in self._functions:
            if recipient == PYTHON and "json" not in (header.content_type or ""):
                return CallWriter(started, name, "text", CODE_KEY)
            if recipient == PYTHON:
                return CallWriter(started, name, "patch", CODE_KEY)
            if name == PATCH:
                return CallWriter(started, name, "patch", PATCH_KEY)
        return CallWriter(started, name)

    def _close(self, name: str) -> list[Event]:
        """A control token that ends a message, or a header that never became one."""
        events = self._flush_header() if self._message is None and not self._header.blank else []
        return events + self._end(name) if self._message is not None else events

    def _interrupt(self) -> list[Event]:
        """Something new begins where the last had no end."""
        events = self._flush_header() if self._message is None and not self._header.blank else []
        if self._message is None:
            return events
        self._note("a message was not ended")
        return events + self._end("")

    def _end(self, closer: str, *, cut: bool = False) -> list[Event]:
        """Closes the open message; `cut` where the token limit did. Nothing the model writes after a whole call counts."""
        if self._message is None:
            return []
        events = self._message.finish(not cut)
        if self._message.broken:
            self._note("bytes that form no character were left out")
        if self._calling and cut:
            self._note("a tool call was cut off")
        elif self._calling:
            self.called_tool = self.done = True
            if closer != "<|call|>":
                self._note(f"a tool call ended with {closer or 'nothing'}")
        elif closer == "<|call|>":
            self._note("a message ended as a call but named no tool")
        ended = self._wrote.ended(self._index, closer)
        self._message = None
        self._begin(HeaderText())
        return [*events, ended]

    def _begin(self, header: HeaderText) -> None:
        self._header = header
        self._header_utf8 = Utf8()
        self._header_logprobs = []

    def _take(self, piece: bytes) -> None:
        self._wrote.add(self._token, piece)

    def _note(self, note: str) -> None:
        self._notes[note] = None
