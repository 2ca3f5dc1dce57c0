"""The worker process: one thread reads the socket, the main thread does all that mlx does. It ends when the socket does.

The socket's other end is the server; when that is killed the kernel closes it, so a worker never outlives its server.
"""

import logging
import os
import resource
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

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
    FromWorker,
    Generate,
    Load,
    LoadCache,
    Loaded,
    LoadRefused,
    Progress,
    SaveCache,
    Shutdown,
    WireError,
    encode,
)
from mlx_harmony.errors import GenerationFailed, LoadFailed, ShuttingDown
from mlx_harmony.events import Event
from mlx_harmony.records import LoadOptions
from mlx_harmony.worker.cache.door import CacheDoor
from mlx_harmony.worker.guard import guarded
from mlx_harmony.worker.inbox import Inbox

if TYPE_CHECKING:
    from mlx_harmony.worker.device import Device

RECEIVE_BYTES = 256 * 1024
GRACE_S = 1.0
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
}

log = logging.getLogger(__name__)


class Link:
    """The framed socket. `send` may be called from any thread; `frames` from one."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._sending = threading.Lock()

    def send(self, frame: FromWorker) -> None:
        """Send a frame whole. A server that has gone is no error here: the reading side ends the process."""
        self.write(encode(frame))

    def write(self, data: bytes) -> None:
        """Send frames that are bytes already."""
        try:
            with self._sending:
                self._connection.sendall(data)
        except OSError:
            log.info("the server hung up")

    def frames(self) -> Iterator[Frame]:
        """Frames as they arrive, until the other end closes. Raises WireError for a stream that makes no sense."""
        reader = FrameReader()
        while data := self._receive():
            yield from reader.feed(data)

    def _receive(self) -> bytes:
        try:
            return self._connection.recv(RECEIVE_BYTES)
        except OSError:
            return b""


def serve(connection: socket.socket) -> None:
    """Load the model the first frame names, then answer requests until the server closes the socket or says Shutdown."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.environ.update(QUIET)
    link = Link(connection)
    frames = link.frames()
    first = next(frames, None)
    if not isinstance(first, Load):
        return
    inbox = Inbox(lambda request_id, event: link.send(EventFrame(request_id=request_id, event=event)), outlet=EventOutlet(link))
    door = CacheDoor(inbox)
    threading.Thread(target=_read, args=(frames, inbox, CacheDesk(link, door)), name="socket", daemon=True).start()
    _work(first.options, link, inbox, door)


class EventOutlet:
    """Sends the events of requests in one piece, so that the server wakes once for all of them."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def pack(self, request_id: str, event: Event) -> bytes:
        """Raises WireError for what cannot travel."""
        return encode(EventFrame(request_id=request_id, event=event))

    def send(self, packed: Sequence[bytes]) -> None:
        self._link.write(b"".join(packed))


class CacheDesk:
    """Takes questions for the prompt cache from the reading thread, which must not wait: files are written and read in threads beside."""

    def __init__(self, link: Link, door: CacheDoor) -> None:
        self._link = link
        self._door = door

    def ask(self, asked: AskCache | SaveCache | LoadCache | ForgetChats) -> None:
        match asked:
            case AskCache(action=action, entry=entry):
                self._link.send(CacheFrame(id=asked.id, state=self._door.act(action, entry)))
            case SaveCache(entry=entry, path=path, replace=replace):
                self._beside(asked.id, lambda: CacheSaved(id=asked.id, saved=self._door.save(entry, path, replace)))
            case LoadCache(path=path):
                self._beside(asked.id, lambda: CacheFrame(id=asked.id, state=self._door.load(path)))

            case ForgetChats(chats=chats):
                self._beside(asked.id, lambda: CacheFrame(id=asked.id, state=self._door.forget(chats)))

    def _beside(self, asked_id: str, work: Callable[[], CacheAnswer]) -> None:
        def answer() -> None:
            answers: list[CacheAnswer] = []
            problem = guarded(lambda: answers.append(work()), GenerationFailed)
            self._link.send(answers[0] if problem is None else CacheRefused(id=asked_id, problem=problem))

        threading.Thread(target=answer, name="cache file", daemon=True).start()


def _read(frames: Iterator[Frame], inbox: Inbox, desk: CacheDesk) -> None:
    """The reading thread: requests into the inbox; at the end of the stream the process ends, in good order if it can."""
    try:
        for frame in frames:
            match frame:
                case Generate(request=request):
                    inbox.put(request)
                case Count(request=request):
                    inbox.put_count(request)
                case Cancel(request_id=request_id):
                    inbox.cancel(request_id)
                case AskCache() | SaveCache() | LoadCache() | ForgetChats():
                    desk.ask(frame)
                case Shutdown():
                    break
                case _:
                    raise WireError(f"unexpected {type(frame).__name__}")
    except WireError:
        log.exception("the server sent something unreadable")
    inbox.close()
    overdue = threading.Timer(GRACE_S, os._exit, (0,))
    overdue.daemon = True
    overdue.start()


def _work(options: LoadOptions, link: Link, inbox: Inbox, door: CacheDoor) -> None:
    """The main thread: everything of mlx, its import included, happens here."""
    from mlx_harmony.worker.device import prepare, wired

    link.send(Progress(stage="Starting", fraction=0.0))
    device = prepare()
    with wired(device):
        _load_and_answer(options, device, link, inbox, door)


def _load_and_answer(options: LoadOptions, device: "Device", link: Link, inbox: Inbox, door: CacheDoor) -> None:
    from mlx_harmony.worker.cache.opening import open_caches
    from mlx_harmony.worker.cpu import quicken
    from mlx_harmony.worker.deadline import render_deadline
    from mlx_harmony.worker.load import LoadedModel, load
    from mlx_harmony.worker.loop import Loop
    from mlx_harmony.worker.speculation.drafts import Drafts, Guessing
    from mlx_harmony.worker.speculation.gain import Gain

    def progress(stage: str, fraction: float) -> None:
        if inbox.closed:
            raise ShuttingDown("The load was cancelled.")
        link.send(Progress(stage=stage, fraction=fraction))

    models: list[LoadedModel] = []
    problem = guarded(lambda: models.append(load(options, device, progress)), LoadFailed)
    if problem is not None:
        link.send(LoadRefused(problem=problem))
        return
    quicken(models[0].model, device)
    caches = open_caches(models[0], options)
    door.open(caches)
    # The seats are there before anybody hears that it is loaded, or the first to ask together would be told to wait.
    loop = Loop(models[0], inbox, render_deadline, caches, Guessing(Gain(), Drafts(models[0], device, caches.plain.budget_bytes)))
    link.send(Loaded(card=models[0].card))
    loop.run()
    caches.close()
