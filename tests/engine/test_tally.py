"""What is counted of a model's requests: who waits, who is answered, how it ended, and what was read and written."""

import asyncio
from contextlib import aclosing

from mlx_harmony.engine.provider import EngineProvider
from mlx_harmony.engine.tally import Tally
from mlx_harmony.errors import QueueFull
from mlx_harmony.events import Failed, Loading, Prefill, Queued
from tests.engine.test_provider import Starter, collect, entry, request
from tests.fixtures.scripted import ScriptedEngine, finished


def test_a_request_waits_until_its_prompt_is_read() -> None:
    tally = Tally()
    for name in "abc":
        tally.began(name)
    tally.note("a", Loading(stage="", fraction=0.5))
    tally.note("b", Queued(position=1))
    tally.note("c", Prefill(done=0, total=9))
    assert (tally.counts().waiting, tally.counts().running) == (2, 1)
    tally.note("c", finished("stop"))
    tally.note("b", Failed(code="internal", message="no"))
    tally.left("c")
    tally.left("a")
    counts = tally.counts()
    assert (counts.waiting, counts.running) == (0, 0)
    assert counts.outcomes == {"stop": 1, "failed": 1, "cancelled": 1}
    assert (counts.tokens_read, counts.tokens_reused, counts.tokens_written) == (10, 0, 8)


async def test_the_keeper_of_models_counts_loads_answers_and_who_left() -> None:
    provider = EngineProvider(Starter(lambda: ScriptedEngine(pause_s=0.01)), max_waiting=1)
    await collect(provider.generate(entry(), request("a")))
    async with aclosing(provider.generate(entry(), request("b"))) as events:
        while not isinstance(await anext(events), Prefill):
            pass
        assert (provider.states()[0].counts.running, provider.states()[0].counts.waiting) == (1, 0)
        async with aclosing(provider.generate(entry(), request("c"))) as others:
            await anext(others)
            (refused,) = await collect(provider.generate(entry(), request("d")))
            assert isinstance(refused, Failed) and refused.code == QueueFull.code
    counts = provider.states()[0].counts
    assert counts.outcomes == {"stop": 1, "cancelled": 2, "refused": 1}
    assert (counts.running, counts.waiting, counts.loads, counts.restarts) == (0, 0, 1, 0)
    await provider.unload("a")
    await provider.load(entry())
    assert (provider.states()[0].counts.loads, provider.states()[0].counts.restarts) == (2, 0)
    await provider.close()


async def test_a_load_after_the_process_died_is_a_restart() -> None:
    start = Starter()
    provider = EngineProvider(start)
    await provider.load(entry())
    start.engines["a"].alive = False
    await provider.load(entry())
    assert (provider.states()[0].counts.loads, provider.states()[0].counts.restarts) == (2, 1)
    await provider.close()


async def test_who_waits_for_a_load_is_counted_as_waiting() -> None:
    start = Starter(waits=True)
    provider = EngineProvider(start)
    waiting = asyncio.create_task(collect(provider.generate(entry(), request())))
    await asyncio.sleep(0.01)
    assert (provider.states()[0].counts.waiting, provider.states()[0].counts.running) == (1, 0)
    start.go.set()
    await waiting
    await provider.close()
