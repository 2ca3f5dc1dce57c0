"""The worker's loop in this very process, behind the Engine protocol: for `mlx-harmony generate` and for tests.

One thread owns mlx, as in a worker. A crash of the model is a crash of this process; templates are limited in time, not in memory.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING

from mlx_harmony.cache_records import CacheAction, CacheState, SavedCache
from mlx_harmony.engine.protocols import Progress, counted
from mlx_harmony.errors import LoadFailed, ShuttingDown
from mlx_harmony.events import Event, Failed, Finished
from mlx_harmony.records import GenerationRequest, LoadOptions, ModelCard, ModelEntry, PromptCount
from mlx_harmony.worker.cache.door import CacheDoor
from mlx_harmony.worker.inbox import Inbox

if TYPE_CHECKING:
    from mlx_harmony.worker.device import Device

TASKS = Path("/proc/self/task")
"""Where Linux lists this process's threads; elsewhere nothing does, and a moment's sleep has to do."""
GONE_S = 2.0
LAST_MOMENT_S = 0.1


class InProcessEngine:
    """An Engine whose model lives in a thread of this process. Make one with `start_in_process`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._streams: dict[str, asyncio.Queue[Event]] = {}
        self._inbox = Inbox(self._emit)
        self._loaded: Future[ModelCard] = Future()
        self._door = CacheDoor(self._inbox)
        self._thread: threading.Thread | None = None
        self._alive = True

    @property
    def card(self) -> ModelCard:
        return self._loaded.result(timeout=0)

    @property
    def alive(self) -> bool:
        return self._alive

    @property
    def pid(self) -> int | None:
        return None

    async def load(self, options: LoadOptions, progress: Progress) -> None:
        """Load the model in a thread of its own. Raises the errors of loading."""

        def report(stage: str, fraction: float) -> None:
            if self._inbox.closed:
                raise ShuttingDown("The load was cancelled.")
            self._call(lambda: progress(stage, fraction))

        self._thread = threading.Thread(target=self._run, args=(options, report), name="mlx", daemon=True)
        self._thread.start()
        await asyncio.wrap_future(self._loaded)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        """The request's events, in the end one Finished or Failed. Leaving early cancels it."""
        events: asyncio.Queue[Event] = asyncio.Queue()
        self._streams[request.id] = events
        ended = False
        try:
            self._inbox.put(request)
            while not ended:
                event = await events.get()
                ended = isinstance(event, Finished | Failed)
                yield event
        finally:
            del self._streams[request.id]
            if not ended:
                self._inbox.cancel(request.id)

    async def count(self, request: GenerationRequest) -> PromptCount:
        """How long the request's prompt is. Raises what is wrong with the request."""
        events: asyncio.Queue[Event] = asyncio.Queue()
        self._streams[request.id] = events
        try:
            self._inbox.put_count(request)
            return await counted(events.get)
        finally:
            del self._streams[request.id]

    async def cache(self, action: CacheAction = "look", entry: str = "") -> CacheState:
        """How the prompt cache stands, after that was done to it."""
        return await asyncio.to_thread(self._door.act, action, entry)

    async def save_cache(self, entry: str, path: str, *, replace: bool = False) -> SavedCache:
        """Write an entry of the prompt cache to a file. Raises InvalidRequest and StorageError."""
        return await asyncio.to_thread(self._door.save, entry, path, replace)

    async def load_cache(self, path: str) -> CacheState:
        """Take in what a file holds. Raises InvalidRequest with the reason."""
        return await asyncio.to_thread(self._door.load, path)

    async def forget_chats(self, chats: tuple[str, ...]) -> None:
        """Drop what only these chats used."""
        await asyncio.to_thread(self._door.forget, chats)

    async def close(self) -> None:
        """End the thread; what still runs ends before its next step and fails."""
        self._alive = False
        self._inbox.close()
        if self._thread is not None:
            await asyncio.to_thread(_see_off, self._thread)
        for stream in self._streams.values():
            stream.put_nowait(Failed.of(ShuttingDown("The model was closed.")))

    def _run(self, options: LoadOptions, progress: Progress) -> None:
        """The thread: mlx is imported, used and left in it alone."""
        if not self._loaded.set_running_or_notify_cancel():
            return
        from mlx_harmony.worker.device import prepare, wired

        device = prepare()
        with wired(device):
            self._load_and_answer(options, device, progress)

    def _load_and_answer(self, options: LoadOptions, device: "Device", progress: Progress) -> None:
        from mlx_harmony.worker.cache.opening import open_caches
        from mlx_harmony.worker.cpu import quicken
        from mlx_harmony.worker.guard import guarded
        from mlx_harmony.worker.load import LoadedModel, load
        from mlx_harmony.worker.loop import Loop
        from mlx_harmony.worker.speculation.drafts import Drafts, Guessing
        from mlx_harmony.worker.speculation.gain import Gain

        models: list[LoadedModel] = []
        problem = guarded(lambda: models.append(load(options, device, progress)), LoadFailed)
        if problem is not None:
            self._loaded.set_exception(problem.error())
            return
        quicken(models[0].model, device)
        caches = open_caches(models[0], options)
        self._door.open(caches)
        self._loaded.set_result(models[0].card)
        Loop(models[0], self._inbox, cache=caches, guessing=Guessing(Gain(), Drafts(models[0], device, caches.plain.budget_bytes))).run()
        caches.close()

    def _emit(self, request_id: str, event: Event) -> None:
        """Called from the mlx thread."""
        self._call(lambda: self._hand(request_id, event))

    def _hand(self, request_id: str, event: Event) -> None:
        if (stream := self._streams.get(request_id)) is not None:
            stream.put_nowait(event)

    def _call(self, action: Callable[[], None]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(action)


def _see_off(thread: threading.Thread) -> None:
    """Wait until the thread is gone for the system too.

    Python calls it ended before mlx has destroyed what it keeps for each thread. That takes Python's lock, and where the interpreter is
    being closed meanwhile, the process dies of it ("terminate called without an active exception").
    """
    thread.join()
    if not TASKS.exists():
        time.sleep(LAST_MOMENT_S)
        return
    task, latest = TASKS / str(thread.native_id), time.monotonic() + GONE_S
    while task.exists() and time.monotonic() < latest:
        time.sleep(0.001)


async def start_in_process(
    entry: ModelEntry, progress: Progress, options: LoadOptions | None = None, *, force: bool = False
) -> InProcessEngine:
    """A StartEngine. Raises the errors of loading; leaving early ends the load at its next step. Without `options` nothing is kept."""
    engine = InProcessEngine()
    async with contextlib.AsyncExitStack() as undo:
        undo.push_async_callback(engine.close)
        await engine.load(options or LoadOptions(path=entry.path, adapter=entry.adapter, force=force), progress)
        undo.pop_all()
    return engine
