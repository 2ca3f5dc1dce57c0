"""Keeps the loaded models: which engines live, who waits for which load, what crashed. One per server, on its event loop.

It starts engines through `StartEngine` and knows neither processes nor mlx.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from pathlib import Path

from mlx_harmony.cache_records import CacheAction, CacheState, SavedCache
from mlx_harmony.engine.protocols import Engine, ModelPhase, ModelState, StartEngine
from mlx_harmony.engine.supervisor import workers_in
from mlx_harmony.errors import EngineCrashed, HarmonyError, InvalidRequest, QueueFull, ShuttingDown
from mlx_harmony.events import Event, Failed, Loading
from mlx_harmony.records import GenerationRequest, LoadOptions, ModelCard, ModelEntry, PromptCount
from mlx_harmony.settings import Settings
from mlx_harmony.shelf.kept import FOLDER

MAX_MODELS = 3
MEGABYTE = 1_000_000
DIED = "The model's process ended unexpectedly; the next message starts it again."


class EngineProvider:
    """A Provider over any way of starting engines. At most `max_models` stay loaded; the longest idle one makes room."""

    def __init__(self, start: StartEngine, max_waiting: int = 64, max_models: int = MAX_MODELS) -> None:
        self._start = start
        self._max_waiting = max_waiting
        self._max_models = max_models
        self._slots: dict[str, _Slot] = {}
        self._endings: set[asyncio.Task[Engine]] = set()
        self._closed = False

    async def generate(self, entry: ModelEntry, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        """The request's events, Loading first where the model sleeps. Leaving cancels; a load nobody waits for any more is ended."""
        slot = self._slot(entry)
        if slot.requests > self._max_waiting:
            yield Failed.of(QueueFull(f"{slot.requests} requests are waiting already.", hint="Try again in a moment."))
            return
        slot.requests += 1
        try:
            async with aclosing(self._awaken(slot)) as loading:
                async for event in loading:
                    yield event
            async with aclosing(slot.awake().generate(request)) as events:
                async for answer in events:
                    slot.note(answer)
                    yield answer
        except HarmonyError as error:
            yield Failed.of(error)
        finally:
            slot.requests -= 1
            slot.used_at = time.monotonic()

    async def count(self, entry: ModelEntry, request: GenerationRequest) -> PromptCount | None:
        """How long a request's prompt is; None while the model is asleep or loading. Raises what is wrong with the request."""
        engine = self._alive(entry.id)
        return await engine.count(request) if engine else None

    async def cache(self, model_id: str, action: CacheAction = "look", entry: str = "") -> CacheState | None:
        """How a model's prompt cache stands, after that was done to it; None while it is asleep or loading. Raises EngineCrashed."""
        engine = self._alive(model_id)
        return await engine.cache(action, entry) if engine else None

    async def save_cache(self, model_id: str, entry: str, path: str, *, replace: bool = False) -> SavedCache | None:
        """Write an entry of what a model keeps to a file; None while it is asleep. Raises why it cannot be written."""
        engine = self._alive(model_id)
        return await engine.save_cache(entry, path, replace=replace) if engine else None

    async def load_cache(self, entry: ModelEntry, path: str) -> CacheState:
        """Take in what a file holds, for which the model is loaded. Raises why it is refused, and the errors of loading."""
        await self.load(entry)
        return await self._slot(entry).awake().load_cache(path)

    async def forget_chats(self, chats: tuple[str, ...]) -> None:
        """Have every loaded model drop what only these chats used; one that dies meanwhile keeps nothing in memory anyway."""
        for slot in tuple(self._slots.values()):
            if slot.engine is not None and slot.engine.alive:
                with suppress(EngineCrashed):
                    await slot.engine.forget_chats(chats)

    async def load(self, entry: ModelEntry) -> ModelCard:
        """Load a model and wait for it. Raises the errors of loading; cancelling the caller ends a load nobody else waits for."""
        slot = self._slot(entry)
        async with aclosing(self._awaken(slot)) as loading:
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
        await slot.end()

    def states(self) -> tuple[ModelState, ...]:
        """Where every model that was asked for stands, in the order they were first asked for."""
        return tuple(slot.state() for slot in self._slots.values())

    async def close(self) -> None:
        """End every load and every engine; whoever waits for one gets ShuttingDown."""
        self._closed = True
        for slot in self._slots.values():
            if slot.load is not None:
                slot.load.task.cancel()
        await asyncio.gather(*self._endings, return_exceptions=True)
        await asyncio.gather(*(slot.end() for slot in self._slots.values()))

    def _alive(self, model_id: str) -> Engine | None:
        slot = self._slots.get(model_id)
        return slot.engine if slot is not None and slot.engine is not None and slot.engine.alive else None

    def _slot(self, entry: ModelEntry) -> "_Slot":
        slot = self._slots.setdefault(entry.id, _Slot(entry))
        if slot.load is None and slot.engine is None:
            slot.entry = entry
        return slot

    async def _awaken(self, slot: "_Slot") -> AsyncGenerator[Loading, None]:
        """Join the slot's load, or begin it; ends when the engine is there. Raises the errors of loading."""
        if slot.engine is not None and slot.engine.alive:
            return
        load = slot.load or self._begin(slot)
        load.waiters += 1
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

    def _begin(self, slot: "_Slot") -> "_Load":
        if self._closed:
            raise ShuttingDown("The program is stopping.")
        load = _Load()
        load.task = asyncio.create_task(self._run(slot, load))
        load.task.add_done_callback(lambda _task: load.tell())
        self._endings.add(load.task)
        load.task.add_done_callback(self._endings.discard)
        slot.load, slot.problem = load, ""
        return load

    async def _run(self, slot: "_Slot", load: "_Load") -> Engine:
        """The one load of a slot. A failed one changes nothing but this slot."""
        try:
            engine = await self._start(slot.entry, load.progress)
        except HarmonyError as error:
            slot.problem = error.message
            raise
        finally:
            wanted = slot.load is load
            if wanted:
                slot.load = None
        if not wanted:
            await engine.close()
            raise ShuttingDown("The model's loading was stopped.")
        slot.engine, slot.loaded_at, slot.used_at = engine, time.time(), time.monotonic()
        await self._make_room(slot)
        return engine

    async def _make_room(self, newest: "_Slot") -> None:
        loaded = [slot for slot in self._slots.values() if slot.engine is not None]
        idle = sorted((slot for slot in loaded if slot is not newest and not slot.requests), key=lambda slot: slot.used_at)
        for slot in idle[: max(0, len(loaded) - self._max_models)]:
            await slot.end()


class _Load:
    """One load under way and how many wait for it."""

    task: asyncio.Task[Engine]

    def __init__(self) -> None:
        self.stage = "Starting"
        self.fraction = 0.0
        self.waiters = 0
        self.changed = asyncio.Event()

    def progress(self, stage: str, fraction: float) -> None:
        self.stage, self.fraction = stage, max(self.fraction, min(1.0, fraction))
        self.tell()

    def tell(self) -> None:
        """Wake everyone who waits; each then takes the next event."""
        before, self.changed = self.changed, asyncio.Event()
        before.set()


class _Slot:
    """One model: asleep, loading, or with an engine."""

    def __init__(self, entry: ModelEntry) -> None:
        self.entry = entry
        self.load: _Load | None = None
        self.engine: Engine | None = None
        self.requests = 0
        self.problem = ""
        self.used_at = 0.0
        self.loaded_at: float | None = None

    def awake(self) -> Engine:
        """The engine. Raises EngineCrashed where it went between being asked for and being used."""
        if self.engine is None:
            raise EngineCrashed("The model was unloaded at this moment.", hint="Send the message again.")
        return self.engine

    def note(self, event: Event) -> None:
        """Remember a crash, for whoever looks at the model later."""
        if isinstance(event, Failed) and event.code == EngineCrashed.code:
            self.problem = event.message

    async def end(self) -> None:
        engine, self.engine, self.loaded_at, self.problem = self.engine, None, None, ""
        if engine is not None:
            await engine.close()

    def state(self) -> ModelState:
        alive = self.engine is not None and self.engine.alive
        return ModelState(
            id=self.entry.id,
            phase=self._phase(alive),
            fraction=self.load.fraction if self.load is not None else float(alive),
            pid=self.engine.pid if self.engine is not None and alive else None,
            card=self.engine.card if self.engine is not None and alive else None,
            requests=self.requests,
            problem=self.problem or (DIED if self.engine is not None and not alive else ""),
            loaded_at=self.loaded_at if alive else None,
        )

    def _phase(self, alive: bool) -> ModelPhase:
        if self.load is not None:
            return "loading"
        if alive:
            return "busy" if self.requests else "awake"
        return "crashed" if self.problem or self.engine is not None else "asleep"


def worker_provider(settings: Settings) -> EngineProvider:
    """The real one: every model in a worker process of its own."""
    cache = LoadOptions(
        path="",
        cache_bytes=None if settings.source("cache_memory_mb") == "default" else settings.cache_memory_mb * MEGABYTE,
        cache_folder=str(Path(settings.home, FOLDER)),
        cache_disk_bytes=settings.cache_disk_mb * MEGABYTE,
        cache_entries=settings.cache_entries,
    )
    return EngineProvider(workers_in(settings.home, cache), settings.max_waiting)
