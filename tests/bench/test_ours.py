"""Our own side of the bench: its figures are those that the worker tells, also where its device has a memory of its own."""

from collections.abc import AsyncGenerator
from typing import Any

import msgspec

from mlx_harmony.bench.ours import Ours
from mlx_harmony.events import Event, Finished, TextDelta
from mlx_harmony.records import GenerationRequest, ModelCard, Timings, Usage

CARD = ModelCard(
    format="raw",
    architecture="llama",
    context_length=100,
    vocabulary_size=50,
    weight_bytes=1,
    parameters=1,
    device="cuda",
    fingerprint="0",
    peak_bytes=700,
)


class Engine:
    """Answers with one token; the n-th answer takes `peaks[n]` bytes at most."""

    pid = 0

    def __init__(self, card: ModelCard, peaks: list[int]) -> None:
        self.card = card
        self._peaks = iter(peaks)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        yield TextDelta(index=0, channel="final", text="a")
        timings = Timings(prompt_n=1, cached_n=0, prompt_ms=1, predicted_n=1, predicted_ms=1, peak_bytes=next(self._peaks))
        yield Finished(reason="length", usage=Usage(prompt_tokens=1, completion_tokens=1), timings=timings)


async def test_the_most_memory_is_what_the_worker_says_of_its_own_device() -> None:
    engine: Any = Engine(CARD, [900, 800, 1000])
    ours = Ours(engine, 0.1)
    assert ours.peak_memory_bytes() == 700
    await ours.one((1, 2, 3), 1)
    await ours.one((1, 2, 3), 1)
    assert ours.peak_memory_bytes() == 900
    await ours.many([(1, 2, 3)], 1)
    assert ours.peak_memory_bytes() == 1000


def test_where_a_worker_does_not_know_it_nothing_is_claimed() -> None:
    engine: Any = Engine(msgspec.structs.replace(CARD, peak_bytes=0), [])
    assert Ours(engine, 0.1).peak_memory_bytes() is None
