"""One worker seen from the server: it loads a model, answers requests over the wire, and its death is an event, never a surprise.

It knows nothing of mlx and keeps no other models; `provider` does.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import cast

import msgspec

from mlx_harmony.cache_records import CacheAction, CacheState, SavedCache
from mlx_harmony.engine.process import WorkerHome, WorkerProcess
from mlx_harmony.engine.protocols import Progress as OnProgress
from mlx_harmony.engine.protocols import StartEngine, counted
from mlx_harmony.engine.wire import (
    AskCache,
    CacheAnswer,
    CacheFrame,
    CacheRefused,
    CacheSaved,
    Cancel,
    Count,
    EventFrame,
    ForgetChats,
    Frame,
    FrameReader,
    Generate,
    Load,
    LoadCache,
    Loaded,
    LoadRefused,
    Progress,
    SaveCache,
    Shutdown,
    ToWorker,
    WireError,
    encode,
)
from mlx_harmony.errors import EngineCrashed, HarmonyError, InvalidRequest, LoadFailed, ShuttingDown
from mlx_harmony.events import Event, Failed, Finished
from mlx_harmony.records import GenerationRequest, LoadOptions, ModelCard, ModelEntry, PromptCount

ENDS = (Finished, Failed)
RESTART_HINT = "Send your message again; the model's process is started anew."


class WorkerEngine:
    """An Engine whose model lives in a worker process. Make one with `start_worker`."""

    def __init__(self, process: WorkerProcess) -> None:
        self._process = process
        self._card: ModelCard | None = None
        self._streams: dict[str, asyncio.Queue[Event]] = {}
        self._asked: dict[str, asyncio.Future[CacheState | SavedCache]] = {}
        self._alive = True
        self._gone = self._closed = False
        self._frames = FrameReader()
        self._loading: asyncio.Queue[Progress | LoadRefused | Loaded | None] | None = asyncio.Queue()
        self._dying: asyncio.Task[None] | None = None
        process.connection.listen(self._heard, self._hung_up)

    @property
    def card(self) -> ModelCard:
        if self._card is None:
            raise LoadFailed("The model is not loaded yet.")
        return self._card

    @property
    def alive(self) -> bool:
        return self._alive

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def problem(self) -> str:
        """Why it is no longer alive."""
        return f"The model's process ended unexpectedly ({self._process.last_words()})."

    async def load(self, options: LoadOptions, progress: OnProgress) -> None:
        """Load the model. Raises what the worker refused it for, or LoadFailed where the worker died over it."""
        assert self._loading is not None
        self._post(Load(options=options))
        while (frame := await self._loading.get()) is not None:
            match frame:
                case Progress(stage=stage, fraction=fraction):
                    progress(stage, fraction)
                case LoadRefused(problem=problem):
                    raise problem.error()
                case Loaded(card=card):
                    self._card, self._loading = card, None
                    if self._gone:
                        self._hung_up()
                    return
        await self._process.end()
        raise LoadFailed(
            f"The model's process died while it loaded ({self._process.last_words()}).",
            hint="Often the model is too large for this machine's memory. The log is in the logs folder.",
        )

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        """The request's events, in the end one Finished or Failed. Leaving early cancels it in the worker."""
        if not self._alive:
            yield Failed.of(self._crashed())
            return
        events: asyncio.Queue[Event] = asyncio.Queue()
        self._streams[request.id] = events
        ended = False
        try:
            try:
                self._post(Generate(request=request))
            except WireError as error:
                ended = True
                yield Failed.of(InvalidRequest(f"The request cannot be sent to the model: {error}.", hint="Shorten it.", param="prompt"))
                return
            while not ended:
                event = await events.get()
                ended = isinstance(event, ENDS)
                yield event
        finally:
            del self._streams[request.id]
            if not ended and self._alive:
                self._post(Cancel(request_id=request.id))

    async def count(self, request: GenerationRequest) -> PromptCount:
        """How long the request's prompt is. Raises what is wrong with the request, or EngineCrashed."""
        if not self._alive:
            raise self._crashed()
        events: asyncio.Queue[Event] = asyncio.Queue()
        self._streams[request.id] = events
        try:
            self._post(Count(request=request))
            return await counted(events.get)
        except WireError as error:
            raise InvalidRequest(f"The request cannot be sent to the model: {error}.", hint="Shorten it.", param="prompt") from error
        finally:
            del self._streams[request.id]

    async def cache(self, action: CacheAction = "look", entry: str = "") -> CacheState:
        """How the worker's prompt cache stands, after that was done to it. Raises EngineCrashed."""
        return cast(CacheState, await self._ask(lambda name: AskCache(id=name, action=action, entry=entry)))

    async def save_cache(self, entry: str, path: str, *, replace: bool = False) -> SavedCache:
        """Have an entry written to a file. Raises InvalidRequest, StorageError or EngineCrashed."""
        return cast(SavedCache, await self._ask(lambda name: SaveCache(id=name, entry=entry, path=path, replace=replace)))

    async def load_cache(self, path: str) -> CacheState:
        """Have what a file holds taken in. Raises InvalidRequest, StorageError or EngineCrashed."""
        return cast(CacheState, await self._ask(lambda name: LoadCache(id=name, path=path)))

    async def forget_chats(self, chats: tuple[str, ...]) -> None:
        """Have dropped what only these chats used. Raises EngineCrashed."""
        await self._ask(lambda name: ForgetChats(id=name, chats=chats))

    async def _ask(self, question: Callable[[str], ToWorker]) -> CacheState | SavedCache:
        """Ask the prompt cache under a name of its own, and wait for what comes back under it."""
        if not self._alive:
            raise self._crashed()
        asked: asyncio.Future[CacheState | SavedCache] = asyncio.get_running_loop().create_future()
        name = f"cache-{id(asked)}"
        self._asked[name] = asked
        try:
            self._post(question(name))
            return await asked
        except WireError as error:
            raise InvalidRequest(f"That cannot be asked of the model: {error}.", hint="Give another path.", param="path") from error
        finally:
            del self._asked[name]

    async def close(self) -> None:
        """End the worker; requests in flight fail. No process is left."""
        if self._alive:
            self._post(Shutdown())
        await self._finish(ShuttingDown("The model was closed.", hint=RESTART_HINT))

    async def kill(self) -> None:
        """End the worker at once, whatever it does."""
        self._process.kill()
        await self._finish(self._crashed())

    async def _finish(self, why: HarmonyError) -> None:
        self._closed = True
        if self._dying is not None:
            self._dying.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._dying
        self._fail_all(why)
        await self._process.end()

    def _heard(self, data: bytes) -> None:
        """Hand on the frames that this completes. A worker that sends nonsense is ended."""
        try:
            frames = self._frames.feed(data)
        except WireError:
            self._process.kill()
            self._process.connection.close()
            return
        for frame in frames:
            self._hand_over(frame)

    def _hung_up(self) -> None:
        """The worker is gone, or is being closed."""
        self._gone = True
        if self._loading is not None:
            self._loading.put_nowait(None)
        elif not self._closed:
            self._alive = False
            self._dying = asyncio.create_task(self._died())

    async def _died(self) -> None:
        """Fail what is left, once it is known how it ended."""
        await self._process.end()
        self._fail_all(self._crashed())

    def _hand_over(self, frame: Frame) -> None:
        """Give a frame to whoever waits for it; one that nobody waits for any more is dropped."""
        match frame:
            case EventFrame(request_id=request_id, event=event):
                if (stream := self._streams.get(request_id)) is not None:
                    stream.put_nowait(event)
            case CacheFrame() | CacheSaved() | CacheRefused():
                if (asked := self._asked.get(frame.id)) is not None and not asked.done():
                    _settle(asked, frame)
            case Progress() | LoadRefused() | Loaded() if self._loading is not None:
                self._loading.put_nowait(frame)

    def _post(self, frame: ToWorker) -> None:
        """Queue a frame for the worker. Raises WireError for what cannot travel."""
        self._process.connection.write(encode(frame))

    def _fail_all(self, why: HarmonyError) -> None:
        self._alive = False
        for stream in self._streams.values():
            stream.put_nowait(Failed.of(why))
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(why)

    def _crashed(self) -> EngineCrashed:
        return EngineCrashed(self.problem, hint=RESTART_HINT)


def _settle(asked: asyncio.Future[CacheState | SavedCache], answer: CacheAnswer) -> None:
    match answer:
        case CacheFrame(state=state):
            asked.set_result(state)
        case CacheSaved(saved=saved):
            asked.set_result(saved)
        case CacheRefused(problem=problem):
            asked.set_exception(problem.error())


async def start_worker(name: str, options: LoadOptions, home: WorkerHome, progress: OnProgress) -> WorkerEngine:
    """Start a process and load a model in it. Raises the errors of loading; leaving early ends the process at once."""
    engine = WorkerEngine(await WorkerProcess.start(name, home))
    async with contextlib.AsyncExitStack() as undo:
        undo.push_async_callback(engine.kill)
        await engine.load(options, progress)
        undo.pop_all()
    return engine


def workers_in(home: str, options: LoadOptions | None = None) -> StartEngine:
    """How to start engines whose processes keep their logs and temporary files under `home`; `options` but for the path."""
    places = WorkerHome.of(home)

    async def start(entry: ModelEntry, progress: OnProgress, *, force: bool = False) -> WorkerEngine:
        of_entry = msgspec.structs.replace(options or LoadOptions(path=""), path=entry.path, adapter=entry.adapter, force=force)
        return await start_worker(entry.id, of_entry, places, progress)

    return start
