"""Finds a model's thinking and tool tags in its tokens. Owns what is held back until it is clear whether a tag begins there.

A tag that is made of control tokens is matched on tokens, so that the same letters written as text stay text; any other on text.
"""

from typing import Any, Literal, NamedTuple

from mlx_harmony.worker.tokens import Tokens
from mlx_harmony.worker.utf8 import Utf8

Mark = Literal["think_start", "think_end", "tool_start", "tool_end"]


class Found(NamedTuple):
    """What comes next in the stream: text, a control token's name, or a tag's mark (`text` is then the tag)."""

    text: str
    kind: Literal["text", "control", "mark"] = "text"
    mark: Mark | None = None


class TagFinder:
    """Splits a token stream into text, control tokens and tags. `tokenizer` is mlx-lm's TokenizerWrapper."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._utf8 = Utf8()
        self._by_tokens: dict[tuple[int, ...], tuple[Mark, str]] = {}
        self._by_text: dict[str, Mark] = {}
        self._held_tokens: list[int] = []
        self._held_text = ""
        for mark, tag in _tags(tokens.tokenizer):
            ids = tuple(tokens.encode_markup(tag))
            if any(token in tokens.control for token in ids):
                self._by_tokens[ids] = (mark, tag)
            else:
                self._by_text[tag] = mark

    @property
    def broken(self) -> bool:
        return self._utf8.broken

    @property
    def waiting(self) -> bool:
        """Whether half a character or what may be the beginning of a tag waits for its rest."""
        return self._utf8.waiting or bool(self._held_tokens or self._held_text)

    def feed(self, token: int) -> list[Found]:
        """What is certain now that `token` has come."""
        found: list[Found] = []
        self._held_tokens.append(token)
        while self._held_tokens:
            held = tuple(self._held_tokens)
            if held in self._by_tokens:
                mark, tag = self._by_tokens[held]
                self._held_tokens.clear()
                found += [*self._release_text(), Found(tag, "mark", mark)]
            elif any(tag[: len(held)] == held for tag in self._by_tokens):
                break
            else:
                found += self._single(self._held_tokens.pop(0))
        return found

    def finish(self) -> list[Found]:
        """What was held back, at the stream's end."""
        found = [piece for token in self._held_tokens for piece in self._single(token)]
        self._held_tokens.clear()
        self._utf8.finish()
        return [*found, *self._release_text()]

    def _single(self, token: int) -> list[Found]:
        name = self._tokens.control.get(token)
        if name is not None:
            return [*self._release_text(), Found(name, "control")]
        self._held_text += self._utf8.feed(self._tokens.piece(token))
        return self._split_text()

    def _split_text(self) -> list[Found]:
        found: list[Found] = []
        while hits := [(at, tag) for tag in self._by_text if (at := self._held_text.find(tag)) >= 0]:
            at, tag = min(hits, key=lambda hit: (hit[0], -len(hit[1])))
            found += [Found(self._held_text[:at])] if at else []
            found.append(Found(tag, "mark", self._by_text[tag]))
            self._held_text = self._held_text[at + len(tag) :]
        keep = max((_overlap(self._held_text, tag) for tag in self._by_text), default=0)
        certain = self._held_text[: len(self._held_text) - keep]
        self._held_text = self._held_text[len(certain) :]
        return [*found, Found(certain)] if certain else found

    def _release_text(self) -> list[Found]:
        text, self._held_text = self._held_text, ""
        return [Found(text)] if text else []


def _tags(tokenizer: Any) -> list[tuple[Mark, str]]:
    tags: list[tuple[Mark, str | None]] = [
        ("think_start", tokenizer.think_start),
        ("think_end", tokenizer.think_end),
        ("tool_start", tokenizer.tool_call_start),
        ("tool_end", tokenizer.tool_call_end),
    ]
    return [(mark, tag) for mark, tag in tags if tag]


def _overlap(text: str, tag: str) -> int:
    """How much of the text's end could be the tag's beginning."""
    return next((size for size in range(min(len(text), len(tag) - 1), 0, -1) if text.endswith(tag[:size])), 0)
