"""A piece of a prompt on its way through the model, a few layers at a time, so that a long one keeps nobody waiting.

mlx computes what is asked of it and no more: a layer's cache needs the layers under it only. So a chunk can stand still between two layers
while answers go on, and can be given up there. It knows caches and times; nothing of requests.
"""

import time
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from mlx_harmony.worker.cache.layers import CUT, Layers, leaves
from mlx_harmony.worker.speculation.going_back import again


class Chunk:
    """`tokens` on their way into `layers`, which are right again when it is `over` or was given up.

    A layer is expected to take `layer_s` seconds, 0 where nothing is known. `longest_s` is the longest that could not be divided: a layer,
    or what the model did at once as it was called.
    """

    def __init__(self, model: nn.Module, layers: Layers, tokens: list[int], layer_s: float = 0.0) -> None:
        self.tokens = len(tokens)
        self._expected_s = layer_s
        self._layers = layers
        self._done = 0
        self._before = [[_Before(leaf) for leaf in leaves([layer])] for layer in layers]
        began = time.perf_counter()
        model(mx.array(tokens, mx.int32)[None], cache=layers)
        self.seconds = self.longest_s = time.perf_counter() - began

    @property
    def over(self) -> bool:
        return self._done == len(self._layers)

    @property
    def share(self) -> float:
        """Which part of it is done."""
        return self._done / len(self._layers)

    def go_on(self, target_s: float) -> None:
        """Compute as many layers as are expected to take so long, but one at least."""
        count = max(1, int(target_s / self._expected_s)) if self._expected_s else 1
        # The first layer's keys and values need hardly more than the embeddings: what they take says nothing of the others.
        count += 0 if self._done else 1
        following = self._layers[self._done : self._done + count]
        for before in self._before[self._done : self._done + count]:
            for leaf in before:
                leaf.let_go()
        began = time.perf_counter()
        mx.eval([layer.state for layer in following])
        self._took(time.perf_counter() - began, len(following))

    def _took(self, seconds: float, layers: int) -> None:
        self._expected_s = seconds / max(1, layers if self._done else layers - 1)
        self.longest_s = max(self.longest_s, self._expected_s)
        self.seconds += seconds
        self._done += layers

    def give_up(self) -> None:
        """Leave the layers as they were before it."""
        for before in self._before:
            for leaf in before:
                leaf.restore()


class _Before:
    """One cache as it stood before a chunk."""

    def __init__(self, leaf: Any) -> None:
        self._leaf = leaf
        self._offset = getattr(leaf, "offset", 0)
        self._state: Any = again(leaf.state)
        self._held = True

    def let_go(self) -> None:
        """It is computed now: what can be cut is cut back then, and its arrays are free to be written to in place."""
        if type(self._leaf) in CUT:
            self._held, self._state = False, None

    def restore(self) -> None:
        if self._held:
            self._leaf.state = self._state
        else:
            self._leaf.trim(self._leaf.offset - self._offset)
