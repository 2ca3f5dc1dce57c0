"""In what form a request's keys and values are kept: as computed, packed from a token on, or in a window. Knows no requests and no trees.

mlx-lm leaves that to each architecture, and where one makes its own caches it takes no notice of what was asked. So the caches are made
by the architecture and then exchanged, layer by layer.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import mlx.nn as nn
from mlx_lm.models.cache import CacheList, KVCache, RotatingKVCache, make_prompt_cache

from mlx_harmony.records import KvOptions
from mlx_harmony.worker.cache.layers import CUT, ROTATING, Layers, leaves
from mlx_harmony.worker.cache.packed import PackedKVCache, WindowKVCache

GROUP_SIZE = 64
KEEP = 4
"""How many first tokens a window keeps unless told otherwise, as in mlx-lm: attention leans on them."""

Exchange = Callable[[Any], Any]


class KvForm(NamedTuple):
    """How the caches of a request are made and what becomes of them. All 0: as the model computes them."""

    bits: int = 0
    group_size: int = 0
    start: int = 0
    window: int = 0
    keep: int = 0

    @classmethod
    def of(cls, options: KvOptions, group_size: int = GROUP_SIZE) -> "KvForm":
        """The form that is asked for; `group_size` is what stands for an unset one."""
        if options.kv_bits:
            return cls(options.kv_bits, options.kv_group_size or group_size, options.quantized_kv_start or 0)
        if options.max_kv_size:
            keep = min(KEEP, options.max_kv_size - 1) if options.kv_keep is None else options.kv_keep
            return cls(window=options.max_kv_size, keep=keep)
        return cls()

    @property
    def plain(self) -> bool:
        return not (self.bits or self.window)

    @property
    def words(self) -> str:
        """The form as one short text, "" for the plain one: what is kept in one form is of no use in another."""
        if self.bits:
            return f"{self.bits} bits in groups of {self.group_size} from {self.start}"
        return f"window of {self.window} with {self.keep}" if self.window else ""

    def fresh(self, model: nn.Module) -> Layers:
        """Empty caches for a prompt that begins."""
        made: Layers = list(make_prompt_cache(model))
        if self.window:
            return _exchanged(made, self._windowed)
        return self.at(0, made)

    def at(self, held: int, layers: Layers) -> Layers:
        """The caches in the form that they have once they hold so many tokens; to be asked after each piece that ends at `start`."""
        return _exchanged(layers, self._packed) if self.bits and held >= self.start else layers

    def _packed(self, leaf: Any) -> Any:
        return PackedKVCache.of(leaf, self.group_size, self.bits) if type(leaf) is KVCache else leaf

    def _windowed(self, leaf: Any) -> Any:
        if type(leaf) is RotatingKVCache and leaf.max_size > self.window:
            # A layer's own sliding window never sees the first tokens again, so a smaller one keeps none either.
            return WindowKVCache(self.window, 0)
        return WindowKVCache(self.window, self.keep) if type(leaf) is KVCache else leaf


PLAIN = KvForm()


class KvSize(NamedTuple):
    """What caches really hold: tokens in the layer that holds the most, bytes in all of them."""

    length: int = 0
    bytes: int = 0


def size_of(layers: Layers) -> KvSize:
    """How much is held, whatever was asked for. A state that stands for all tokens holds none of them."""
    lengths = [held_by(leaf) for leaf in leaves(layers)]
    return KvSize(max(lengths, default=0), sum(int(leaf.nbytes) for leaf in leaves(layers) if not leaf.empty()))


def held_by(leaf: Any) -> int:
    """Tokens whose keys and values one cache holds."""
    if type(leaf) in ROTATING:
        return int(min(leaf.offset, leaf.max_size))
    if type(leaf) in CUT:
        return int(leaf.offset)
    return int(getattr(leaf, "offset", 0) - getattr(leaf, "start_position", 0))


def _exchanged(layers: Layers, exchange: Exchange) -> Layers:
    return [CacheList(*_exchanged(layer.caches, exchange)) if type(layer) is CacheList else exchange(layer) for layer in layers]
