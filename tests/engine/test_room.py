"""Room for models: made before a load and not for one that is refused, given back after one that failed; idle ones end by themselves."""

import asyncio
import time

import msgspec
import pytest

from mlx_harmony.engine.protocols import Engine, ModelPhase, Progress
from mlx_harmony.engine.provider import EngineProvider
from mlx_harmony.engine.residency import Limits, Plan
from mlx_harmony.errors import LoadFailed, OutOfMemory, Unavailable
from mlx_harmony.events import Failed, Finished, Loading
from mlx_harmony.records import MemoryNeed, ModelCard, ModelEntry, Speculated, Timings
from tests.engine.test_provider import Starter, collect, entry, request
from tests.fixtures.scripted import CARD, ScriptedEngine, say

GB = 10**9


class Watch:
    """A MemoryWatch that forecasts what it is told: gigabytes by model; `free` of them are free."""

    def __init__(self, free: float | None = None, **needs: float) -> None:
        self.needs = needs
        self.free = free
        self.asked: list[str] = []
        self.seen: list[tuple[str, Timings | None, bool]] = []

    def need(self, entry: ModelEntry) -> MemoryNeed | None:
        self.asked.append(entry.id)
        size = int(self.needs.get(entry.id, 1) * GB)
        return MemoryNeed(least=size, usual=size, free=None if self.free is None else int(self.free * GB))

    def observe(self, entry: ModelEntry, card: ModelCard, timings: Timings | None, *, grew: bool = True) -> None:
        self.seen.append((entry.id, timings, grew))


def phases(provider: EngineProvider) -> dict[str, ModelPhase]:
    return {state.id: state.phase for state in provider.states()}


def slowly() -> ScriptedEngine:
    return ScriptedEngine(pause_s=0.05)


async def until(provider: EngineProvider, model: str, phase: ModelPhase) -> None:
    async def reached() -> None:
        while phases(provider).get(model) != phase:
            await asyncio.sleep(0.005)

    await asyncio.wait_for(reached(), 5)


async def test_room_is_made_before_the_load_begins() -> None:
    start = Starter()
    provider = EngineProvider(start, limits=Limits(budget_bytes=3 * GB), memory=Watch(a=2, b=2))
    await provider.load(entry("a"))
    start.go.clear()
    loading = asyncio.create_task(provider.load(entry("b")))
    await until(provider, "a", "asleep")
    assert not start.engines["a"].alive and phases(provider)["b"] == "loading"
    start.go.set()
    await loading
    assert phases(provider) == {"a": "asleep", "b": "awake"}


async def test_many_requests_to_one_model_load_it_once() -> None:
    """R091."""
    start = Starter()
    provider = EngineProvider(start, limits=Limits(models=1))
    for number in range(5):
        await collect(provider.generate(entry(), request(str(number))))
    assert start.started == ["a"]


async def test_what_was_used_last_stays() -> None:
    """R092: A, B, A, then C with room for two."""
    start = Starter()
    provider = EngineProvider(start, limits=Limits(models=2))
    for name in ("a", "b", "a", "c"):
        await collect(provider.generate(entry(name), request(name)))
    assert phases(provider) == {"a": "awake", "b": "asleep", "c": "awake"}
    assert start.started == ["a", "b", "c"]


async def test_a_model_larger_than_the_budget_is_refused_and_nobody_goes() -> None:
    """R094."""
    start = Starter()
    provider = EngineProvider(start, limits=Limits(budget_bytes=3 * GB), memory=Watch(a=2, huge=9))
    await provider.load(entry("a"))
    with pytest.raises(OutOfMemory, match=r"9\.0 GB.*3\.0 GB"):
        await provider.load(entry("huge"))
    failed = (await collect(provider.generate(entry("huge"), request())))[-1]
    assert isinstance(failed, Failed) and failed.code == "out_of_memory" and "load it anyway" in failed.hint
    assert phases(provider) == {"a": "awake", "huge": "crashed"} and start.started == ["a"]


async def test_load_anyway_refuses_nothing_and_says_so_to_the_worker() -> None:
    start = Starter()
    provider = EngineProvider(start, limits=Limits(budget_bytes=3 * GB), memory=Watch(a=2, huge=9))
    await provider.load(entry("a"))
    await provider.load(entry("huge"), force=True)
    assert start.forced and phases(provider) == {"a": "asleep", "huge": "awake"}


async def test_a_load_that_fails_brings_back_what_went_for_it() -> None:
    class OneIsBroken(Starter):
        async def __call__(self, entry: ModelEntry, progress: Progress, *, force: bool = False) -> Engine:
            engine = await super().__call__(entry, progress, force=force)
            if entry.id == "bad":
                raise LoadFailed("config.json is missing.")
            return engine

    start = OneIsBroken()
    provider = EngineProvider(start, limits=Limits(models=1))
    await provider.load(entry("good"))
    start.go.clear()
    failing = asyncio.create_task(provider.load(entry("bad")))
    await until(provider, "good", "asleep")
    start.go.set()
    with pytest.raises(LoadFailed):
        await failing
    await until(provider, "good", "awake")
    assert phases(provider) == {"good": "awake", "bad": "crashed"} and start.started == ["good", "bad", "good"]


async def test_a_load_that_is_given_up_brings_it_back_too() -> None:
    start = Starter()
    provider = EngineProvider(start, limits=Limits(models=1))
    await provider.load(entry("good"))
    start.go.clear()
    loading = asyncio.create_task(provider.load(entry("other")))
    await until(provider, "good", "asleep")
    loading.cancel()
    await asyncio.wait([loading])
    start.go.set()
    await until(provider, "good", "awake")
    assert phases(provider) == {"good": "awake", "other": "asleep"}


async def test_a_busy_model_is_waited_for_and_answers_to_its_end() -> None:
    start = Starter(slowly)
    provider = EngineProvider(start, limits=Limits(models=1))
    running = asyncio.create_task(collect(provider.generate(entry("busy"), request())))
    await until(provider, "busy", "busy")
    events = await collect(provider.generate(entry("next"), request("n")))
    waiting = [event for event in events if isinstance(event, Loading) and event.stage.startswith("Waiting")]
    assert waiting and waiting[0].stage == "Waiting until busy has answered"
    assert isinstance((await running)[-1], Finished) and isinstance(events[-1], Finished)
    assert phases(provider) == {"busy": "asleep", "next": "awake"}


async def test_load_anyway_ends_a_wait() -> None:
    start = Starter(slowly)
    provider = EngineProvider(start, limits=Limits(models=1))
    running = asyncio.create_task(collect(provider.generate(entry("busy"), request())))
    await until(provider, "busy", "busy")
    waiting = asyncio.create_task(provider.load(entry("next")))
    await asyncio.sleep(0.02)
    assert start.started == ["busy"]
    await provider.load(entry("next"), force=True)
    assert phases(provider) == {"busy": "busy", "next": "awake"}
    await waiting
    assert isinstance((await running)[-1], Finished)


async def test_two_loads_never_count_the_same_room() -> None:
    start = Starter(waits=True)
    provider = EngineProvider(start, limits=Limits(budget_bytes=3 * GB), memory=Watch(a=2, b=2))
    loads = [asyncio.create_task(provider.load(entry(name))) for name in ("a", "b")]
    await asyncio.sleep(0.1)
    assert len(start.started) == 1
    start.go.set()
    await asyncio.gather(*loads)
    assert sorted(phases(provider).values()) == ["asleep", "awake"]


async def test_a_pinned_model_stays_until_somebody_unloads_it() -> None:
    start = Starter()
    provider = EngineProvider(start, limits=Limits(models=2, pinned=frozenset({"a"})))
    for name in ("a", "b", "c"):
        await provider.load(entry(name))
    assert phases(provider) == {"a": "awake", "b": "asleep", "c": "awake"}
    assert [state.id for state in provider.states() if state.pinned] == ["a"]
    provider.limit(Limits(models=1, pinned=frozenset({"a"})))
    with pytest.raises(Unavailable, match="pinned: a"):
        await provider.load(entry("b"))
    await provider.unload("a")
    assert phases(provider)["a"] == "asleep"


async def test_lowered_limits_act_at_once_but_never_on_a_busy_model() -> None:
    start = Starter()
    provider = EngineProvider(start, memory=Watch())
    for name in ("a", "b"):
        await provider.load(entry(name))
    start.make = slowly
    busy = asyncio.create_task(collect(provider.generate(entry("busy"), request())))
    await until(provider, "busy", "busy")
    provider.limit(Limits(models=1))
    assert phases(provider) == {"a": "asleep", "b": "asleep", "busy": "busy"}
    assert isinstance((await busy)[-1], Finished)
    await provider.close()


async def test_an_idle_model_is_unloaded_and_the_next_request_loads_it_again() -> None:
    """R095."""
    start = Starter()
    provider = EngineProvider(start, limits=Limits(idle_s=0.1))
    await collect(provider.generate(entry(), request()))
    (state,) = provider.states()
    assert state.unloads_at is not None and 0 < state.unloads_at - time.time() <= 0.1
    await until(provider, "a", "asleep")
    assert not start.engines["a"].alive
    assert isinstance((await collect(provider.generate(entry(), request("r2"))))[-1], Finished)
    assert start.started == ["a", "a"]


async def test_a_model_is_never_unloaded_while_it_answers() -> None:
    start = Starter(lambda: ScriptedEngine(lambda _request: say("a long answer", pieces=8), pause_s=0.03))
    provider = EngineProvider(start, limits=Limits(idle_s=0.05))
    events = await collect(provider.generate(entry(), request()))
    assert isinstance(events[-1], Finished) and start.started == ["a"]
    assert phases(provider) == {"a": "awake"}
    await until(provider, "a", "asleep")


async def test_a_pinned_model_is_never_idle_and_unpinning_it_starts_its_time() -> None:
    provider = EngineProvider(Starter(), limits=Limits(idle_s=0.03, pinned=frozenset({"a"})))
    await provider.load(entry())
    await asyncio.sleep(0.08)
    assert phases(provider) == {"a": "awake"}
    provider.limit(Limits(idle_s=0.03))
    await until(provider, "a", "asleep")


async def test_looking_at_a_cache_keeps_no_model_loaded() -> None:
    provider = EngineProvider(Starter(), limits=Limits(idle_s=0.08))
    await provider.load(entry())
    for _ in range(4):
        await asyncio.sleep(0.03)
        await provider.cache("a")
    await until(provider, "a", "asleep")


async def test_idle_time_sets_one_alarm_and_does_not_poll() -> None:
    provider = EngineProvider(Starter(), limits=Limits(idle_s=3600))
    loop = asyncio.get_running_loop()
    set_alarms: list[float] = []
    call_later = loop.call_later

    def counting(delay: float, *more: object, **named: object) -> asyncio.TimerHandle:
        set_alarms.append(delay)
        return call_later(delay, *more, **named)  # type: ignore[arg-type]

    await provider.load(entry("a"))
    await provider.load(entry("b"))
    loop.call_later = counting  # type: ignore[method-assign,assignment]
    try:
        await asyncio.sleep(0.2)
    finally:
        loop.call_later = call_later  # type: ignore[method-assign]
    assert [delay for delay in set_alarms if delay != 0.2] == []
    await provider.close()


async def test_what_a_load_and_an_answer_took_is_handed_on_and_shown() -> None:
    card = msgspec.structs.replace(CARD, peak_bytes=2 * GB)
    timings = Timings(prompt_n=1, cached_n=0, prompt_ms=1, predicted_n=1, predicted_ms=1, peak_bytes=3 * GB)
    answer = [event if not isinstance(event, Finished) else msgspec.structs.replace(event, timings=timings) for event in say("hi")]

    def make() -> ScriptedEngine:
        engine = ScriptedEngine(lambda _request: answer)
        engine.card = card
        return engine

    watch = Watch()
    provider = EngineProvider(Starter(make), memory=watch)
    await provider.load(entry())
    assert provider.states()[0].memory_bytes == 2 * GB
    await collect(provider.generate(entry(), request()))
    assert provider.states()[0].memory_bytes == 3 * GB
    await collect(provider.generate(entry(), request("again")))
    await provider.close()
    assert watch.seen == [("a", None, True), ("a", timings, True), ("a", timings, False)]


async def test_nothing_is_learnt_of_a_process_that_answered_several_at_once_or_with_a_draft_model() -> None:
    guessed = Speculated(kind="draft", draft_model="small")
    with_draft = [event if not isinstance(event, Finished) else msgspec.structs.replace(event, speculation=guessed) for event in say("hi")]
    crowd, drafted = Watch(), Watch()
    provider = EngineProvider(Starter(slowly), memory=crowd)
    await provider.load(entry())
    await asyncio.gather(*(collect(provider.generate(entry(), request(name))) for name in "ab"))
    await collect(provider.generate(entry(), request("alone")))
    other = EngineProvider(Starter(lambda: ScriptedEngine(lambda _request: with_draft)), memory=drafted)
    await collect(other.generate(entry(), request()))
    for each in (provider, other):
        await each.close()
    learnt = [timings for watch in (crowd, drafted) for _, timings, _ in watch.seen]
    assert len(crowd.seen) == 4 and len(drafted.seen) == 2
    assert learnt.count(None) == len(learnt)


async def test_who_would_go_is_told_without_anybody_going() -> None:
    provider = EngineProvider(Starter(), limits=Limits(budget_bytes=3 * GB), memory=Watch(a=2, b=2, huge=9))
    await provider.load(entry("a"))
    assert await provider.room_for(entry("b")) == Plan(going=("a",))
    assert await provider.room_for(entry("a")) == Plan()
    with pytest.raises(OutOfMemory):
        await provider.room_for(entry("huge"))
    assert phases(provider) == {"a": "awake"}
