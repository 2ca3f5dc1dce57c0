"""Lets a GPU compile its kernels while a load shows its progress, not in the first answer. Knows neither requests nor the pace's mind."""

import time
from collections.abc import Callable, Iterator

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.cache import make_prompt_cache

from mlx_harmony.records import Sampling
from mlx_harmony.worker import pace
from mlx_harmony.worker.batch import Batch
from mlx_harmony.worker.cache.layers import Layers
from mlx_harmony.worker.decode import Row
from mlx_harmony.worker.sampling import Penalties, Sampler

LONGEST = 4096
"""A card has room for longer chunks than the pace would read unasked, and unpacks its experts once for each."""
DRAWN = 3
"""How many tokens are drawn for each answer: the second goes on from a cache that the first one wrote."""
ANSWERS = (
    (Sampling(temperature=0.0, seed=1), Penalties()),
    (Sampling(temperature=0.8, top_p=0.9, min_p=0.05, top_k=40, seed=1), Penalties(repetition=1.1, window=20)),
)
"""The likeliest tokens, and what filters and penalties compute."""
DECODED = DRAWN * len(ANSWERS)


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


def warm_up(model: nn.Module, lengths: tuple[int, ...], vocabulary: int, told: Callable[[int, int], None]) -> None:
    """Read chunks of these lengths into one cache and draw tokens after them; `told` hears how many steps of how many are done."""
    for done, of in warming_up(model, lengths, vocabulary):
        told(done, of)


def warming_up(model: nn.Module, lengths: tuple[int, ...], vocabulary: int) -> Iterator[tuple[int, int]]:
    """The same step by step: how many of how many are done, before each of them."""
    layers: Layers = list(make_prompt_cache(model))
    of = len(lengths) + len(ANSWERS)
    for done, length in enumerate(lengths):
        yield done, of
        _read(model, layers, length, vocabulary)
    held = sum(lengths)
    for done, (sampling, penalties) in enumerate(ANSWERS, len(lengths)):
        yield done, of
        layers = _drawn(model, layers, Row(Sampler(sampling, penalties, (), [0]), None, held, DRAWN))
        held += DRAWN
    mx.clear_cache()


def timed(model: nn.Module, lengths: tuple[int, ...], vocabulary: int) -> dict[int, float]:
    """How many seconds a layer takes where chunks of these lengths are read after one another, once the kernels are there."""
    layers: Layers = list(make_prompt_cache(model))
    took: dict[int, float] = {}
    for length in lengths:
        began = time.perf_counter()
        _read(model, layers, length, vocabulary)
        took[length] = (time.perf_counter() - began) / len(layers)
    mx.clear_cache()
    return took


def _read(model: nn.Module, layers: Layers, length: int, vocabulary: int) -> None:
    # Tokens of all kinds: of equal ones all would go to the same experts.
    model((mx.arange(length, dtype=mx.int32) % vocabulary)[None], cache=layers)
    mx.eval([layer.state for layer in layers])


def _drawn(model: nn.Module, layers: Layers, row: Row) -> Layers:
    """The caches after as many tokens as the row may have, drawn as answers are."""
    batch = Batch(model)
    batch.join(row, layers, [0])
    for _ in range(DRAWN):
        batch.step()
    return batch.leave(row)
