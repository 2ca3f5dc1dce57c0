"""KV caches of our own over mlx-lm's: one that packs what it holds, one whose window keeps the first tokens. They know no model.

mlx-lm's QuantizedKVCache hands packed arrays to the attention, which then takes neither sinks nor an architecture of its own, and holds
all its scores at once. PackedKVCache unpacks one layer's for the moment of their use, so that any attention can take them.
"""

from typing import Any

import mlx.core as mx
from mlx_lm.models.base import create_causal_mask
from mlx_lm.models.cache import KVCache, QuantizedKVCache, RotatingKVCache, _BaseCache


class PackedKVCache(_BaseCache):  # type: ignore[misc]
    """Keys and values in few bits. It has no attribute `bits`, by which mlx-lm would know packed arrays."""

    def __init__(self, group_size: int, bits: int) -> None:
        self.packed = QuantizedKVCache(group_size, bits)

    @classmethod
    def of(cls, plain: KVCache, group_size: int, bits: int) -> "PackedKVCache":
        """The same tokens, packed. What is already under way may go on using the plain ones."""
        made = cls(group_size, bits)
        if not plain.empty():
            made.packed.update_and_fetch(*plain.keys_and_values())
        return made

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """Add tokens; all that is held, unpacked in the type of what was added."""
        every = self.packed.update_and_fetch(keys, values)
        size, bits = self.packed.group_size, self.packed.bits
        unpacked = [mx.dequantize(part[0], part[1], part[2], size, bits).astype(keys.dtype) for part in every]
        return unpacked[0], unpacked[1]

    @property
    def offset(self) -> int:
        return int(self.packed.offset)

    @property
    def keys(self) -> Any:
        return self.packed.keys

    @property
    def values(self) -> Any:
        return self.packed.values

    @property
    def state(self) -> Any:
        return self.packed.state

    @state.setter
    def state(self, state: Any) -> None:
        self.packed = QuantizedKVCache.from_state(state)

    @property
    def nbytes(self) -> int:
        return 0 if self.empty() else int(self.packed.nbytes)

    def size(self) -> int:
        return self.offset

    def empty(self) -> bool:
        return bool(self.packed.empty())

    def is_trimmable(self) -> bool:
        return True

    def trim(self, n: int) -> int:
        return int(self.packed.trim(n))

    def make_mask(self, *args: Any, **kwargs: Any) -> Any:
        return self.packed.make_mask(*args, **kwargs)


class WindowKVCache(RotatingKVCache):  # type: ignore[misc]
    """A window over all but the first `keep` tokens. mlx-lm's own hides those from a chunk that goes beyond the window."""

    def make_mask(self, N: int, window_size: int | None = None, return_array: bool = False) -> Any:
        """A layer's own sliding window counts where it is the smaller one."""
        held = min(self.max_size - 1, self.offset)
        narrower = window_size if window_size is not None and window_size < self.max_size else None
        if N == 1 or narrower is not None or held + N <= self.max_size:
            return super().make_mask(N, window_size=narrower, return_array=return_array)
        sees = create_causal_mask(N, held, window_size=self.max_size - self.keep)
        columns, rows = mx.arange(held + N), mx.arange(held, held + N)
        return sees | ((columns < self.keep)[None] & (columns[None] <= rows[:, None]))
