"""What a prompt format can do: render a prompt into tokens and parse the model's tokens into events.

Two formats stand behind it: `harmony` and `templates`. The loop drives them and knows neither.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from mlx_harmony.events import Event, TokenLogprob
from mlx_harmony.records import Format, Prompt
from mlx_harmony.worker.tokens import Tokens


def unknown_place(position: int) -> str:
    """Of text that is no conversation there are no parts to name."""
    return ""


class Rendered(NamedTuple):
    """A prompt as tokens. `boundaries`: where a later prompt of the chat still agrees (system block, beginnings and ends of user turns).

    `parts`: how many of the tokens each of the prompt's messages stands for, where messages are rendered one by one; else empty.
    `tokenised`: how many pieces of it were not known from an earlier prompt. `place`: in which part of it a token stands, in words.
    """

    tokens: list[int]
    boundaries: tuple[int, ...] = ()
    parts: tuple[int, ...] = ()
    tokenised: int = 1
    place: Callable[[int], str] = unknown_place


class FormatDefaults(NamedTuple):
    """What formats.md gives where a request is silent."""

    max_tokens: int
    repetition_penalty: float
    repetition_context_size: int
    stop: tuple[str, ...] = ()


class TurnParser(Protocol):
    """Turns one answer's tokens into events. `feed` takes each generated token, stop tokens too; `finish` flushes what is held back.

    `done` turns True when the answer is complete though no stop token came (a model that begins to play the tool or the user): the loop
    ends there as if it had stopped. `called_tool` counts complete calls only, so a call cut off by the token limit is none.
    """

    def feed(self, token: int, logprob: TokenLogprob | None = None) -> list[Event]: ...

    def finish(self) -> list[Event]: ...

    @property
    def repaired(self) -> str: ...

    @property
    def called_tool(self) -> bool: ...

    @property
    def done(self) -> bool: ...

    @property
    def reasoning_tokens(self) -> int: ...

    @property
    def may_answer(self) -> bool:
        """Whether thinking is open and may be closed here: not in the middle of a character."""
        ...


class PromptFormat(Protocol):
    """One way of talking to a model. `stop_tokens` end generation. Raises InvalidRequest for a prompt it cannot render.

    A parser takes `ends`, control tokens that end this answer too. `answer_now` gives the tokens that close thinking and open the
    answer, None where the format has no thinking.
    """

    @property
    def name(self) -> Format: ...

    @property
    def tokens(self) -> Tokens: ...

    @property
    def stop_tokens(self) -> frozenset[int]: ...

    @property
    def defaults(self) -> FormatDefaults: ...

    def render(self, prompt: Prompt) -> Rendered: ...

    def parser(self, prompt: Prompt, ends: frozenset[int] = frozenset()) -> TurnParser: ...

    def answer_now(self) -> list[int] | None: ...
