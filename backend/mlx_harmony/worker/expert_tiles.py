"""Experts on a CPU: the tokens that go to one expert are multiplied together. Knows mlx-lm's plain expert layers only.

mlx multiplies each token by its expert's weights alone there, which reads them anew for each. Here the tokens, which come sorted by
expert, lie in tiles of one expert each, filled up with zeros; where the tiles begin is computed by mlx as well, so nothing waits for it.
Without a fast BLAS the zeros cost more than that spares.
"""

from typing import Any, NamedTuple

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.switch_layers import SwitchLinear

TILE = 16
"""As many rows as a BLAS takes at once."""
WORTH = 4
"""Tiles are worth it from so many rows for each expert on: every expert may fill one up."""


class Tiles(NamedTuple):
    """Where N rows lie in tiles: their slots (N,) among `total` * TILE, and the expert of each tile (total,)."""

    total: int
    slots: mx.array
    experts: mx.array


def tiles_of(indices: mx.array, experts: int) -> Tiles:
    """Tiles for rows that are sorted by the expert each of them goes to; `indices` (N,)."""
    rows = indices.size
    total = (rows + experts * (TILE - 1)) // TILE + 1
    each = (indices[None] == mx.arange(experts, dtype=indices.dtype)[:, None]).sum(axis=1).astype(mx.int32)
    filled = (each + TILE - 1) // TILE
    ends = mx.cumsum(filled)
    # How far the rows of an expert move on: those before it fill their last tiles up.
    moved = (ends - filled) * TILE - (mx.cumsum(each) - each)
    slots = mx.arange(rows, dtype=mx.int32) + moved[indices]
    belongs = (mx.arange(total, dtype=mx.int32)[:, None] >= ends[None]).sum(axis=1)
    return Tiles(total, slots, mx.minimum(belongs, experts - 1).astype(mx.uint32))


class TiledSwitchLinear(SwitchLinear):  # type: ignore[misc]
    """The experts of one projection. Many rows at once, sorted by expert, are multiplied tile by tile."""

    def __call__(self, x: mx.array, indices: mx.array, sorted_indices: bool = False) -> mx.array:
        if not sorted_indices or indices.size < WORTH * self.num_experts or x.shape[:-1] != (indices.size, 1):
            one_by_one: mx.array = super().__call__(x, indices, sorted_indices)
            return one_by_one
        tiles = tiles_of(indices, self.num_experts)
        laid = mx.zeros((tiles.total * TILE, x.shape[-1]), x.dtype)
        laid[tiles.slots] = x[:, 0]
        y = mx.gather_mm(
            laid.reshape(tiles.total, TILE, -1), self["weight"].swapaxes(-1, -2), rhs_indices=tiles.experts, sorted_indices=True
        )
        y = y.reshape(tiles.total * TILE, -1)[tiles.slots][:, None]
        return y + mx.expand_dims(self["bias"][indices], -2) if "bias" in self else y


def tile_experts(model: nn.Module) -> int:
    """Have every plain expert layer of the model multiply by tiles; how many do."""
    layers: list[Any] = [layer for layer in model.modules() if type(layer) is SwitchLinear]
    for layer in layers:
        layer.__class__ = TiledSwitchLinear
    return len(layers)
