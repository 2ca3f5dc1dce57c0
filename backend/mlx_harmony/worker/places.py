"""The parts of a prompt in words: which message a token stands in, as a person would name it. Knows no format and no tokens."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from mlx_harmony.records import Message

SYSTEM = "the system message"
DEVELOPER = "the developer message"
TOOLS = "the tool declarations"
END = "the end of the prompt"
_WHOSE = {"user": "yours", "assistant": "the model's", "tool": "a tool's result"}


class Span(NamedTuple):
    """A part of a prompt: up to which token it reaches, and what it is called."""

    end: int
    name: str


def place_in(spans: Sequence[Span], position: int) -> str:
    """The part in which a token stands; what follows the last one is the end of the prompt."""
    at = bisect_right([span.end for span in spans], position)
    return spans[at].name if at < len(spans) else END


def names_of(messages: Sequence[Message]) -> list[str]:
    """What each message is called: instructions by their kind, what was said by its number from 1."""
    names, number = [], 0
    for message in messages:
        if message.role in ("system", "developer"):
            names.append(SYSTEM if message.role == "system" else DEVELOPER)
            continue
        number += 1
        names.append(f"message {number} ({_WHOSE.get(message.role, message.role)})")
    return names


def agreeing(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens both begin with."""
    return next((at for at, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]), min(len(first), len(second)))
