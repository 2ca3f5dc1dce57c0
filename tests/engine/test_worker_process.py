"""Real worker processes: they answer, they are killed, they hang up, and none is left behind."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
import pytest_asyncio

from mlx_harmony.engine.process import WorkerHome, worker_environment
from mlx_harmony.engine.protocols import ModelState
from mlx_harmony.engine.provider import EngineProvider
from mlx_harmony.engine.residency import Limits
from mlx_harmony.engine.supervisor import WorkerEngine, start_worker, workers_in
from mlx_harmony.engine.wire import Load, encode
from mlx_harmony.errors import LoadFailed
from mlx_harmony.events import Event, Failed, Finished, Loading, MessageEnded, Prefill, Queued, TextDelta
from mlx_harmony.records import GenerationRequest, LoadOptions, ModelEntry, Sampling, TextPrompt, TokenPrompt

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

FOREVER = 8000
SEATS = 16
"""As `worker.loop` has it, which cannot be imported here without mlx."""


def entry(folder: Path) -> ModelEntry:
    return ModelEntry(id=folder.name, path=str(folder), bytes=1, architecture="llama", format="template", source="folder")


def request(name: str, max_tokens: int = 8, words: int = 5) -> GenerationRequest:
    """A request that only its length ends: the stop token of FX1 is forbidden."""
    prompt = TextPrompt(text="hello " * words)
    return GenerationRequest(id=name, prompt=prompt, max_tokens=max_tokens, sampling=Sampling(logit_bias={1: -100.0}))


async def collect(events: AsyncGenerator[Event, None]) -> list[Event]:
    async with aclosing(events):
        return [event async for event in events]


def text(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def is_running(pid: int) -> bool:
    """Whether a process of that id is left, a zombie included."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("home"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(fx1: Path, home: str) -> AsyncIterator[WorkerEngine]:
    engine = await start_worker("tiny", LoadOptions(path=str(fx1)), WorkerHome.of(home), lambda _stage, _fraction: None)
    yield engine
    await engine.close()
    assert not is_running(engine.pid)


async def test_a_worker_loads_with_progress_and_answers(fx1: Path, home: str) -> None:
    seen: list[tuple[str, float]] = []
    engine = await start_worker("tiny", LoadOptions(path=str(fx1)), WorkerHome.of(home), lambda *step: seen.append(step))
    events = await collect(engine.generate(request("r")))
    await engine.close()
    assert engine.card.architecture == "llama"
    assert [fraction for _, fraction in seen] == sorted(fraction for _, fraction in seen)
    assert seen[-1][1] == 1.0
    assert isinstance(events[0], Prefill)
    assert isinstance(events[-1], Finished)
    assert events[-1].usage.completion_tokens == 8
    assert not engine.alive
    assert not is_running(engine.pid)


async def test_killing_a_worker_in_mid_reply_costs_the_rest_of_it_and_the_next_message_restarts(fx1: Path, home: str) -> None:
    provider = EngineProvider(workers_in(home))
    delivered: list[Event] = []
    first_pid = None
    async for event in provider.generate(entry(fx1), request("killed", FOREVER)):
        delivered.append(event)
        if isinstance(event, TextDelta) and first_pid is None:
            first_pid = state(provider).pid
            assert first_pid is not None
            os.kill(first_pid, signal.SIGKILL)
    assert text(delivered)
    assert isinstance(delivered[-1], Failed)
    assert delivered[-1].code == "engine_crashed"
    assert "SIGKILL" in delivered[-1].message
    assert delivered[-1].hint
    assert state(provider).phase == "crashed"
    after = await collect(provider.generate(entry(fx1), request("after")))
    assert isinstance(after[0], Loading)
    assert isinstance(after[-1], Finished)
    assert state(provider).pid not in (None, first_pid)
    await provider.close()


def state(provider: EngineProvider) -> ModelState:
    return provider.states()[0]


async def test_a_load_that_is_left_ends_its_process_at_once(fx1: Path, home: str) -> None:
    before = _children()
    provider = EngineProvider(workers_in(home))
    events = provider.generate(entry(fx1), request("left"))
    async for event in events:
        if isinstance(event, Loading) and event.stage == "Starting":
            break
    await asyncio.sleep(0.3)
    began = time.monotonic()
    await events.aclose()
    assert time.monotonic() - began < 0.3
    assert state(provider).phase == "asleep"
    await provider.close()
    assert before == _children()


def _children() -> list[str]:
    """The worker processes of this one; `ps` knows them on Linux and macOS alike."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,command="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()]
    return [pid for pid, parent, command in rows if parent == str(os.getpid()) and "mlx_harmony.worker" in command]


async def test_leaving_a_reply_cancels_it_before_its_next_steps(engine: WorkerEngine) -> None:
    events = engine.generate(request("left", FOREVER))
    async for event in events:
        if isinstance(event, TextDelta):
            break
    began = time.monotonic()
    await events.aclose()
    after = await collect(engine.generate(request("next", 1)))
    assert isinstance(after[-1], Finished)
    assert time.monotonic() - began < 2.0


async def test_leaving_in_the_middle_of_a_prompt_stops_reading_it(engine: WorkerEngine) -> None:
    long = GenerationRequest(id="long", prompt=TokenPrompt(tokens=tuple(range(300)) * 26), max_tokens=1)
    events = engine.generate(long)
    async for event in events:
        if isinstance(event, Prefill) and event.done > 0:
            assert event.done < event.total
            break
    await events.aclose()
    began = time.monotonic()
    following = await collect(engine.generate(request("next", 1)))
    assert isinstance(following[-1], Finished)
    assert time.monotonic() - began < 2.0


async def test_requests_are_answered_side_by_side(engine: WorkerEngine) -> None:
    ends: list[str] = []

    async def ask(name: str, max_tokens: int) -> list[Event]:
        events = await collect(engine.generate(request(name, max_tokens)))
        ends.append(name)
        return events

    first = asyncio.create_task(ask("first", 400))
    await asyncio.sleep(0.05)
    others = [asyncio.create_task(ask(f"other{at}", 5)) for at in range(3)]
    await asyncio.gather(first, *others)
    assert ends[-1] == "first"
    assert all(isinstance(task.result()[-1], Finished) for task in (first, *others))


async def test_more_requests_than_seats_wait_their_turn_and_hear_their_place(engine: WorkerEngine) -> None:
    tasks = [asyncio.create_task(collect(engine.generate(request(f"many{at}", 60)))) for at in range(SEATS + 4)]
    answers = await asyncio.gather(*tasks)
    assert all(isinstance(events[-1], Finished) for events in answers)
    assert not any(isinstance(event, Queued) for events in answers[:SEATS] for event in events)
    for waiting, events in enumerate(answers[SEATS:], 1):
        places = [event.position for event in events if isinstance(event, Queued)]
        # Several may be seated at once, so the last place that somebody hears need not be the first.
        assert places[0] == waiting
        assert places == sorted(set(places), reverse=True)


async def test_a_prompt_is_counted_while_answers_are_written(engine: WorkerEngine) -> None:
    writing = engine.generate(request("writing", FOREVER))
    async for event in writing:
        if isinstance(event, TextDelta):
            break
    count = await asyncio.wait_for(engine.count(request("count", words=9)), 5)
    assert count.total > 9
    await writing.aclose()


async def test_a_request_that_is_left_while_it_waits_is_never_run(engine: WorkerEngine) -> None:
    seated = [asyncio.create_task(collect(engine.generate(request(f"first{at}", 400)))) for at in range(SEATS)]
    await asyncio.sleep(0.05)
    waiting = engine.generate(request("waiting", FOREVER))
    assert isinstance(await anext(waiting), Queued)
    await waiting.aclose()
    last = await collect(engine.generate(request("last", 2)))
    assert isinstance(last[-1], Finished)
    assert last[-1].usage.completion_tokens == 2
    assert all(isinstance(events[-1], Finished) for events in await asyncio.gather(*seated))


async def test_a_bad_request_fails_alone(engine: WorkerEngine) -> None:
    bad = await collect(engine.generate(GenerationRequest(id="bad", prompt=TokenPrompt(tokens=(1, 10**6)))))
    broken = await collect(engine.generate(GenerationRequest(id="broken", prompt=TextPrompt(text="\ud83d"))))
    good = await collect(engine.generate(request("good")))
    for events in (bad, broken):
        assert len(events) == 1
        assert isinstance(events[0], Failed)
        assert events[0].code == "invalid_request"
    assert isinstance(good[-1], Finished)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_an_idle_worker_uses_no_processor_time(engine: WorkerEngine) -> None:
    await collect(engine.generate(request("warm")))
    await asyncio.sleep(0.3)
    before = _ticks(engine.pid)
    await asyncio.sleep(1.0)
    assert _ticks(engine.pid) - before <= 2


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return int(fields[11]) + int(fields[12])


async def test_a_refused_load_says_why_and_leaves_no_process(tmp_path: Path, home: str) -> None:
    before = _children()
    with pytest.raises(LoadFailed, match="no model folder"):
        await start_worker("nothing", LoadOptions(path=str(tmp_path / "nothing")), WorkerHome.of(home), lambda _stage, _fraction: None)
    assert before == _children()


async def test_a_worker_ends_when_its_server_hangs_up(fx1: Path, home: str) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "mlx_harmony.worker", str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
            env=worker_environment(WorkerHome.of(home)),
            start_new_session=True,
        )
    ours.sendall(encode(Load(options=LoadOptions(path=str(fx1)))))
    await asyncio.sleep(0.5)
    ours.close()
    assert await asyncio.to_thread(process.wait, 5) == 0


async def test_a_worker_inherits_no_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HF_TOKEN", "OPENAI_API_KEY", "MLX_HARMONY_API_KEY", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "secret")
    environment = worker_environment(WorkerHome.of(str(tmp_path)))
    assert "secret" not in environment.values()
    assert environment["TMPDIR"] == str(tmp_path / "tmp")
    assert environment["MLX_HARMONY_HOME"] == str(tmp_path)


async def test_the_folder_for_compiled_kernels_is_closed_to_others(engine: WorkerEngine, home: str) -> None:
    assert engine.alive
    assert Path(home, "tmp").stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_the_most_memory_it_took_comes_with_its_card_and_its_answers(engine: WorkerEngine) -> None:
    """The process's own peak, neither the starting program's nor the present figure."""
    events = await collect(engine.generate(request("peak", words=300)))
    told, status = engine.card.peak_bytes, Path(f"/proc/{engine.pid}/status").read_text()
    most = int(status.partition("VmHWM:")[2].split()[0]) * 1024
    assert isinstance(events[-1], Finished)
    timings = events[-1].timings
    assert 50 * 10**6 < told <= timings.peak_bytes <= most
    assert timings.kept_bytes > 0 and timings.kv_bytes > 0


async def test_an_idle_worker_ends_its_memory_is_free_and_the_next_message_starts_it_again(fx1: Path, home: str) -> None:
    """R093, R095: unloading is the end of a process."""
    provider = EngineProvider(workers_in(home), limits=Limits(idle_s=0.5))
    await collect(provider.generate(entry(fx1), request("first")))
    pid = state(provider).pid
    assert pid is not None and is_running(pid)
    ends_at = time.monotonic() + 30
    while is_running(pid) and time.monotonic() < ends_at:
        await asyncio.sleep(0.05)
    assert not is_running(pid) and (state(provider).phase, state(provider).memory_bytes) == ("asleep", 0)
    assert isinstance((await collect(provider.generate(entry(fx1), request("again"))))[-1], Finished)
    await provider.close()


async def test_a_message_is_closed_before_the_answer_ends(engine: WorkerEngine) -> None:
    events = await collect(engine.generate(request("closed")))
    assert isinstance(events[-2], MessageEnded)
