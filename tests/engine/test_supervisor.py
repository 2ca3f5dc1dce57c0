"""The server's side of the wire against a worker that behaves badly: it lies, dies, or says nothing that makes sense."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from mlx_harmony.engine.connection import Connection
from mlx_harmony.engine.process import WorkerHome, WorkerProcess, private_folder
from mlx_harmony.engine.supervisor import WorkerEngine
from mlx_harmony.engine.wire import EventFrame, FrameReader, FromWorker, Loaded, LoadRefused, encode
from mlx_harmony.errors import LoadFailed, StorageError, UnsupportedArchitecture
from mlx_harmony.events import Event, Failed, TextDelta
from mlx_harmony.records import GenerationRequest, LoadOptions, TextPrompt
from tests.fixtures.scripted import CARD

GARBAGE = b"\xff\xff\xff\xff no frame"


class FakeProcess:
    """A WorkerProcess without a process: the test holds the worker's end of the socket."""

    pid = 1

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.killed = False
        self.ended = False

    def kill(self) -> None:
        self.killed = True

    async def end(self) -> None:
        self.ended = True
        self.connection.close()

    def last_words(self) -> str:
        return "exit code 7"


class Stage:
    """An engine, its fake process, and the worker's end of the socket."""

    def __init__(self, engine: WorkerEngine, process: FakeProcess, worker: socket.socket) -> None:
        self.engine = engine
        self.process = process
        self._worker = worker
        self._heard = FrameReader()

    def send(self, *frames: FromWorker | bytes) -> None:
        for frame in frames:
            self._worker.sendall(frame if isinstance(frame, bytes) else encode(frame))

    def hang_up(self) -> None:
        self._worker.close()

    async def hear(self) -> list[str]:
        """The kinds of frames that came since the last time."""
        data = await asyncio.get_running_loop().sock_recv(self._worker, 65536)
        return [type(frame).__name__ for frame in self._heard.feed(data)]


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    process = FakeProcess(await Connection.over(ours))
    engine = WorkerEngine(process)  # type: ignore[arg-type]
    yield Stage(engine, process, theirs)
    await engine.close()
    theirs.close()


async def load(stage: Stage) -> None:
    stage.send(Loaded(card=CARD))
    await stage.engine.load(LoadOptions(path="/x"), lambda _stage, _fraction: None)


async def ask(stage: Stage, name: str = "r") -> list[Event]:
    request = GenerationRequest(id=name, prompt=TextPrompt(text="hi"))
    async with aclosing(stage.engine.generate(request)) as events:
        return [event async for event in events]


def word(name: str) -> EventFrame:
    return EventFrame(request_id=name, event=TextDelta(index=0, channel="final", text="word"))


async def test_a_worker_that_dies_over_its_load_is_a_failed_load(stage: Stage) -> None:
    stage.hang_up()
    with pytest.raises(LoadFailed, match="exit code 7"):
        await stage.engine.load(LoadOptions(path="/x"), lambda _stage, _fraction: None)
    assert stage.process.ended


async def test_what_the_worker_refuses_a_model_for_comes_back_as_itself(stage: Stage) -> None:
    stage.send(LoadRefused(problem=Failed(code="unsupported_architecture", message="Never heard of it.", hint="Choose another.")))
    with pytest.raises(UnsupportedArchitecture, match="Never heard") as caught:
        await stage.engine.load(LoadOptions(path="/x"), lambda _stage, _fraction: None)
    assert caught.value.hint == "Choose another."


async def test_garbage_while_loading_ends_the_worker(stage: Stage) -> None:
    stage.send(GARBAGE)
    with pytest.raises(LoadFailed):
        await stage.engine.load(LoadOptions(path="/x"), lambda _stage, _fraction: None)
    assert stage.process.killed


async def test_garbage_in_mid_reply_ends_the_worker_and_every_reply_with_an_event(stage: Stage) -> None:
    await load(stage)
    asking = [asyncio.create_task(ask(stage, name)) for name in "ab"]
    await asyncio.sleep(0.01)
    stage.send(word("a"))
    await asyncio.sleep(0.01)
    stage.send(GARBAGE)
    first, second = await asyncio.gather(*asking)
    assert isinstance(first[0], TextDelta)
    for events in (first, second):
        assert isinstance(events[-1], Failed)
        assert events[-1].code == "engine_crashed"
    assert stage.process.killed
    assert not stage.engine.alive


async def test_a_worker_that_dies_in_the_moment_it_is_loaded_is_known_as_dead(stage: Stage) -> None:
    stage.send(Loaded(card=CARD))
    stage.hang_up()
    await asyncio.sleep(0.01)
    await stage.engine.load(LoadOptions(path="/x"), lambda _stage, _fraction: None)
    assert not stage.engine.alive
    assert [event.code for event in await ask(stage) if isinstance(event, Failed)] == ["engine_crashed"]


async def test_an_event_reaches_who_waits_for_it_in_the_wake_in_which_it_came(stage: Stage) -> None:
    """From the socket to the reply there is no task between: each would cost a token another turn of the event loop."""
    await load(stage)
    events = stage.engine.generate(GenerationRequest(id="r", prompt=TextPrompt(text="hi")))
    reading = asyncio.create_task(anext(events))
    await asyncio.sleep(0.01)
    stage.send(word("r"))
    turns = 0
    while not reading.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns <= 3
    await events.aclose()


async def test_a_request_to_a_dead_worker_fails_at_once(stage: Stage) -> None:
    await load(stage)
    stage.hang_up()
    await asyncio.sleep(0.02)
    events = await ask(stage)
    assert [event.code for event in events if isinstance(event, Failed)] == ["engine_crashed"]


async def test_events_of_unknown_requests_are_nobody_s(stage: Stage) -> None:
    await load(stage)
    stage.send(word("stranger"))
    asking = asyncio.create_task(ask(stage))
    await asyncio.sleep(0.01)
    stage.send(EventFrame(request_id="r", event=Failed(code="generation_failed", message="no")))
    assert await asking == [Failed(code="generation_failed", message="no")]


async def test_leaving_a_reply_tells_the_worker_to_cancel_it(stage: Stage) -> None:
    await load(stage)
    events = stage.engine.generate(GenerationRequest(id="r", prompt=TextPrompt(text="hi")))
    stage.send(word("r"))
    reading = asyncio.create_task(anext(events))
    await asyncio.sleep(0.01)
    stage.send(word("r"))
    await reading
    await events.aclose()
    await asyncio.sleep(0.01)
    assert await stage.hear() == ["Load", "Generate", "Cancel"]


async def test_closing_says_so_and_fails_what_is_in_flight(stage: Stage) -> None:
    await load(stage)
    asking = asyncio.create_task(ask(stage))
    await asyncio.sleep(0.01)
    await stage.engine.close()
    assert [event.code for event in await asking if isinstance(event, Failed)] == ["shutting_down"]
    assert (await stage.hear())[-1] == "Shutdown"
    assert stage.process.ended


async def test_a_card_before_the_load_is_an_error(stage: Stage) -> None:
    with pytest.raises(LoadFailed):
        _ = stage.engine.card


def test_a_home_that_cannot_be_written_is_a_clear_error(tmp_path: object) -> None:
    with pytest.raises(StorageError, match="cannot be used"):
        private_folder("/proc/nothing/here")


async def test_an_unusable_interpreter_is_a_failed_load(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with pytest.raises(LoadFailed, match="No process could be started"):
        await WorkerProcess.start("x", WorkerHome.of(str(tmp_path_factory.mktemp("home"))))


@pytest.mark.parametrize(
    "program", ["import sys, time; time.sleep(60)", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"]
)
async def test_a_worker_that_will_not_end_is_ended(
    program: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from mlx_harmony.engine import process as room

    monkeypatch.setattr(room, "ENDING_S", 0.3)
    monkeypatch.setattr(room, "WORKER", ("-c", program))
    worker = await WorkerProcess.start("stubborn", WorkerHome.of(str(tmp_path_factory.mktemp("home"))))
    await worker.end()
    assert worker.exit_code is not None
    assert "SIG" in worker.last_words()
