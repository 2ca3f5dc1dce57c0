"""What a kept prompt spares until the first token: a long prompt whose beginning was read before is hardly read again."""

import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from mlx_harmony.events import Finished, Prefill, Queued
from mlx_harmony.records import GenerationRequest, ModelEntry, Sampling, TokenPrompt
from mlx_harmony.worker.inprocess import InProcessEngine, start_in_process
from tests.fixtures.life import SLACK
from tests.worker.cache.reading import tokens

LONG = 4000
NEW = 16
SHARE = 0.25


@pytest.fixture(params=["fx1", "fx2"])
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[InProcessEngine]:
    folder: Path = request.getfixturevalue(request.param)
    entry = ModelEntry(id=folder.name, path=str(folder), bytes=1, architecture="", format="template", source="folder")
    engine = await start_in_process(entry, lambda _stage, _fraction: None)
    yield engine
    await engine.close()


async def first_token(engine: InProcessEngine, prompt: list[int]) -> tuple[int, float]:
    """How many tokens of the prompt were read, and the seconds until the answer began."""
    name = str(hash(tuple(prompt)))
    asked = GenerationRequest(id=name, prompt=TokenPrompt(tokens=tuple(prompt)), max_tokens=2, sampling=Sampling(temperature=0))
    began, took = time.perf_counter(), 0.0
    async with aclosing(engine.generate(asked)) as events:
        async for event in events:
            if not isinstance(event, Queued | Prefill):
                took = took or time.perf_counter() - began
            if isinstance(event, Finished):
                return event.timings.prompt_n, took
    raise AssertionError("the answer has no end")


async def test_with_a_warm_cache_the_first_token_comes_in_a_quarter_of_the_time_at_most(engine: InProcessEngine) -> None:
    prompt = tokens(LONG)
    await first_token(engine, tokens(NEW, seed=9))
    cold_n, cold_s = await first_token(engine, prompt)
    assert cold_n == LONG
    warm = [await first_token(engine, prompt + tokens(NEW, seed=turn)) for turn in (1, 2, 3)]
    assert max(read for read, _ in warm) <= NEW + SLACK < SHARE * cold_n
    # Measured on a busy machine: 0.7 to 3 %. The best of three: one that had to wait for the processor tells nothing.
    assert min(took for _, took in warm) <= SHARE * cold_s
