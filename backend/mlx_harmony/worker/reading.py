"""Reads one prompt into caches, chunk by chunk, and keeps snapshots of it on the way. Knows nothing of requests, formats or events.

It begins from what the prompt cache holds of the prompt. No chunk is longer than the pace allows and none goes over a mark.
"""

import time
from collections.abc import Sequence

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from mlx_harmony.cache_records import Reuse
from mlx_harmony.worker.cache.account import Asker
from mlx_harmony.worker.kv import PLAIN
from mlx_harmony.worker.kv_caches import KvUse
from mlx_harmony.worker.pace import Pace
from mlx_harmony.worker.prompt_cache import Layers, PromptCache, divisible

EARLY_MARKS = 2
LATE_MARKS = 3
SHARED = 32
"""From so many tokens on it is worth waiting for another request that is reading the same."""


class Reading:
    """All of `tokens` but the last on their way into `layers`; `done` of them are there. `begin` comes first, `read` until `over`."""

    def __init__(self, model: nn.Module, kept: PromptCache | KvUse, pace: Pace, tokens: list[int], asker: Asker = Asker()) -> None:  # noqa: B008
        self._asker = asker
        self._model = model
        self._form, self._cache = kept if isinstance(kept, KvUse) else KvUse(PLAIN, kept)
        self._pace = pace
        self._ids = np.asarray(tokens, np.int32)
        self._keep_at: set[int] = set()
        self.tokens = tokens
        self.layers: Layers = []
        self.begun = False
        self.done = 0
        self.cached = 0
        self.reuse: Reuse | None = None
        self._kept = 0

    @property
    def end(self) -> int:
        """How many tokens are to be read: one is left to begin the answer with."""
        return len(self.tokens) - 1

    @property
    def left(self) -> int:
        return self.end - self.done

    @property
    def over(self) -> bool:
        return self.begun and self.done >= self.end

    def begin(self, boundaries: Sequence[int] = ()) -> None:
        """Take what was read before. Where caches cannot be cut, snapshots are kept at the first and the last of `boundaries`.

        And where this prompt parts from what is known, if no snapshot lay near: others will part there too.
        """
        self.cached, layers, self.reuse = self._cache.lookup(self.tokens, asker=self._asker)
        self.layers = self._form.at(self.cached, layers) if layers is not None else self._form.fresh(self._model)
        self.done, self.begun = self.cached, True
        self._keep_at = {self.end}
        if not divisible(self.layers):
            self._keep_at |= {*boundaries[:EARLY_MARKS], *boundaries[-LATE_MARKS:]}
            if self.reuse.matched - self.cached >= SHARED:
                self._keep_at.add(self.reuse.matched)
        if self._form.start:
            # There KV becomes packed: no chunk may lie on both sides of it.
            self._keep_at.add(self._form.start)

    def read(self) -> None:
        """Read one chunk."""
        stops = (mark for mark in self._keep_at if self.done < mark <= self.end)
        until = min(self.done + self._pace.limit, min(stops))
        began = time.perf_counter()
        self._model(mx.array(self.tokens[self.done : until], mx.int32)[None], cache=self.layers)
        mx.eval([layer.state for layer in self.layers])
        self._pace.learn(until - self.done, time.perf_counter() - began)
        self._cache.learn(self._pace.token_s)
        self.done = until
        if until in self._keep_at:
            self._keep()
        self.layers = self._form.at(self.done, self.layers)

    def leave(self) -> None:
        """Keep what was read of a prompt that nobody waits for any more, where a part of it is of use."""
        if self.begun and divisible(self.layers):
            self._keep()

    def serves(self, other: "Reading") -> bool:
        """Whether `other` should wait, because this is about to read what both begin with; it is then kept as soon as it is read."""
        common = self._common(other) if other._model is self._model and other._form == self._form else 0
        if not self.begun or common < max(SHARED, self.cached + SHARED):
            return False
        if self.done < common:
            self._keep_at.add(common)
            return True
        if divisible(self.layers) and self._kept < common:
            self._keep()
        return False

    def _common(self, other: "Reading") -> int:
        """How many tokens both begin with, as far as both have to read them."""
        most = min(self.end, other.end)
        differing = np.flatnonzero(self._ids[:most] != other._ids[:most])
        return int(differing[0]) if differing.size else most

    def _keep(self) -> None:
        self._kept = self.done
        self._cache.put(self.tokens[: self.done], self.layers, chat=self._asker.chat)
