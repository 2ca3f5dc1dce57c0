"""Jobs from start to end, with a runner that does as it is told: what is kept, what goes on, what is cleaned up, how fast it is."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from mlx_harmony.errors import InvalidRequest, ShuttingDown, StorageError, Unavailable
from mlx_harmony.jobs import Job, JobFile, Jobs, Report
from mlx_harmony.jobs.progress import WINDOW_S, Progress


class Worker:
    """A runner that waits for its turn: `step` lets it report and go on, `fail` makes it raise."""

    def __init__(self) -> None:
        self.calls: list[dict[str, str]] = []
        self.discarded: list[dict[str, str]] = []
        self.reports: list[Report] = []
        self.go_on = asyncio.Event()
        self.error: BaseException | None = None
        self.left: StorageError | None = None

    async def __call__(self, subject: dict[str, str], report: Report) -> None:
        self.calls.append(subject)
        self.reports.append(report)
        report(JobFile(name="a", total_bytes=100), JobFile(name="b", total_bytes=50))
        await self.go_on.wait()
        if self.error:
            raise self.error
        report(JobFile(name="a", done_bytes=100, total_bytes=100), JobFile(name="b", done_bytes=50, total_bytes=50))

    async def discard(self, subject: dict[str, str]) -> None:
        self.discarded.append(subject)
        if self.left:
            raise self.left


@pytest.fixture
async def worker() -> Worker:
    return Worker()


@pytest.fixture
async def jobs(tmp_path: Path, worker: Worker) -> AsyncIterator[Jobs]:
    jobs = Jobs(tmp_path / "jobs", {"download": worker})
    yield jobs
    await jobs.close()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.005)


async def running(jobs: Jobs, worker: Worker, about: str = "x") -> Job:
    before = len(worker.calls)
    job = await jobs.start("download", f"org/{about}", {"id": about})
    await until(lambda: len(worker.calls) > before)
    return jobs.find(job.id)


async def test_a_job_is_done_when_its_runner_is(jobs: Jobs, worker: Worker) -> None:
    job = await running(jobs, worker)
    assert (job.state, job.title, job.total_bytes, job.done_bytes) == ("running", "org/x", 150, 0)
    worker.go_on.set()
    await until(lambda: jobs.find(job.id).ended)
    (ended,) = jobs.list()
    assert (ended.state, ended.done_bytes, ended.problem) == ("done", 150, "")
    assert ended.ended_at is not None and ended.created_at <= ended.ended_at
    assert ended.files == (JobFile(name="a", done_bytes=100, total_bytes=100), JobFile(name="b", done_bytes=50, total_bytes=50))


async def test_a_job_lies_in_a_file_for_its_owner_only(jobs: Jobs, worker: Worker, tmp_path: Path) -> None:
    job = await running(jobs, worker)
    path = tmp_path / "jobs" / f"{job.id}.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_bytes())["subject"] == {"id": "x"}


async def test_paused_and_resumed(jobs: Jobs, worker: Worker) -> None:
    job = await running(jobs, worker)
    assert (await jobs.pause(job.id)).state == "paused"
    assert worker.discarded == [] and jobs.find(job.id).ended_at is None
    assert (await jobs.resume(job.id)).state == "waiting"
    await until(lambda: len(worker.calls) == 2)
    assert worker.calls == [{"id": "x"}, {"id": "x"}]
    worker.go_on.set()
    await until(lambda: jobs.find(job.id).state == "done")


async def test_cancelling_cleans_up(jobs: Jobs, worker: Worker) -> None:
    job = await running(jobs, worker)
    cancelled = await jobs.cancel(job.id)
    assert cancelled.state == "cancelled" and cancelled.ended_at
    assert worker.discarded == [{"id": "x"}]
    assert (await jobs.cancel(job.id)).state == "cancelled"
    assert len(worker.discarded) == 1


async def test_a_paused_job_is_cancelled_too(jobs: Jobs, worker: Worker) -> None:
    job = await running(jobs, worker)
    await jobs.pause(job.id)
    assert (await jobs.cancel(job.id)).state == "cancelled"
    assert worker.discarded == [{"id": "x"}]


async def test_what_cannot_be_cleaned_up_is_told(jobs: Jobs, worker: Worker) -> None:
    worker.left = StorageError("It cannot be removed.", hint="Look.")
    job = await running(jobs, worker)
    cancelled = await jobs.cancel(job.id)
    assert (cancelled.state, cancelled.problem, cancelled.hint) == ("cancelled", "It cannot be removed.", "Look.")


async def test_a_failure_is_told_and_can_be_tried_again(jobs: Jobs, worker: Worker) -> None:
    worker.error = Unavailable("No network.", hint="Plug it in.")
    worker.go_on.set()
    job = await running(jobs, worker)
    await until(lambda: jobs.find(job.id).state == "failed")
    assert (jobs.find(job.id).problem, jobs.find(job.id).hint) == ("No network.", "Plug it in.")
    worker.error = None
    assert (await jobs.resume(job.id)).problem == ""
    await until(lambda: jobs.find(job.id).state == "done")


async def test_a_mistake_of_ours_ends_one_job_and_is_logged(jobs: Jobs, worker: Worker) -> None:
    logged: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: logged.append(context))
    worker.error = KeyError("commit")
    worker.go_on.set()
    job = await running(jobs, worker)
    await until(lambda: jobs.find(job.id).state == "failed")
    assert "Something went wrong" in jobs.find(job.id).problem and "commit" not in jobs.find(job.id).problem
    assert [context["exception"] for context in logged] == [worker.error]


async def test_what_was_running_goes_on_at_the_next_start(tmp_path: Path, worker: Worker) -> None:
    first = Jobs(tmp_path / "jobs", {"download": worker})
    job, paused = await running(first, worker, "x"), await running(first, worker, "y")
    await first.pause(paused.id)
    await first.close()
    with pytest.raises(ShuttingDown):
        await first.start("download", "z", {})
    second = Jobs(tmp_path / "jobs", {"download": worker})
    assert {each.id: each.state for each in second.list()} == {job.id: "paused", paused.id: "paused"}
    await second.go_on()
    await until(lambda: len(worker.calls) == 3)
    assert {each.id: each.state for each in second.list()} == {job.id: "running", paused.id: "paused"}
    await second.close()


async def test_a_job_of_another_program_is_seen_and_left_to_it(tmp_path: Path, worker: Worker, jobs: Jobs) -> None:
    job = await running(jobs, worker)
    other = Jobs(tmp_path / "jobs", {"download": Worker()})
    await other.go_on()
    assert [(each.id, each.state) for each in other.list()] == [(job.id, "waiting")]
    for act in (other.pause, other.resume, other.cancel):
        with pytest.raises(Unavailable, match="Another MLX Harmony program"):
            await act(job.id)
    assert jobs.find(job.id).state == "running"
    worker.go_on.set()
    await until(lambda: other.find(job.id).state == "done")
    await other.close()


async def test_two_of_a_kind_run_and_the_others_wait(jobs: Jobs, worker: Worker) -> None:
    for about in ("x", "y"):
        await running(jobs, worker, about)
    third = await jobs.start("download", "z", {"id": "z"})
    assert jobs.find(third.id).state == "waiting"
    worker.go_on.set()
    await until(lambda: all(job.state == "done" for job in jobs.list()))
    assert len(worker.calls) == 3


async def test_one_that_waits_is_paused_and_cancelled_as_well(jobs: Jobs, worker: Worker) -> None:
    for about in ("x", "y"):
        await running(jobs, worker, about)
    third = await jobs.start("download", "z", {"id": "z"})
    assert (await jobs.pause(third.id)).state == "paused"
    await jobs.resume(third.id)
    assert (await jobs.cancel(third.id)).state == "cancelled"
    assert len(worker.calls) == 2


async def test_only_what_is_over_is_forgotten(jobs: Jobs, worker: Worker, tmp_path: Path) -> None:
    job = await running(jobs, worker)
    with pytest.raises(InvalidRequest, match="not over"):
        await jobs.forget(job.id)
    await jobs.pause(job.id)
    with pytest.raises(InvalidRequest, match="not over"):
        await jobs.forget(job.id)
    await jobs.cancel(job.id)
    await jobs.forget(job.id)
    assert jobs.list() == () and list((tmp_path / "jobs").iterdir()) == []


async def test_forgetting_a_failed_job_takes_what_it_left(jobs: Jobs, worker: Worker) -> None:
    worker.error = Unavailable("No.")
    worker.go_on.set()
    job = await running(jobs, worker)
    await until(lambda: jobs.find(job.id).state == "failed")
    await jobs.forget(job.id)
    assert worker.discarded == [{"id": "x"}] and jobs.list() == ()


@pytest.mark.parametrize("job_id", ["0" * 16, "../evil", "", "x", "0" * 15 + "\n"])
async def test_an_id_that_is_none_finds_nothing(job_id: str, jobs: Jobs, tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "evil.json").write_text(json.dumps({"id": "../evil", "kind": "download", "title": "x", "state": "done"}))
    for act in (jobs.pause, jobs.resume, jobs.cancel, jobs.forget):
        with pytest.raises(InvalidRequest, match="no such job"):
            await act(job_id)


async def test_a_damaged_file_is_left_out(jobs: Jobs, worker: Worker, tmp_path: Path) -> None:
    job = await running(jobs, worker)
    (tmp_path / "jobs" / f"{'1' * 16}.json").write_text('{"id": ')
    (tmp_path / "jobs" / f"{'2' * 16}.json").write_text(json.dumps({"id": job.id, "kind": "download", "title": "a copy"}))
    assert [each.id for each in jobs.list()] == [job.id]


async def test_changes_come_without_asking(jobs: Jobs, worker: Worker) -> None:
    seen: list[str] = []

    async def watch() -> None:
        async for _ in jobs.changes():
            seen.append(jobs.list()[0].state if jobs.list() else "none")

    watching = asyncio.create_task(watch())
    await until(lambda: seen == ["none"])
    await running(jobs, worker)
    await until(lambda: seen[-1] == "running")
    worker.go_on.set()
    await until(lambda: seen[-1] == "done")
    await jobs.close()
    await asyncio.wait_for(watching, 2)


async def test_a_home_that_cannot_be_written_is_told(tmp_path: Path, worker: Worker) -> None:
    (tmp_path / "jobs").write_text("a file")
    jobs = Jobs(tmp_path / "jobs", {"download": worker})
    with pytest.raises(StorageError):
        await jobs.start("download", "x", {})
    assert jobs.list() == ()
    await jobs.close()


async def test_an_end_that_cannot_be_written_is_still_told(jobs: Jobs, worker: Worker, tmp_path: Path) -> None:
    job = await running(jobs, worker)
    with contextlib.ExitStack() as stack:
        (tmp_path / "jobs" / f".{job.id}.json.new").mkdir()
        stack.callback((tmp_path / "jobs" / f".{job.id}.json.new").rmdir)
        worker.error = StorageError("The disk is full.")
        worker.go_on.set()
        await until(lambda: jobs.find(job.id).ended)
    assert jobs.find(job.id).problem == "The disk is full."


async def test_the_oldest_that_are_over_go(jobs: Jobs, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlx_harmony.jobs.running.ENDED_KEPT", 2)
    worker.go_on.set()
    for number in range(4):
        job = await jobs.start("download", str(number), {})
        await until(lambda job=job: jobs.find(job.id).ended)  # type: ignore[misc]
    assert [job.title for job in jobs.list()] == ["3", "2", "1"]


def test_a_rate_falls_to_nothing_when_nothing_comes() -> None:
    now = 100.0
    progress = Progress(lambda: now)
    progress.note(JobFile(name="a", done_bytes=1000, total_bytes=11_000))
    assert progress.rate() == 0, "what was there before counts for nothing"
    for _ in range(50):
        now += 0.1
        done = progress.done_bytes + 100
        progress.note(JobFile(name="a", done_bytes=done, total_bytes=11_000))
    assert progress.rate() == pytest.approx(1000, rel=0.05)
    assert progress.seconds_left(progress.rate()) == pytest.approx(5, rel=0.05)
    rates = []
    for _ in range(6):
        now += 1
        rates.append(progress.rate())
    assert rates == sorted(rates, reverse=True) and rates[-1] == 0 == progress.rate()
    assert progress.seconds_left(progress.rate()) is None
    now += 100
    progress.note(JobFile(name="a", done_bytes=7000, total_bytes=11_000))
    assert progress.rate() == pytest.approx(1000 / WINDOW_S)


def test_the_last_bytes_before_a_stall_do_not_count_for_ever() -> None:
    now = 0.0
    progress = Progress(lambda: now)
    for done in range(0, 1001, 100):
        progress.note(JobFile(name="a", done_bytes=done, total_bytes=10_000))
        now += 0.03
    assert progress.rate() > 0
    now += 2 * WINDOW_S
    assert progress.rate() == 0


def test_a_file_that_begins_anew_makes_no_negative_rate() -> None:
    now = 0.0
    progress = Progress(lambda: now)
    progress.note(JobFile(name="a", done_bytes=500, total_bytes=1000))
    now = 2.0
    progress.note(JobFile(name="a", done_bytes=0, total_bytes=1000))
    assert progress.rate() == 0 and progress.done_bytes == 0
