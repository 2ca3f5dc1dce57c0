"""Drives the loop with requests that meet each other, for tests: who comes when, and what everybody hears."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from mlx_harmony.events import Counted, Event, Failed, Finished, TextDelta
from mlx_harmony.records import GenerationRequest, Sampling, TokenPrompt
from mlx_harmony.worker.generation import Desk, Generation
from mlx_harmony.worker.inbox import Inbox
from mlx_harmony.worker.load import LoadedModel
from mlx_harmony.worker.loop import Loop
from mlx_harmony.worker.pace import Pace
from mlx_harmony.worker.prompt_cache import PromptCache

Heard = dict[str, list[Event]]
Acts = Mapping[tuple[str, int], Callable[[Inbox], None]]
"""What to do at the n-th event of a request."""

GREEDY = Sampling(temperature=0.0, repetition_penalty=1.0)


def ask(name: str, start: int = 20, length: int = 30, **fields: object) -> GenerationRequest:
    """A prompt of its own for each `start`; only its length ends the answer."""
    tokens = tuple((start + at * 7) % 300 + 20 for at in range(length))
    settings: dict[str, object] = {"max_tokens": 24, "sampling": GREEDY, "loop_detection": "off", **fields}
    return GenerationRequest(id=name, prompt=TokenPrompt(tokens=tokens), **settings)  # type: ignore[arg-type]


class Clock:
    """Time that only passes while a model pretends to be slow, so that what a loop does for its sake is the same on every machine."""

    def __init__(self) -> None:
        self._now = 0.0

    def perf_counter(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds


def stop_time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Rounds and chunks are timed by this clock from now on, and so are the models that are Watched."""
    clock = Clock()
    for module in ("mlx_harmony.worker.loop", "mlx_harmony.worker.chunk", __name__):
        monkeypatch.setattr(f"{module}.time", clock)
    return clock


class Watched:
    """A model that remembers the shape of each of its inputs, (rows, tokens), and can be slow: `wait_s` a token."""

    def __init__(self, model: Any, wait_s: float = 0.0) -> None:
        self._model = model
        self._wait_s = wait_s
        self.calls: list[tuple[int, int]] = []

    def __call__(self, tokens: Any, cache: Any) -> Any:
        self.calls.append(tokens.shape)
        time.sleep(self._wait_s * tokens.shape[1])
        return self._model(tokens, cache=cache)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


@contextmanager
def kinds_kept(model: Any) -> Iterator[None]:
    """Give every layer of a model its class again, whatever it was made meanwhile."""
    kinds = [(layer, type(layer)) for layer in model.modules()]
    try:
        yield
    finally:
        for layer, kind in kinds:
            layer.__class__ = kind


def tokens_of(request: GenerationRequest) -> tuple[int, ...]:
    assert isinstance(request.prompt, TokenPrompt)
    return request.prompt.tokens


def together(loaded: LoadedModel, first: Sequence[GenerationRequest], later: Acts | None = None, expected: int | None = None) -> Heard:
    """What everybody hears of a loop that is given `first` at once and does `later` on the way; it ends after `expected` ends."""
    return run_loop(Loop, loaded, first, later or {}, expected if expected is not None else len(first))


def run_loop(
    make: Callable[[LoadedModel, Inbox], Loop], loaded: LoadedModel, first: Sequence[GenerationRequest], later: Acts, expected: int
) -> Heard:
    """As `together`, with a loop of one's own making."""
    heard: Heard = {}
    ended = 0

    def emit(request_id: str, event: Event) -> None:
        nonlocal ended
        mine = heard.setdefault(request_id, [])
        mine.append(event)
        if (act := later.get((request_id, len(mine)))) is not None:
            act(inbox)
        ended += isinstance(event, Finished | Failed | Counted)
        if ended == expected:
            inbox.close()

    inbox = Inbox(emit)
    for request in first:
        inbox.put(request)
    make(loaded, inbox).run()
    return heard


def alone(loaded: LoadedModel, request: GenerationRequest) -> list[Event]:
    """The same request with nobody else and nothing read before."""
    desk = Desk(loaded, PromptCache(0), Pace())
    return list(Generation(desk, request, lambda: False, time.perf_counter()).run())


def text(events: Sequence[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def end(events: Sequence[Event]) -> Finished:
    assert isinstance(events[-1], Finished), events[-1]
    return events[-1]
