"""Attention on a CPU: what mlx computes there, in products that a BLAS is quick with, and on two cores. It knows arrays only.

mlx multiplies each head by its keys alone, so heads that share keys read them again and again; and all that is no product of matrices
runs on one core. Here the heads of a token that share keys are one product, and where there is much to do, a half of it is done beside the
other.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import mlx.core as mx

Mask = mx.array | str | None
"""As mlx has it: "causal", True where a key is seen, or what is added to the scores; (B, H, L, S) or what becomes that."""

MANY_KEYS = 256 * 1024
"""From so many numbers of keys on, a single token's heads are worth a second core."""
PRODUCT = 256 * 1024
"""A BLAS has cores of its own for products of more multiplications: then a second stream only gets in its way."""
MANY_SCORES = 1024 * 1024
"""From so many scores on, the tokens of a chunk are worth a second core."""
BLOCK = 128
"""So many tokens of a chunk are done at once: none of them sees the keys behind the last."""

_mlx = mx.fast.scaled_dot_product_attention
_beside = mx.new_thread_local_stream(mx.cpu)


def use_attention() -> None:
    """From now on mlx-lm's models compute attention so in this process: they all look it up in mlx.fast."""
    mx.fast.scaled_dot_product_attention = attend


def attend(
    q: mx.array, k: mx.array, v: mx.array, *, scale: float, mask: Mask = None, sinks: mx.array | None = None, **more: Any
) -> mx.array:
    """Queries (B, H, L, D), keys (B, K, S, D), values (B, K, S, V) and sinks (H,) to (B, H, L, V), as mlx.fast has it.

    What is not in float32, or is asked for in some special way, is left to mlx.
    """
    if more or q.dtype != mx.float32:
        return _mlx(q, k, v, scale=scale, mask=mask, sinks=sinks, **more)
    if q.shape[2] > 1:
        return _tokens(q, k, v, scale, mask, sinks)
    shown = None if isinstance(mask, str) else mask
    product = q.shape[1] // k.shape[1] * k.shape[2] * k.shape[3]
    if k.size < MANY_KEYS or product > PRODUCT or k.shape[1] % 2:
        return _token(q, k, v, shown, sinks, scale)
    halves = [(_half(q, side), _half(k, side), _half(v, side), _half(shown, side), _half(sinks, side, -1)) for side in (0, 1)]
    return _side_by_side([partial(_token, *half, scale=scale) for half in halves], axis=1)


def _half(array: Any, side: int, axis: int = -3) -> Any:
    """One half of the heads, which lie along that axis; what is the same for all of them stays whole."""
    if array is None or array.ndim < -axis or array.shape[axis] == 1:
        return array
    return mx.split(array, 2, axis=axis)[side]


def _token(q: mx.array, k: mx.array, v: mx.array, mask: mx.array | None, sinks: mx.array | None, scale: float) -> mx.array:
    """One token's attention, the heads of each group of keys as one product."""
    batch, heads, _, width = q.shape
    groups = k.shape[1]
    scores = (q * scale).reshape(batch, groups, heads // groups, width) @ k.swapaxes(-1, -2)
    if mask is not None:
        scores = _masked(scores, mask)
    seen = mx.softmax(scores, axis=-1, precise=True) @ v
    if sinks is not None:
        # A sink is a key with no value: it takes its share of the softmax and gives nothing.
        seen = seen * mx.sigmoid(mx.logsumexp(scores, axis=-1, keepdims=True) - sinks.reshape(groups, -1, 1))
    return seen.reshape(batch, heads, 1, v.shape[-1])


def _masked(scores: mx.array, mask: mx.array) -> mx.array:
    """Scores (B, K, G, S) under a mask of one token."""
    if mask.ndim > 2:
        mask = mask.reshape(*mask.shape[:-3], *(scores.shape[1:3] if mask.shape[-3] > 1 else (1, 1)), mask.shape[-1])
    return mx.where(mask, scores, mx.finfo(scores.dtype).min) if mask.dtype == mx.bool_ else scores + mask


def _tokens(q: mx.array, k: mx.array, v: mx.array, scale: float, mask: Mask, sinks: mx.array | None) -> mx.array:
    """Attention of a chunk of tokens, some of them at a time."""
    length, keys = q.shape[2], k.shape[2]
    if q.shape[0] * q.shape[1] * length * keys < MANY_SCORES:
        return _mlx(q, k, v, scale=scale, mask=mask, sinks=sinks)
    blocks = []
    for start in range(0, length, BLOCK):
        end = min(start + BLOCK, length)
        seen = keys - length + end if mask == "causal" else keys
        shown = mask[..., start:end, :] if isinstance(mask, mx.array) and mask.shape[-2] > 1 else mask
        part = partial(_mlx, q[:, :, start:end], k[:, :, :seen], v[:, :, :seen])
        blocks.append(partial(part, scale=scale, mask=shown, sinks=sinks))
    return _side_by_side(blocks, axis=2)


def _side_by_side(parts: Sequence[partial[mx.array]], axis: int) -> mx.array:
    """The parts as one, every other one computed beside the rest."""
    done = []
    for number, part in enumerate(parts):
        with mx.stream(_beside if number % 2 else mx.default_stream(mx.cpu)):
            done.append(part())
    return mx.concatenate(done, axis=axis)
