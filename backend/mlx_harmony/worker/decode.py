"""Runs the model: reads a prompt in chunks, then draws token after token. The only file that calls the model.

It knows token ids, caches and a sampler; nothing of formats, requests or stop conditions: whoever drives it stops by leaving.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import mlx.core as mx
import mlx.nn as nn

from mlx_harmony.worker.pace import Pace
from mlx_harmony.worker.prompt_cache import Layers
from mlx_harmony.worker.sampling import Drawn, Sampler

CLEAR_EVERY = 256


class Drawing(NamedTuple):
    """One token as read: its log-probability and the likeliest ids with theirs are None and empty where nobody asked."""

    token: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()


class _Pending(NamedTuple):
    token: mx.array
    logprob: mx.array | None
    top: mx.array | None
    top_values: mx.array | None

    def arrays(self) -> list[mx.array]:
        return [part for part in self if part is not None]


class Reader(NamedTuple):
    """Reads a prompt into caches, no chunk longer than the pace allows and none across a mark."""

    model: nn.Module
    layers: Layers
    pace: Pace

    def read(self, tokens: list[int], start: int, marks: Sequence[int]) -> Iterator[int]:
        """Read `tokens[start:]` but the last; yields how many are in the caches after each chunk, and stops at every mark on the way."""
        done, end = start, len(tokens) - 1
        stops = sorted({mark for mark in marks if start < mark < end} | {end})
        while done < end:
            until = min(done + self.pace.chunk, next(stop for stop in stops if stop > done))
            began = time.perf_counter()
            self.model(mx.array(tokens[done:until], mx.int32)[None], cache=self.layers)
            mx.eval([layer.state for layer in self.layers])
            self.pace.learn(until - done, time.perf_counter() - began)
            done = until
            yield done


class Decoder:
    """Draws one answer's tokens. Step n+1 is under way while step n is read, so the device never waits for Python.

    `fed` counts the tokens in the caches: leaving early leaves it exact.
    """

    def __init__(self, model: nn.Module, layers: Layers, sampler: Sampler, top_logprobs: int | None) -> None:
        self._model = model
        self._layers = layers
        self._sampler = sampler
        self._top = top_logprobs
        self._pending: _Pending | None = None
        self.fed = 0
        self.left = 0

    def start(self, last: int, limit: int) -> None:
        """Begin an answer of at most `limit` tokens after the prompt's `last` one, which the caches do not hold yet."""
        self.left = limit
        self._pending = self._schedule(mx.array([last], mx.int32))

    def say(self, tokens: list[int]) -> None:
        """Go on after these tokens, fewer than are `left`, instead of with the one under way, which was fed to nothing yet."""
        self.left -= len(tokens)
        self._pending = self._schedule(mx.array(tokens, mx.int32))

    def tokens(self) -> Iterator[Drawing]:
        """The tokens of the answer that was started."""
        while self.left > 0 and (current := self._pending) is not None:
            self.left -= 1
            if self.left > 0:
                self._pending = self._schedule(current.token)
            yield _read(current)
            if self.fed % CLEAR_EVERY == 0:
                mx.clear_cache()

    def _schedule(self, tokens: mx.array) -> _Pending:
        logits = self._model(tokens[None], cache=self._layers)[:, -1, :]
        pending = self._facts(self._sampler.draw(logits))
        mx.async_eval(*pending.arrays())  # type: ignore[no-untyped-call]
        self.fed += tokens.size
        return pending

    def _facts(self, drawn: Drawn) -> _Pending:
        if self._top is None:
            return _Pending(drawn.token, None, None, None)
        logprobs = drawn.logprobs[0]
        chosen = logprobs[drawn.token]
        if self._top == 0:
            return _Pending(drawn.token, chosen, None, None)
        top = mx.argpartition(-logprobs, kth=self._top - 1)[: self._top]
        return _Pending(drawn.token, chosen, top, logprobs[top])


def _read(pending: _Pending) -> Drawing:
    token = _whole(pending.token)
    if pending.logprob is None:
        return Drawing(token)
    logprob = _floats(pending.logprob)[0]
    if pending.top is None or pending.top_values is None:
        return Drawing(token, logprob)
    pairs = zip(_ints(pending.top), _floats(pending.top_values), strict=True)
    return Drawing(token, logprob, tuple(sorted(pairs, key=lambda pair: (-pair[1], pair[0]))))


def _whole(array: mx.array) -> int:
    return int(array.item())  # type: ignore[arg-type]


def _ints(array: Any) -> list[int]:
    return [int(value) for value in array.tolist()]


def _floats(array: Any) -> list[float]:
    return [float(value) for value in array.tolist()]
