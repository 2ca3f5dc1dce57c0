"""A Harmony message's header: what was written in it, and what was meant. Tolerates every form models are known to write.

Knows text and which part of the header it stands in; the parser feeds it and decides when a header is over.
"""

import re
from typing import NamedTuple

from mlx_harmony.records import CHANNELS, Channel

MAX_HEADER_CHARACTERS = 200
_MAX_EXTRA_WORDS = 2
_ROLES = ("assistant", "system", "developer", "user", "tool", "python")
_RECIPIENT = re.compile(r"\bto=\s*([^\s<]+)")
_TOOL_RECIPIENT = re.compile(r"\s*to=((?:functions|browser)\.\w+|python)\s+")
_CHANNEL = re.compile(rf"\s*({'|'.join(CHANNELS)})", re.IGNORECASE)
_WORD = re.compile(r"\s*(\w*)\s*")


class Header(NamedTuple):
    """What a header means. `notes` are the repairs in words; `rest` is content that stood in the header for want of `<|message|>`."""

    role: str = "assistant"
    channel: Channel | None = None
    recipient: str | None = None
    content_type: str | None = None
    notes: tuple[str, ...] = ()
    rest: str = ""


class HeaderText:
    """A header while it is written: text before `<|channel|>`, after it, and after `<|constrain|>`; None where no such token came.

    `opened` is False where no `<|start|>` came; `first` is the header whose role the prompt wrote.
    """

    def __init__(self, *, first: bool = False, opened: bool = False) -> None:
        self.first = first
        self.opened = opened
        self._role = ""
        self._channel: str | None = None
        self._constrain: str | None = None
        self._part = "role"
        self._notes: list[str] = []

    @property
    def blank(self) -> bool:
        """Whether nothing was written yet."""
        return not self._role.strip() and not self._marked

    @property
    def _marked(self) -> bool:
        return self._channel is not None or self._constrain is not None

    def open_channel(self) -> None:
        """`<|channel|>` came; of two channels the last counts."""
        if self._channel is not None:
            self._notes.append("a header named two channels")
        self._channel, self._part = "", "channel"

    def open_constrain(self) -> None:
        """`<|constrain|>` came."""
        self._constrain, self._part = "", "constrain"

    def add(self, text: str) -> None:
        """More text, in the part that is open."""
        match self._part:
            case "constrain":
                self._constrain = (self._constrain or "") + text
            case "channel":
                self._channel = (self._channel or "") + text
            case _:
                self._role += text

    def runaway(self) -> bool:
        """Whether this can be no header any more, so that it must be content."""
        match self._part:
            case "constrain":
                written = _RECIPIENT.sub("", self._constrain or "").strip()
                limit = 1
                wild = any(letter in written for letter in "{[\"'\n(")
            case "channel":
                written = _RECIPIENT.sub("", self._channel or "").strip()
                limit = 1 + _MAX_EXTRA_WORDS
                wild = "\n" in written
            case _:
                return not self._may_begin()
        return wild or len(written.split()) > limit or len(written) > MAX_HEADER_CHARACTERS

    def _may_begin(self) -> bool:
        """Whether a header can begin so: a role, a recipient, a channel's name, or the beginning of one of them."""
        text = self._role
        words = _RECIPIENT.sub(" ", text).split()
        if len(text) > MAX_HEADER_CHARACTERS or "\n" in text.strip() or len(words) > 1 + _MAX_EXTRA_WORDS:
            return False
        if self.opened or not words:
            return True
        if _RECIPIENT.search(text):
            return all(word.isalpha() for word in words)
        first = words[0].lower()
        return any(first.startswith(name) or name.startswith(first) for name in (*CHANNELS, "assistant", "to="))

    def read(self) -> Header:
        """What a header that `<|message|>` ended means."""
        notes = list(self._notes)
        role, words = self._read_role(notes)
        recipient = next(filter(None, map(_recipient, (self._role, self._channel or "", self._constrain or ""))), None)
        channel, kinds = self._read_channel(words, notes)
        if channel is None and recipient is None:
            notes.append("the channel was missing")
        if self._constrain is not None:
            constrained = _RECIPIENT.sub("", self._constrain).strip()
            return Header(role, channel, recipient, f"<|constrain|>{constrained}" if constrained else None, tuple(notes))
        return Header(role, channel, recipient, " ".join(kinds) or None, tuple(notes))

    def as_content(self) -> Header:
        """What a header that never ended means: its first words say where, the rest is content."""
        if not self._marked:
            return self._bare_content()
        notes = [*self._notes, "a header never ended"]
        role, words = self._read_role(notes)
        recipient = _recipient(self._role) or _recipient(self._channel or "")
        if self._part == "constrain":
            channel, _ = self._read_channel(words, notes)
            match = _WORD.match(self._constrain or "")
            kind, end = (match[1], match.end()) if match else ("", 0)
            return Header(role, channel, recipient, f"<|constrain|>{kind}", tuple(notes), (self._constrain or "")[end:])
        written = self._channel or ""
        match = _CHANNEL.match(written)
        rest = written[match.end() :] if match else "" if _is_part_of_channel(written) else written
        addressed = re.match(r"\s*to=\s*[^\s<]+", rest)
        rest = rest[addressed.end() :] if addressed else rest
        return Header(role, _known(match[1]) if match else None, recipient, None, tuple(notes), rest.lstrip())

    def _bare_content(self) -> Header:
        """Text without any of a header's control tokens: a call if it says to whom, else the answer."""
        text = self._role
        if self.opened or self.first:
            text = re.sub(r"^\s*assistant\b", "", text)
        if call := _TOOL_RECIPIENT.match(text):
            return Header(recipient=call[1], notes=("a header never ended",), rest=text[call.end() :])
        word = text.strip()
        if (self.opened and (word in _ROLES or "." in word[:-1])) or re.fullmatch(r"to=\S*", word):
            text = ""
        return Header(notes=("a message came without a header",), rest=text)

    def _read_role(self, notes: list[str]) -> tuple[str, list[str]]:
        """Who speaks, and the words after that which are no recipient."""
        words = _RECIPIENT.sub(" ", self._role).split()
        if not self.first and not self.opened:
            notes.append("a message began without <|start|>")
        if not words:
            return "assistant", []
        if words[0].startswith("assistant"):
            if self.first:
                notes.append("the role was written twice")
            glued = words[0].removeprefix("assistant")
            return "assistant", [*([glued] if glued else []), *words[1:]]
        if self.first or _known(words[0]):
            return "assistant", words
        return words[0], words[1:]

    def _read_channel(self, words: list[str], notes: list[str]) -> tuple[Channel | None, list[str]]:
        """The channel, and the words that name a content type."""
        written = _RECIPIENT.sub(" ", self._channel or "").split()
        if not written:
            for at, word in enumerate(words):
                if channel := _known(word):
                    notes.append("<|channel|> was missing")
                    return channel, words[at + 1 :]
            return None, words
        match = _CHANNEL.match(written[0])
        if match is None:
            notes.append(f"there is no channel {written[0][:40]!r}")
            return None, [*words, *written[1:]]
        glued = written[0][match.end() :]
        if written[0] != _known(match[1]):
            notes.append(f"the channel {written[0][:40]!r} was read as {match[1].lower()!r}")
        return _known(match[1]), [*words, *([glued] if glued else []), *written[1:]]


def _known(word: str) -> Channel | None:
    return next((channel for channel in CHANNELS if channel == word.lower()), None)


def _is_part_of_channel(text: str) -> bool:
    """Whether this is what a channel's name looks like before it is complete."""
    return any(channel.startswith(text.strip().lower()) for channel in CHANNELS)


def _recipient(text: str) -> str | None:
    match = _RECIPIENT.search(text)
    return (match[1].strip(".,:;\"'`") or None) if match else None
