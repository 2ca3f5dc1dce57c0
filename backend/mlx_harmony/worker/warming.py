"""Lets a GPU compile its kernels while a load shows its progress, not in the first answer. Knows neither requests nor the pace's mind."""

import time
from collections.abc import Callable, Iterator

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.cache import make_prompt_cache

from mlx_harmony.worker import pace

LONGEST = 4096
"""A card has room for longer chunks than the pace would read unasked, and unpacks its experts once for each."""
DECODED = 2
"""How many single tokens are drawn: the second goes on from a cache that the first one wrote."""


def chunk_lengths(device: str, least: int, context: int) -> tuple[int, ...]:
    """The chunks in which a first prompt is read there where the device is quick: each as many times longer as the pace grows."""
    match device:
        case "cpu":
            return ()
        case "metal":
            return (pace.FIRST,)
    lengths: list[int] = []
    length, room = max(pace.FIRST, least), context - DECODED
    while room > 0:
        lengths.append(min(length, room))
        room -= length
        if length == LONGEST:
            break
        length = min(length * pace.GROWTH, LONGEST)
    return tuple(lengths)


def warm_up(model: nn.Module, lengths: tuple[int, ...], told: Callable[[int, int], None]) -> None:
    """Read chunks of these lengths into one cache and draw tokens after them; `told` hears how many steps of how many are done."""
    for done, of in warming_up(model, lengths):
        told(done, of)


def warming_up(model: nn.Module, lengths: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """The same step by step: how many of how many are done, before each of them."""
    layers = make_prompt_cache(model)
    steps = (*lengths, *([1] * DECODED))
    for done, length in enumerate(steps):
        yield done, len(steps)
        logits = model(mx.zeros((1, length), mx.int32), cache=layers)
        # Of a chunk only the caches are wanted, as when a prompt is read; of a single token its logits.
        mx.eval([layer.state for layer in layers] if length > 1 else mx.argmax(logits[:, -1], axis=-1))
    mx.clear_cache()


def timed(model: nn.Module, lengths: tuple[int, ...]) -> dict[int, float]:
    """How many seconds a layer takes where chunks of these lengths are read after one another, once the kernels are there."""
    layers = make_prompt_cache(model)
    took: dict[int, float] = {}
    for length in lengths:
        began = time.perf_counter()
        model(mx.zeros((1, length), mx.int32), cache=layers)
        mx.eval([layer.state for layer in layers])
        took[length] = (time.perf_counter() - began) / len(layers)
    mx.clear_cache()
    return took
