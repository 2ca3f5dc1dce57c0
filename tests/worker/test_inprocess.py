"""The same loop in this process, through the provider, as `mlx-harmony generate` runs it."""

import asyncio
import threading
from contextlib import aclosing
from pathlib import Path

import pytest

from mlx_harmony.engine.provider import EngineProvider
from mlx_harmony.errors import LoadFailed
from mlx_harmony.events import Event, Failed, Finished, TextDelta
from mlx_harmony.records import GenerationRequest, ModelEntry, Sampling, TextPrompt
from mlx_harmony.worker.inprocess import TASKS, InProcessEngine, start_in_process


def entry(folder: Path) -> ModelEntry:
    return ModelEntry(id=folder.name, path=str(folder), bytes=1, architecture="", format="template", source="folder")


def request(name: str = "r", max_tokens: int = 10) -> GenerationRequest:
    return GenerationRequest(id=name, prompt=TextPrompt(text="hello there"), max_tokens=max_tokens, sampling=Sampling(seed=1))


async def collect(provider: EngineProvider, model: ModelEntry, asked: GenerationRequest) -> list[Event]:
    async with aclosing(provider.generate(model, asked)) as events:
        return [event async for event in events]


async def test_the_loop_answers_in_this_process(fx1: Path, fx2: Path) -> None:
    provider = EngineProvider(start_in_process)
    for folder in (fx1, fx2):
        answers = [await collect(provider, entry(folder), request(str(number))) for number in range(2)]
        assert all(isinstance(answer[-1], Finished) for answer in answers)
        first, second = ([event for event in answer if isinstance(event, TextDelta)] for answer in answers)
        assert first == second
    await provider.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "mlx"]


async def test_leaving_cancels_and_the_next_request_is_answered(fx1: Path) -> None:
    engine = await start_in_process(entry(fx1), lambda _stage, _fraction: None)
    events = engine.generate(request("left", 8000))
    async for event in events:
        if isinstance(event, TextDelta):
            break
    await events.aclose()
    async with aclosing(engine.generate(request("next"))) as following:
        assert isinstance([event async for event in following][-1], Finished)
    await engine.close()


async def test_closing_in_mid_reply_ends_it_with_an_event(fx1: Path) -> None:
    engine = await start_in_process(entry(fx1), lambda _stage, _fraction: None)
    heard: list[Event] = []

    async def listen() -> None:
        async with aclosing(engine.generate(request("long", 8000))) as events:
            heard.extend([event async for event in events])

    listening = asyncio.create_task(listen())
    await asyncio.sleep(0.1)
    await engine.close()
    await asyncio.wait_for(listening, 5)
    assert isinstance(heard[-1], Finished | Failed)
    assert not engine.alive


@pytest.mark.skipif(not TASKS.exists(), reason="only Linux lists a process's threads")
async def test_after_closing_the_thread_is_gone_for_the_system_too(fx1: Path) -> None:
    for _ in range(5):
        before = {task.name for task in TASKS.iterdir()}
        engine = await start_in_process(entry(fx1), lambda _stage, _fraction: None)
        async with aclosing(engine.generate(request())) as events:
            assert isinstance([event async for event in events][-1], Finished)
        assert engine._thread is not None
        native = str(engine._thread.native_id)
        assert native in {task.name for task in TASKS.iterdir()} - before
        await engine.close()
        assert native not in {task.name for task in TASKS.iterdir()}


async def test_a_load_that_fails_says_why_and_leaves_no_thread(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match="no model folder"):
        await start_in_process(entry(tmp_path / "nothing"), lambda _stage, _fraction: None)
    assert not [thread for thread in threading.enumerate() if thread.name == "mlx"]


async def test_a_load_that_is_left_ends_its_thread(fx1: Path) -> None:
    loading = asyncio.create_task(start_in_process(entry(fx1), lambda _stage, _fraction: None))
    await asyncio.sleep(0)
    loading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loading
    assert not [thread for thread in threading.enumerate() if thread.name == "mlx"]


async def test_an_engine_in_process_has_no_pid(fx1: Path) -> None:
    engine: InProcessEngine = await start_in_process(entry(fx1), lambda _stage, _fraction: None)
    assert engine.pid is None
    assert engine.alive
    await engine.close()
