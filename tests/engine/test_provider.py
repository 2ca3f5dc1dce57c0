"""The keeper of loaded models, over scripted engines: one load however many ask, cancelled loads, crashes, room for the next."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import pytest

from mlx_harmony.engine.protocols import Engine, Progress
from mlx_harmony.engine.provider import EngineProvider
from mlx_harmony.engine.residency import Limits
from mlx_harmony.errors import InvalidRequest, LoadFailed, ShuttingDown
from mlx_harmony.events import Event, Failed, Finished, Loading
from mlx_harmony.records import GenerationRequest, ModelEntry, TextPrompt
from tests.fixtures.scripted import ScriptedEngine, say


def entry(name: str = "a") -> ModelEntry:
    return ModelEntry(id=name, path=f"/models/{name}", bytes=1, architecture="scripted", format="harmony", source="folder")


def request(name: str = "r") -> GenerationRequest:
    return GenerationRequest(id=name, prompt=TextPrompt(text="hi"))


async def collect(events: AsyncGenerator[Event, None]) -> list[Event]:
    async with aclosing(events):
        return [event async for event in events]


class Starter:
    """A StartEngine that loads when told to; remembers what was started, ended and given up."""

    def __init__(self, make: Callable[[], ScriptedEngine] = ScriptedEngine, waits: bool = False) -> None:
        self.make = make
        self.started: list[str] = []
        self.forced = False
        self.given_up: list[str] = []
        self.engines: dict[str, ScriptedEngine] = {}
        self.go = asyncio.Event()
        self.problem: LoadFailed | None = None
        if not waits:
            self.go.set()

    async def __call__(self, entry: ModelEntry, progress: Progress, *, force: bool = False) -> Engine:
        self.started.append(entry.id)
        self.forced = force
        progress("Reading weights", 0.5)
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.given_up.append(entry.id)
            raise
        if self.problem is not None:
            raise self.problem
        self.engines[entry.id] = self.make()
        return self.engines[entry.id]


async def test_a_sleeping_model_is_loaded_with_progress_and_answers() -> None:
    provider = EngineProvider(Starter())
    events = await collect(provider.generate(entry(), request()))
    assert isinstance(events[0], Loading)
    assert isinstance(events[-1], Finished)
    assert provider.states()[0].phase == "awake"
    again = await collect(provider.generate(entry(), request("r2")))
    assert not any(isinstance(event, Loading) for event in again)


async def test_many_requests_share_one_load() -> None:
    start = Starter(waits=True)
    provider = EngineProvider(start)
    tasks = [asyncio.create_task(collect(provider.generate(entry(), request(str(n))))) for n in range(5)]
    await asyncio.sleep(0.01)
    assert provider.states()[0].phase == "loading"
    assert provider.states()[0].fraction == 0.5
    start.go.set()
    answers = await asyncio.gather(*tasks)
    assert start.started == ["a"]
    assert all(any(isinstance(event, Loading) and event.fraction == 0.5 for event in answer) for answer in answers)
    assert all(isinstance(answer[-1], Finished) for answer in answers)


async def test_leaving_while_it_loads_ends_a_load_nobody_else_wants() -> None:
    start = Starter(waits=True)
    provider = EngineProvider(start)
    events = provider.generate(entry(), request())
    await anext(events)
    await asyncio.sleep(0.01)
    await events.aclose()
    await asyncio.sleep(0.01)
    assert start.given_up == ["a"]
    assert provider.states()[0].phase == "asleep"
    start.go.set()
    assert isinstance((await collect(provider.generate(entry(), request())))[-1], Finished)


async def test_leaving_while_it_loads_keeps_a_load_that_another_waits_for() -> None:
    start = Starter(waits=True)
    provider = EngineProvider(start)
    events = provider.generate(entry(), request("leaves"))
    other = asyncio.create_task(provider.load(entry()))
    await anext(events)
    await asyncio.sleep(0.01)
    await events.aclose()
    start.go.set()
    assert (await other).architecture == "scripted"
    assert start.given_up == []


async def test_a_load_begun_right_after_a_cancelled_one_is_a_load_of_its_own() -> None:
    start = Starter(waits=True)
    provider = EngineProvider(start)
    events = provider.generate(entry(), request("leaves"))
    await anext(events)
    await events.aclose()
    start.go.set()
    assert isinstance((await collect(provider.generate(entry(), request())))[-1], Finished)
    assert provider.states()[0].phase == "awake"


async def test_a_failed_load_is_told_and_leaves_other_models_as_they_were() -> None:
    start = Starter()
    provider = EngineProvider(start)
    await provider.load(entry("good"))
    start.problem = LoadFailed("config.json is missing.", hint="Download the model again.")
    events = await collect(provider.generate(entry("bad"), request()))
    assert events[-1] == Failed.of(start.problem)
    with pytest.raises(LoadFailed):
        await provider.load(entry("bad"))
    phases = {state.id: (state.phase, state.trouble) for state in provider.states()}
    assert phases == {"good": ("awake", ""), "bad": ("crashed", "config.json is missing. Download the model again.")}
    start.problem = None
    assert isinstance((await collect(provider.generate(entry("bad"), request())))[-1], Finished)


async def test_a_crash_is_shown_and_the_next_request_starts_the_model_again() -> None:
    crash = Failed(code="engine_crashed", message="The process ended.", hint="Send it again.")

    def crashing() -> ScriptedEngine:
        return ScriptedEngine(lambda _request: [*say("half an answer")[:4], crash])

    start = Starter(crashing)
    provider = EngineProvider(start)
    events = await collect(provider.generate(entry(), request()))
    assert events[-1] == crash
    start.engines["a"].alive = False
    state = provider.states()[0]
    assert (state.phase, state.problem, state.hint, state.pid) == ("crashed", "The process ended.", "Send it again.", None)
    start.make = ScriptedEngine
    assert isinstance((await collect(provider.generate(entry(), request())))[-1], Finished)
    assert start.started == ["a", "a"]
    assert provider.states()[0].trouble == ""


async def test_a_model_that_died_while_idle_says_so() -> None:
    start = Starter()
    provider = EngineProvider(start)
    await provider.load(entry())
    start.engines["a"].alive = False
    assert provider.states()[0].phase == "crashed"
    assert "starts it again" in provider.states()[0].problem


async def test_a_full_queue_says_so() -> None:
    provider = EngineProvider(Starter(lambda: ScriptedEngine(pause_s=0.05)), max_waiting=1)
    running = [asyncio.create_task(collect(provider.generate(entry(), request(str(n))))) for n in range(2)]
    await asyncio.sleep(0.02)
    refused = await collect(provider.generate(entry(), request("late")))
    assert [event.code for event in refused if isinstance(event, Failed)] == ["queue_full"]
    answers = await asyncio.gather(*running)
    assert all(isinstance(answer[-1], Finished) for answer in answers)
    assert isinstance((await collect(provider.generate(entry(), request("later"))))[-1], Finished)


async def test_a_busy_model_is_not_unloaded_and_an_idle_one_is() -> None:
    start = Starter(lambda: ScriptedEngine(pause_s=0.02))
    provider = EngineProvider(start)
    running = asyncio.create_task(collect(provider.generate(entry(), request())))
    await asyncio.sleep(0.03)
    assert provider.states()[0].phase == "busy"
    with pytest.raises(InvalidRequest, match="busy"):
        await provider.unload("a")
    assert isinstance((await running)[-1], Finished)
    await provider.unload("a")
    assert provider.states()[0].phase == "asleep"
    assert not start.engines["a"].alive
    await provider.unload("never seen")


async def test_the_longest_idle_model_makes_room_but_never_a_busy_one() -> None:
    start = Starter()
    provider = EngineProvider(start, limits=Limits(models=2))
    start.make = lambda: ScriptedEngine(pause_s=0.1)
    busy = asyncio.create_task(collect(provider.generate(entry("busy"), request())))
    await asyncio.sleep(0.02)
    start.make = ScriptedEngine
    for name in ("old", "new"):
        await provider.load(entry(name))
    phases = {state.id: state.phase for state in provider.states()}
    assert phases == {"busy": "busy", "old": "asleep", "new": "awake"}
    busy.cancel()
    with pytest.raises(asyncio.CancelledError):
        await busy


async def test_leaving_an_answer_cancels_it_in_the_engine() -> None:
    start = Starter(lambda: ScriptedEngine(pause_s=0.01))
    provider = EngineProvider(start)
    events = provider.generate(entry(), request("left"))
    async for event in events:
        if not isinstance(event, Loading):
            break
    await events.aclose()
    assert start.engines["a"].cancelled == ["left"]
    assert provider.states()[0].phase == "awake"


async def test_closing_ends_loads_and_engines() -> None:
    start = Starter()
    provider = EngineProvider(start)
    await provider.load(entry("loaded"))
    start.go.clear()
    waiting = asyncio.create_task(collect(provider.generate(entry("loading"), request())))
    await asyncio.sleep(0.01)
    await provider.close()
    assert start.given_up == ["loading"]
    assert not start.engines["loaded"].alive
    late = await collect(provider.generate(entry("loading"), request()))
    for ending in ((await waiting)[-1], late[-1]):
        assert isinstance(ending, Failed)
        assert (ending.code, ending.message) == (ShuttingDown.code, "MLX Harmony is stopping.")


async def test_an_answer_under_way_ends_in_the_stop_and_not_in_the_end_of_its_process() -> None:
    class Ends(ScriptedEngine):
        ended = asyncio.Event()

        async def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
            await self.ended.wait()
            yield Failed(code="engine_crashed", message="The model's process ended unexpectedly.")

        async def close(self) -> None:
            self.ended.set()

    provider = EngineProvider(Starter(Ends))
    await provider.load(entry())
    waiting = asyncio.create_task(collect(provider.generate(entry(), request())))
    await asyncio.sleep(0.01)
    await provider.close()
    ending = (await waiting)[-1]
    assert isinstance(ending, Failed) and ending.code == ShuttingDown.code
