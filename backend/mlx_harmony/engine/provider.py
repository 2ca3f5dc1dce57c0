"""Keeps the loaded models: which engines live, who waits for which load, who makes room, what crashed. One per server, on its event loop.

It starts engines through `StartEngine` and knows neither processes nor mlx. Who goes for whom is `residency`'s to say. Idle models end
by one timer to the next moment at which one is due; whoever waits for room is woken when something changed.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Coroutine, Iterable, Iterator
from contextlib import aclosing, contextmanager, suppress
from pathlib import Path
from typing import Any

from mlx_harmony.cache_records import CacheAction, CacheState, SavedCache
from mlx_harmony.engine.protocols import Engine, MemoryWatch, ModelState, StartEngine
from mlx_harmony.engine.residency import MEGABYTE, Limits, Plan, Resident, ends_at, make_room, overdue, surplus
from mlx_harmony.engine.slot import Load, Slot
from mlx_harmony.engine.supervisor import workers_in
from mlx_harmony.errors import EngineCrashed, HarmonyError, InvalidRequest, QueueFull, ShuttingDown
from mlx_harmony.events import WAITING, Event, Failed, Finished, Loading
from mlx_harmony.records import GenerationRequest, LoadOptions, MemoryNeed, ModelCard, ModelEntry, PromptCount, Timings
from mlx_harmony.settings import Settings
from mlx_harmony.shelf.kept import FOLDER


class EngineProvider:
    """A Provider over any way of starting engines. `memory` None: nothing is known of what models take, so only their number counts."""

    def __init__(self, start: StartEngine, max_waiting: int = 64, limits: Limits = Limits(), memory: MemoryWatch | None = None) -> None:  # noqa: B008
        self._start = start
        self._max_waiting = max_waiting
        self._limits = limits
        self._memory = memory
        self._slots: dict[str, Slot] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._changed = asyncio.Event()
        self._alarm: asyncio.TimerHandle | None = None
        self._closed = False

    async def generate(self, entry: ModelEntry, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        """The request's events, Loading first where the model sleeps. Leaving cancels; a load nobody waits for any more is ended."""
        slot = self._slot(entry)
        if slot.requests > self._max_waiting:
            slot.tally.refused()
            yield Failed.of(QueueFull(f"{slot.requests} requests are waiting already.", hint="Try again in a moment."))
            return
        slot.requests += 1
        slot.tally.began(request.id)
        try:
            with self._using(slot):
                async with aclosing(self._awaken(slot)) as loading:
                    async for event in loading:
                        yield event
                slot.crowded = slot.crowded or slot.requests > 1
                async with aclosing(slot.awake().generate(request)) as events:
                    async for answer in events:
                        before = slot.taken
                        slot.note(answer)
                        slot.tally.note(request.id, answer)
                        if isinstance(answer, Finished):
                            self._observe(slot, None if slot.crowded else answer.timings, grew=slot.taken > before)
                        yield Failed.of(_stopping()) if self._closed and isinstance(answer, Failed) else answer
        except HarmonyError as error:
            failed = Failed.of(_stopping() if self._closed else error)
            slot.tally.note(request.id, failed)
            yield failed
        finally:
            slot.requests -= 1
            slot.tally.left(request.id)

    async def count(self, entry: ModelEntry, request: GenerationRequest) -> PromptCount | None:
        """How long a request's prompt is; None while the model is asleep or loading. Raises what is wrong with the request."""
        if (slot := self._alive(entry.id)) is None:
            return None
        with self._using(slot):
            return await slot.awake().count(request)

    async def cache(self, model_id: str, action: CacheAction = "look", entry: str = "") -> CacheState | None:
        """How a model's prompt cache stands, after that was done to it; None while it is asleep or loading. Raises EngineCrashed."""
        if (slot := self._alive(model_id)) is None:
            return None
        with self._using(slot, counts=action != "look"):
            return await slot.awake().cache(action, entry)

    async def save_cache(self, model_id: str, entry: str, path: str, *, replace: bool = False) -> SavedCache | None:
        """Write an entry of what a model keeps to a file; None while it is asleep. Raises why it cannot be written."""
        if (slot := self._alive(model_id)) is None:
            return None
        with self._using(slot):
            return await slot.awake().save_cache(entry, path, replace=replace)

    async def load_cache(self, entry: ModelEntry, path: str) -> CacheState:
        """Take in what a file holds, for which the model is loaded. Raises why it is refused, and the errors of loading."""
        with self._using(self._slot(entry)) as slot:
            await self.load(entry)
            return await slot.awake().load_cache(path)

    async def forget_chats(self, chats: tuple[str, ...]) -> None:
        """Have every loaded model drop what only these chats used; one that dies meanwhile keeps nothing in memory anyway."""
        for slot in tuple(self._slots.values()):
            if slot.alive:
                with suppress(EngineCrashed), self._using(slot, counts=False):
                    await slot.awake().forget_chats(chats)

    async def load(self, entry: ModelEntry, *, force: bool = False) -> ModelCard:
        """Load a model and wait for it. Raises the errors of loading; cancelling the caller ends a load nobody else waits for.

        `force`: it is neither refused for want of memory nor made to wait for room.
        """
        with self._using(self._slot(entry)) as slot:
            async with aclosing(self._awaken(slot, force=force)) as loading:
                async for _ in loading:
                    pass
            return slot.awake().card

    async def unload(self, model_id: str) -> None:
        """End a model's engine. Raises InvalidRequest while it is loading or answering: nothing is cancelled in silence."""
        slot = self._slots.get(model_id)
        if slot is None:
            return
        if slot.load is not None or slot.requests:
            doing = "being loaded" if slot.load is not None else "answering"
            raise InvalidRequest(f"The model {model_id} is busy: it is {doing}.", hint="Stop that first, or wait for it.", param="model")
        await self._end([slot])

    def limit(self, limits: Limits) -> None:
        """Keep to these limits from now on; idle models that are too many then end."""
        self._limits = limits
        self._end_soon(surplus(tuple(self._residents()), limits))

    async def room_for(self, entry: ModelEntry) -> Plan:
        """Who would go if this model were loaded now. Raises what it would be refused with for want of room."""
        if self._alive(entry.id) is not None:
            return Plan()
        return make_room(entry.id, await self._need(entry), tuple(self._residents()), self._limits)

    def states(self) -> tuple[ModelState, ...]:
        """Where every model that was asked for stands, in the order they were first asked for."""
        return tuple(slot.state(self._limits) for slot in self._slots.values())

    async def close(self) -> None:
        """End every load and every engine; whoever waits for one gets ShuttingDown."""
        self._closed = True
        for slot in self._slots.values():
            if slot.load is not None:
                slot.load.task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._end(list(self._slots.values()))

    def _alive(self, model_id: str) -> Slot | None:
        slot = self._slots.get(model_id)
        return slot if slot is not None and slot.alive else None

    def _slot(self, entry: ModelEntry) -> Slot:
        slot = self._slots.setdefault(entry.id, Slot(entry))
        if slot.load is None and slot.engine is None:
            slot.entry = entry
        return slot

    @contextmanager
    def _using(self, slot: Slot, *, counts: bool = True) -> Iterator[Slot]:
        """While this lasts the model does not go by itself."""
        try:
            with slot.using(counts=counts):
                yield slot
        finally:
            self._settle()

    def _residents(self) -> Iterator[Resident]:
        for slot in self._slots.values():
            if (resident := slot.resident()) is not None:
                yield resident

    async def _awaken(self, slot: Slot, *, force: bool = False) -> AsyncGenerator[Loading, None]:
        """Join the slot's load, or begin it; ends when the engine is there. Raises the errors of loading."""
        if slot.alive:
            return
        load = slot.load or self._begin(slot)
        load.waiters += 1
        if force and not load.force:
            load.force = True
            self._settle()
        try:
            while not load.task.done():
                changed = load.changed
                yield Loading(stage=load.stage, fraction=load.fraction)
                await changed.wait()
            if load.task.cancelled():
                raise ShuttingDown("The model's loading was stopped.", hint="Send the message again.")
            load.task.result()
        finally:
            load.waiters -= 1
            if not load.waiters and not load.task.done():
                slot.load = None
                load.task.cancel()

    def _begin(self, slot: Slot) -> Load:
        if self._closed:
            raise _stopping()
        load = Load()
        load.task = self._keep(self._run(slot, load))
        load.task.add_done_callback(lambda _task: load.tell())
        slot.load, slot.failed = load, None
        return load

    async def _run(self, slot: Slot, load: Load) -> Engine:
        """The one load of a slot. A failed one changes nothing but this slot: what made room for it is loaded again."""
        went: list[Slot] = []
        try:
            await self._make_room(slot, load, went)
            engine = await self._start(slot.entry, load.progress, force=load.force)
            if slot.load is not load:
                await engine.close()
                raise ShuttingDown("The model's loading was stopped.")
        except BaseException as error:
            if isinstance(error, HarmonyError) and slot.load is load:
                slot.failed = Failed.of(error)
            self._bring_back(went)
            raise
        finally:
            if slot.load is load:
                slot.load = None
            self._settle()
        slot.wake(engine)
        self._observe(slot, None)
        self._settle()
        return engine

    async def _make_room(self, slot: Slot, load: Load, went: list[Slot]) -> None:
        """Have others end until there is room, and take it; `went` grows by those. Raises OutOfMemory or Unavailable."""
        slot.reserved, slot.taken = None, 0
        while True:
            changed = self._changed
            need = await self._need(slot.entry)
            plan = make_room(slot.entry.id, need, tuple(self._residents()), self._limits, force=load.force)
            if not plan.waits_for:
                break
            load.progress(f"{WAITING} {' or '.join(plan.waits_for)} has answered", 0.0)
            await changed.wait()
        slot.reserved = need.usual if need is not None else 0
        going = [self._slots[model_id] for model_id in plan.going]
        went += going
        await self._end(going)

    async def _need(self, entry: ModelEntry) -> MemoryNeed | None:
        return await asyncio.to_thread(self._memory.need, entry) if self._memory is not None else None

    def _bring_back(self, went: list[Slot]) -> None:
        for slot in went:
            if slot.load is None and slot.engine is None and not self._closed:
                # Nobody waits for it: what is wrong with it stands in its state.
                self._begin(slot).task.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _end(self, slots: Iterable[Slot]) -> None:
        """End these models. Nobody gets their engines from this moment on."""
        engines = [engine for slot in slots if (engine := slot.retire()) is not None]
        self._settle()
        await asyncio.gather(*(engine.close() for engine in engines))

    def _end_soon(self, models: Iterable[str]) -> None:
        # Given up here and not in the task: between the two a request could come for one of them.
        engines = [engine for model_id in models if (engine := self._slots[model_id].retire()) is not None]
        for engine in engines:
            self._keep(engine.close())
        self._settle()

    def _settle(self) -> None:
        """After a change: wake whoever waits for room, and set the alarm to the next moment at which an idle model is due."""
        before, self._changed = self._changed, asyncio.Event()
        before.set()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        ends = [end for each in self._residents() if (end := ends_at(each, self._limits)) is not None]
        if ends and not self._closed:
            self._alarm = asyncio.get_running_loop().call_later(max(0.0, min(ends) - time.monotonic()), self._end_idle)

    def _end_idle(self) -> None:
        self._end_soon(overdue(self._residents(), self._limits, time.monotonic()))

    def _observe(self, slot: Slot, timings: Timings | None, *, grew: bool = True) -> None:
        """Let what it took be remembered, beside: it is written to a file."""
        if self._memory is not None:
            self._keep(asyncio.to_thread(self._memory.observe, slot.entry, slot.awake().card, timings, grew=grew))

    def _keep(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run it as a task that `close` waits for."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _stopping() -> ShuttingDown:
    return ShuttingDown("MLX Harmony is stopping.", hint="Start it again, then send this again.")


def worker_provider(settings: Settings, memory: MemoryWatch | None = None) -> EngineProvider:
    """The real one: every model in a worker process of its own."""
    cache = LoadOptions(
        path="",
        cache_bytes=None if settings.source("cache_memory_mb") == "default" else settings.cache_memory_mb * MEGABYTE,
        cache_folder=str(Path(settings.home, FOLDER)),
        cache_disk_bytes=settings.cache_disk_mb * MEGABYTE,
        cache_entries=settings.cache_entries,
    )
    return EngineProvider(workers_in(settings.home, cache), settings.max_waiting, Limits.of(settings), memory)
