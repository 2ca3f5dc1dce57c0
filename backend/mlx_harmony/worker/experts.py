"""Reads long pieces of a prompt through unpacked experts: a layer's are dequantised, used and dropped. Knows mlx-lm's experts only.

CUDA multiplies many rows by quantised experts many times slower than by plain ones, while unpacking a layer's experts takes about a
millisecond. A single token's few experts are best left packed, since then only the bytes count that are read.
"""

import math
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.switch_layers import QuantizedSwitchLinear

WORTH = 16
"""Unpacking is worth it from so many rows for each expert on."""


class UnpackingSwitchLinear(QuantizedSwitchLinear):  # type: ignore[misc]
    """The experts of one projection. Many rows at once are multiplied by dequantised weights that live for this one product."""

    def __call__(self, x: mx.array, indices: mx.array, sorted_indices: bool = False) -> mx.array:
        if not sorted_indices or indices.size < WORTH * self.num_experts:
            packed: mx.array = super().__call__(x, indices, sorted_indices)
            return packed
        y = mx.gather_mm(x, self._unpacked(x).swapaxes(-1, -2), rhs_indices=indices, sorted_indices=True)
        return y + mx.expand_dims(self["bias"][indices], -2) if "bias" in self else y

    def _unpacked(self, x: mx.array) -> mx.array:
        """The weights in the type of `x`. They wait for `x`, so that no layer is unpacked before the one under it is done."""
        weight, scales = mx.depends([self["weight"], self["scales"]], [x])
        return mx.dequantize(weight, scales, self.get("biases"), self.group_size, self.bits, self.mode, dtype=x.dtype)


def unpack_for_long_chunks(model: nn.Module) -> int:
    """Let every packed expert layer of the model unpack itself where that is worth it.

    Returns the shortest chunk that is worth reading with it, a power of two; 0 where the model has no such layers.
    """
    rows = 0
    for block in model.modules():
        for layer in _packed(block):
            layer.__class__ = UnpackingSwitchLinear
            rows = max(rows, WORTH * layer.num_experts)
    return 2 ** math.ceil(math.log2(2 * rows / experts_per_token(model))) if rows else 0


def experts_per_token(model: nn.Module) -> int:
    """How many experts of a layer see each token, as the config has it; 1 where it does not say."""
    args = getattr(model, "args", None)
    chosen = getattr(args, "num_experts_per_tok", None)
    return chosen if isinstance(chosen, int) and chosen > 0 else 1


def _packed(block: Any) -> list[Any]:
    return [part for part in block.children().values() if type(part) is QuantizedSwitchLinear and part.global_scale is None]
