"""Reads one prompt into caches, chunk by chunk, and keeps snapshots of it on the way. Knows nothing of requests, formats or events.

It begins from what the prompt cache holds of the prompt. No chunk is longer than the pace allows and none goes over a mark.
"""

from collections.abc import Generator, Sequence
from concurrent.futures import wait

import mlx.nn as nn
import numpy as np

from mlx_harmony.cache_records import Reuse
from mlx_harmony.worker.cache.account import Asker
from mlx_harmony.worker.cache.layers import cut_arrays
from mlx_harmony.worker.cache.restoring import STEP_BYTES, Pause
from mlx_harmony.worker.chunk import Chunk
from mlx_harmony.worker.kv import PLAIN
from mlx_harmony.worker.kv_caches import KvUse
from mlx_harmony.worker.pace import Pace
from mlx_harmony.worker.prompt_cache import Layers, PromptCache, divisible

EARLY_MARKS = 2
LATE_MARKS = 3
SHARED = 32
"""From so many tokens on it is worth waiting for another request that is reading the same."""


class Reading:
    """All of `tokens` but the last on their way into `layers`; `done` of them are there. `begin` comes first, until it has, then `read`."""

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
        self._kept = self._snapshot_at = 0
        self._beginning: Generator[Pause, None, None] | None = None
        self._pause: Pause = None
        self._chunk: Chunk | None = None

    @property
    def end(self) -> int:
        """How many tokens are to be read: one is left to begin the answer with."""
        return len(self.tokens) - 1

    @property
    def left(self) -> int:
        return self.end - self.done

    @property
    def seen(self) -> int:
        """How many tokens are read, those of a chunk under way by the share of its layers that is."""
        return self.done + (int(self._chunk.tokens * self._chunk.share) if self._chunk else 0)

    @property
    def over(self) -> bool:
        return self.begun and self.done >= self.end

    @property
    def under_way(self) -> bool:
        """Whether it has had its first turn."""
        return self._beginning is not None

    @property
    def waits(self) -> bool:
        """Whether it cannot go on yet, because what it begins with is still being read from the disk."""
        return self._pause is not None and not self._pause.done()

    def wait(self, timeout_s: float | None = None) -> None:
        """Return when it can go on, or after that time."""
        if self._pause is not None:
            wait([self._pause], timeout_s)

    def begin(self, boundaries: Sequence[int] = ()) -> bool:
        """Take what was read before; False where that takes another step, after others have had their turn.

        Where caches cannot be cut, snapshots are kept at the first and the last of `boundaries`. And where this prompt parts from what is
        known, if no snapshot lay near: others will part there too.
        """
        if self._beginning is None:
            self._beginning = self._taking(boundaries)
        self._pause = next(self._beginning, None)
        return self.begun

    def _taking(self, boundaries: Sequence[int]) -> Generator[Pause, None, None]:
        taken = yield from self._cache.looking(self._ids, self._asker)
        self.cached, self.reuse = taken.length, taken.reuse
        if taken.kept is not None:
            made = yield from taken.kept.making()
            self.layers = self._form.at(self.cached, made)
        else:
            self.layers = self._form.fresh(self._model)
        self.done, self.begun = self.cached, True
        self._kept = self._snapshot_at = self.cached
        self._keep_at = {self.end}
        if not divisible(self.layers):
            self._keep_at |= {*boundaries[:EARLY_MARKS], *boundaries[-LATE_MARKS:]}
            if taken.reuse.matched - self.cached >= SHARED:
                self._keep_at.add(taken.reuse.matched)
        if self._form.start:
            # There KV becomes packed: no chunk may lie on both sides of it.
            self._keep_at.add(self._form.start)

    def read(self) -> None:
        """Read on for one step: a chunk, or some layers of it."""
        chunk = self._chunk = self._chunk or self._next_chunk()
        chunk.go_on(self._pace.step_s)
        if not chunk.over:
            return
        self._chunk = None
        self._pace.learn(chunk.tokens, chunk.seconds, chunk.longest_s)
        self._cache.learn(self._pace.token_s)
        self.done += chunk.tokens
        if self.done in self._keep_at:
            self._keep()
        elif self._unkept_bytes >= STEP_BYTES:
            self._keep(snapshot=False)
        self.layers = self._form.at(self.done, self.layers)

    def _next_chunk(self) -> Chunk:
        stops = (mark for mark in self._keep_at if self.done < mark <= self.end)
        following = self.tokens[self.done : self.done + self._pace.next_of(min(stops) - self.done)]
        return Chunk(self._model, self.layers, following, self._pace.layer_s(len(following)))

    def leave(self) -> None:
        """Keep what was read of a prompt that nobody waits for any more, where a part of it is of use."""
        if self._beginning is not None:
            self._beginning.close()
        if self._chunk is not None:
            self._chunk.give_up()
            self._chunk = None
        if self.begun and (divisible(self.layers) or self.done - self._snapshot_at >= SHARED):
            self._keep()

    def serves(self, other: "Reading") -> bool:
        """Whether `other` should wait, because this is about to read what both begin with; it is then kept as soon as it is read.

        Or because it is just bringing that from the disk.
        """
        common = self._common(other) if other._model is self._model and other._form == self._form else 0
        if not self.begun:
            return self.under_way and common >= SHARED
        if common < max(SHARED, self.cached + SHARED):
            return False
        if self.done + (self._chunk.tokens if self._chunk else 0) < common:
            self._keep_at.add(common)
            return True
        if not divisible(self.layers):
            return False
        if self.done < common:
            return True
        if self._kept < common:
            self._keep()
        return False

    def _common(self, other: "Reading") -> int:
        """How many tokens both begin with, as far as both have to read them."""
        most = min(self.end, other.end)
        differing = np.flatnonzero(self._ids[:most] != other._ids[:most])
        return int(differing[0]) if differing.size else most

    @property
    def _unkept_bytes(self) -> int:
        """What is to be copied when all that was read so far is kept."""
        return (self.done - self._kept) * sum(array.nbytes // array.shape[-2] for array in cut_arrays(self.layers))

    def _keep(self, snapshot: bool = True) -> None:
        """Keep what was read so far; of a long prompt some every now and then, since copying all of it would take long."""
        self._kept = self.done
        self._snapshot_at = self.done if snapshot else self._snapshot_at
        new = self.end - self.cached
        self._cache.put(self._ids[: self.done], self.layers, chat=self._asker.chat, snapshot=snapshot, part_of=new)
