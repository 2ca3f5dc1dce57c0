"""Products of few rows on a CPU, filled up with zeros to as many rows as its BLAS takes at once. It knows mlx's plain layers only.

OpenBLAS multiplies sixteen rows at a time; with four or twelve of them it takes up to twice as long as with all. So many come from the
answers that are written together, from guesses that are checked, and from the end of every prompt. Whether that is so on a machine
is tried out once.
"""

import time
from typing import Any

import mlx.core as mx
import mlx.nn as nn

FULL = 16
FEW = 4
"""So many rows over a full number and more are filled up; fewer are quick enough."""
MANY = 160
"""Of more rows than this the last ones hardly count."""
LARGE = 1024 * 1024
"""The filling itself costs more than it spares below so many weights."""
WORTH = 0.9
"""How long a full product may take of what one of half the rows takes, or this BLAS is of another kind."""
TRIES = 4
TRIED = 2048
"""The trial's weights are so wide and high."""


def filled(x: mx.array) -> mx.array | None:
    """The rows of `x` (..., n) as (m, n) with m a full number; None where they are as quick as they are."""
    rows = x.size // x.shape[-1]
    if rows > MANY or rows % FULL < FEW:
        return None
    return mx.pad(x.reshape(rows, -1), [(0, -rows % FULL), (0, 0)])


def unfilled(y: mx.array, x: mx.array) -> mx.array:
    """What belongs to the rows of `x`, in its shape."""
    return y[: x.size // x.shape[-1]].reshape(*x.shape[:-1], -1)


class FilledLinear(nn.Linear):  # type: ignore[misc]
    """A linear layer that fills rows up."""

    def __call__(self, x: mx.array) -> mx.array:
        full = filled(x)
        return super().__call__(x) if full is None else unfilled(super().__call__(full), x)


class FilledEmbedding(nn.Embedding):  # type: ignore[misc]
    """An embedding that is also the model's last layer and fills rows up there."""

    def as_linear(self, x: mx.array) -> mx.array:
        full = filled(x)
        return super().as_linear(x) if full is None else unfilled(super().as_linear(full), x)


KINDS: dict[type, type] = {nn.Linear: FilledLinear, nn.Embedding: FilledEmbedding}


def fill_rows(model: nn.Module) -> int:
    """Have every large float32 layer of the model fill rows up; how many do."""
    layers: list[Any] = [layer for layer in model.modules() if type(layer) in KINDS and _is_large(layer.weight)]
    for layer in layers:
        layer.__class__ = KINDS[type(layer)]
    return len(layers)


def is_worth_it() -> bool:
    """Whether sixteen rows take less time here than eight."""
    weight = mx.zeros((TRIED, TRIED)) + 1.0
    few, full = (mx.ones((rows, TRIED)) for rows in (FULL // 2, FULL))
    mx.eval(weight, few, full)
    return _took(full, weight) < WORTH * _took(few, weight)


def _is_large(weight: mx.array) -> bool:
    return weight.dtype == mx.float32 and weight.size >= LARGE


def _took(x: mx.array, weight: mx.array) -> float:
    """Seconds for the product, the best of some."""
    tries = []
    for _ in range(TRIES):
        began = time.perf_counter()
        mx.eval(x @ weight.T)
        tries.append(time.perf_counter() - began)
    return min(tries)
