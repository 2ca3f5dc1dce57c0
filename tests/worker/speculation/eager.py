"""Guessing for tests: a choice that always guesses, a drafter that is right and wrong by turns, and answers made with them."""

import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from mlx_harmony.events import Event
from mlx_harmony.records import GenerationRequest, SpeculationKind
from mlx_harmony.worker.generation import Desk, Generation
from mlx_harmony.worker.load import LoadedModel
from mlx_harmony.worker.pace import FIRST, Pace
from mlx_harmony.worker.prompt_cache import PromptCache
from mlx_harmony.worker.sampling import Sampler
from mlx_harmony.worker.speculation.drafting import Drafting
from mlx_harmony.worker.speculation.drafts import Found
from mlx_harmony.worker.speculation.gain import Choice


class Eager:
    """A Choice that guesses as much as it may, whatever it costs, and remembers the widths of the passes."""

    def __init__(self) -> None:
        self.widths: list[int] = []

    def learn(self, width: int, seconds: float) -> None:
        self.widths.append(width)

    def worth(self, chances: Sequence[float], each_s: float = 0.0, redone: bool = False) -> int:
        return len(chances)

    def saves(self, chances: Sequence[float], each_s: float = 0.0, redone: bool = False) -> float:
        return math.inf


class Knowing:
    """A Drafter that knows the answer, and says every `wrong`-th token of it wrongly; 0: none."""

    kind: SpeculationKind = "lookup"
    each_s = unread_s = 0.0

    def __init__(self, answer: Sequence[int], wrong: int) -> None:
        self._answer = list(answer)
        self._wrong = wrong
        self.heard: list[int] = []

    @property
    def _said(self) -> int:
        return len(self.heard)

    def saw(self, token: int) -> None:
        self.heard.append(token)

    def chances(self, count: int) -> list[float]:
        return [0.5] * min(count, 1 + self._said % 5, len(self._answer) - self._said)

    def guess(self, count: int) -> list[int]:
        places = range(self._said, self._said + count)
        return [(self._answer[at] + 1) % 300 if self._wrong and at % self._wrong == 0 else self._answer[at] for at in places]

    def checked(self, guessed: int, right: int) -> None:
        assert 0 <= right <= guessed

    def close(self) -> None:
        pass


class _Guessing(Generation):
    """A generation with a drafter of the test's."""

    drafter: Knowing

    def _guessing(self, found: Found, gain: Choice, sampler: Sampler) -> Drafting | None:
        return Drafting([self.drafter], gain)


Never = Callable[[], bool]


class Made(NamedTuple):
    """An answer's tokens, all of them, and its events."""

    tokens: list[int]
    events: list[Event]


def plainly(loaded: LoadedModel, request: GenerationRequest) -> Made:
    """The answer without a single guess."""
    return _made(loaded, request, Knowing([], 0), PromptCache(0), lambda: False)


def guessed(
    loaded: LoadedModel, request: GenerationRequest, wrong: int = 0, cache: PromptCache | None = None, cancelled: Never = lambda: False
) -> Made:
    """The answer where most tokens are guessed rightly, but every `wrong`-th not."""
    drafter = Knowing(plainly(loaded, msgspec.structs.replace(request, stop=(), analysis_budget=None, loop_detection="off")).tokens, wrong)
    return _made(loaded, request, drafter, PromptCache(0) if cache is None else cache, cancelled)


def _made(loaded: LoadedModel, request: GenerationRequest, drafter: Knowing, cache: PromptCache, cancelled: Never) -> Made:
    # A pace that knows how fast these models are asks equally often on any machine whether somebody cancelled.
    generation = _Guessing(Desk(loaded, cache, Pace(layers_s={FIRST: 1e-6})), request, cancelled, time.perf_counter())
    generation.drafter = drafter
    return Made(drafter.heard, list(generation.run(Eager())))
