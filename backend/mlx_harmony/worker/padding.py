"""What answers of different lengths cost when they take their steps together, in bytes: caches are padded to the longest of them.

A step reads the padding as it reads the weights, and two groups read the weights twice. So padding is worth it up to a part of what the
weights take; and as both caches are made anew in one step, there must be room for that beside the old ones. It knows caches, no rows.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, cast

import mlx.nn as nn
from mlx.utils import tree_flatten

from mlx_harmony.models.memory import DeviceKind
from mlx_harmony.worker.cache.layers import CUT, ROTATING, Layers, leaves
from mlx_harmony.worker.device import Device, free_bytes

FREE_PADDING = 4096
"""Tokens of caches, padding included, that a group may have whatever its weights take."""
SHARE_OF_WEIGHTS = 4
"""Padding may take one part in so many of what the weights take."""
SHARE_OF_FREE = 2
"""All caches of a group, made anew, may take one part in so many of the memory that is free."""

Free = Callable[[], int | None]
"""How much memory may be taken; None where that is not known."""


def free_on(kind: str) -> Free:
    """How much memory there is on a device of that kind."""
    return partial(free_bytes, Device(kind=cast(DeviceKind, kind)))


class Padded(NamedTuple):
    """The caches of several answers made into one: bytes in all, and how many of them hold nothing."""

    total: int
    empty: int


def padded(layers: Layers, lengths: Sequence[int]) -> Padded:
    """What answers of these lengths take together; `layers` are the plain caches of one of them. A window is never padded beyond itself."""
    total = empty = 0
    for leaf in leaves(layers):
        if type(leaf) not in (*CUT, *ROTATING) or leaf.empty():
            continue
        each = (leaf.keys.nbytes + leaf.values.nbytes) // leaf.keys.shape[2]
        held = [min(length, leaf.max_size) for length in lengths] if type(leaf) in ROTATING else lengths
        total += each * len(held) * max(held)
        empty += each * (len(held) * max(held) - sum(held))
    return Padded(total, empty)


class Bounds:
    """How much padding one model's answers may have."""

    def __init__(self, model: nn.Module, free: Free) -> None:
        self._model = model
        self._free = free
        self._weights = 0

    def allow(self, layers: Layers, lengths: Sequence[int]) -> bool:
        """Whether answers of these lengths may go together; `layers` as in `padded`."""
        cost = padded(layers, lengths)
        if len(lengths) * max(lengths) > FREE_PADDING and cost.empty * SHARE_OF_WEIGHTS > self._weight_bytes():
            return False
        free = self._free()
        return free is None or cost.total * SHARE_OF_FREE <= free

    def _weight_bytes(self) -> int:
        if not self._weights:
            self._weights = sum(leaf.nbytes for _, leaf in tree_flatten(self._model.parameters()))
        return self._weights
