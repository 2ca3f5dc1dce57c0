"""Jobs as they are started, paused, resumed and cancelled. One that was cut short goes on at the next start of the program.

What the work is, only its runner knows; how jobs are kept on disk is the business of `kept`.
"""

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from mlx_harmony.errors import HarmonyError, InvalidRequest, ShuttingDown, StorageError, Unavailable
from mlx_harmony.jobs.kept import JobFiles
from mlx_harmony.jobs.progress import Progress
from mlx_harmony.jobs.records import ACTIVE, Job, JobFile, JobKind, JobState, Runner

AT_ONCE = 2
"""So many jobs of one kind run at the same time; the others wait."""
ENDED_KEPT = 50
SAVE_EVERY_S = 5.0


class _Live:
    """A job that this program runs: its task, and the one that sees to its end."""

    def __init__(self, job: Job, descriptor: int, clock: Callable[[], float]) -> None:
        self.job = job
        self.descriptor = descriptor
        self.progress = Progress(clock)
        self.note = ""
        self.stopped_as: JobState = "paused"
        self.saved_at = clock()
        self.saving: asyncio.Task[None] | None = None
        self.task: asyncio.Task[None] | None = None
        self.ending: asyncio.Task[None] | None = None

    def now(self) -> Job:
        """The job with how far it is at this moment; before its first report, as it was kept."""
        if not self.progress.files:
            return msgspec.structs.replace(self.job, problem=self.job.problem or self.note)
        rate = self.progress.rate() if self.job.state == "running" else 0.0
        return msgspec.structs.replace(
            self.job,
            done_bytes=self.progress.done_bytes,
            total_bytes=self.progress.total_bytes,
            files=self.progress.files,
            bytes_per_second=rate,
            seconds_left=self.progress.seconds_left(rate),
            problem=self.job.problem or self.note,
        )


class Jobs:
    """The jobs of one folder. `go_on` resumes what was cut short; `close` stops what runs, so that the next start can go on with it."""

    def __init__(self, folder: Path, runners: Mapping[JobKind, Runner], clock: Callable[[], float] = time.monotonic) -> None:
        self._files = JobFiles(folder)
        self._runners = runners
        self._clock = clock
        self._live: dict[str, _Live] = {}
        self._unsaved: dict[str, Job] = {}
        self._seats: dict[JobKind, asyncio.Semaphore] = {kind: asyncio.Semaphore(AT_ONCE) for kind in runners}
        self._changed = asyncio.Event()
        self._closed = False

    def list(self) -> tuple[Job, ...]:
        """Every job, the newest first; also those of another program on the same home."""
        live = {job_id: running.now() for job_id, running in self._live.items()}
        return tuple(sorted((self._files.jobs() | self._unsaved | live).values(), key=lambda job: (-job.created_at, job.id)))

    def find(self, job_id: str) -> Job:
        """The job of that id. Raises InvalidRequest."""
        live = self._live.get(job_id)
        job = live.now() if live else self._unsaved.get(job_id) or self._files.find(job_id)
        if job is None:
            raise InvalidRequest("There is no such job any more.", hint="Reload the list of jobs.", param="job")
        return job

    async def changes(self) -> AsyncIterator[None]:
        """Yields at once, then whenever some job has changed; several changes may come as one. Ends when the jobs are closed."""
        while not self._closed:
            changed = self._changed
            yield
            await changed.wait()

    async def start(self, kind: JobKind, title: str, subject: dict[str, str]) -> Job:
        """Begin a job. Raises StorageError where it cannot be kept."""
        await asyncio.to_thread(self._prune)
        return await self._set_off(Job(id=secrets.token_hex(8), kind=kind, title=title, created_at=time.time(), subject=subject))

    async def resume(self, job_id: str) -> Job:
        """Go on with a paused or failed job; one that runs is left alone. Raises InvalidRequest, and Unavailable where another has it."""
        job = self.find(job_id)
        if job.state in ("done", "cancelled"):
            raise InvalidRequest("That job is over.", hint="Start it again.", param="job")
        return job if job_id in self._live else await self._set_off(job)

    async def pause(self, job_id: str) -> Job:
        """Stop a job for now; what it has done stays. Raises InvalidRequest, and Unavailable where another program runs it."""
        return await self._stop(job_id, "paused")

    async def cancel(self, job_id: str) -> Job:
        """Stop a job for good and take away what was half done. Raises InvalidRequest, and Unavailable where another program runs it."""
        job = self.find(job_id)
        if job_id in self._live:
            return await self._stop(job_id, "cancelled")
        if job.state in ("done", "cancelled"):
            return job
        descriptor = await self._take(job_id)
        try:
            ended = msgspec.structs.replace(job, state="cancelled", ended_at=time.time(), problem="", hint="")
            await self._finish(ended)
        finally:
            os.close(descriptor)
            self._tell()
        return self.find(job_id)

    async def forget(self, job_id: str) -> None:
        """Take an ended job out of the list; of a failed one, what was half done goes too. Raises InvalidRequest for one not over."""
        job = self.find(job_id)
        if not job.ended or job_id in self._live:
            raise InvalidRequest("That job is not over yet.", hint="Cancel it first.", param="job")
        if job.state == "failed":
            await self.cancel(job_id)
        self._unsaved.pop(job_id, None)
        await asyncio.to_thread(self._files.remove, job_id)
        self._tell()

    async def go_on(self) -> None:
        """Resume the jobs that were running when their program ended; those of a program that still lives are left to it."""
        for job_id in await asyncio.to_thread(self._files.cut_short):
            with suppress(Unavailable, InvalidRequest, StorageError):
                await self._set_off(self.find(job_id))

    async def close(self) -> None:
        """Stop everything; what was running goes on at the next start."""
        self._closed = True
        running = [*self._live.values()]
        for live in running:
            live.stopped_as = "running"
            if live.task:
                live.task.cancel()
        endings = [live.ending for live in running if live.ending]
        if endings:
            await asyncio.wait(endings)
        self._tell()

    async def _set_off(self, job: Job) -> Job:
        if self._closed:
            raise ShuttingDown("MLX Harmony is stopping.", hint="Start it again; the job goes on then.")
        if job.kind not in self._runners:
            raise InvalidRequest(f"This program cannot do a job of the kind {job.kind!r}.", param="kind")
        descriptor = await self._take(job.id)
        live = _Live(msgspec.structs.replace(job, state="waiting", problem="", hint="", ended_at=None), descriptor, self._clock)
        with contextlib.ExitStack() as undo:
            undo.callback(os.close, descriptor)
            await asyncio.to_thread(self._files.write, live.job)
            undo.pop_all()
        self._unsaved.pop(job.id, None)
        self._live[job.id] = live
        live.task = asyncio.create_task(self._work(live))
        live.ending = asyncio.create_task(self._see_end(live, live.task))
        self._tell()
        return live.now()

    async def _stop(self, job_id: str, state: JobState) -> Job:
        job, live = self.find(job_id), self._live.get(job_id)
        if live is None or live.task is None or live.ending is None:
            if job.state in ACTIVE:
                raise _elsewhere()
            return job
        live.stopped_as = state
        live.task.cancel()
        await asyncio.wait([live.ending])
        return self.find(job_id)

    async def _work(self, live: _Live) -> None:
        def report(*files: JobFile, note: str = "") -> None:
            live.progress.note(*files)
            live.note = note
            self._save_now_and_then(live)
            self._tell()

        async with self._seats[live.job.kind]:
            live.job = msgspec.structs.replace(live.job, state="running")
            self._tell()
            await self._runners[live.job.kind](live.job.subject, report)

    def _save_now_and_then(self, live: _Live) -> None:
        if self._clock() - live.saved_at >= SAVE_EVERY_S and (live.saving is None or live.saving.done()):
            live.saved_at = self._clock()
            live.saving = asyncio.create_task(self._save_quietly(live.now()))

    async def _save_quietly(self, job: Job) -> None:
        """A full disk costs what others see of the job, never the job."""
        with suppress(StorageError):
            await asyncio.to_thread(self._files.write, job)

    async def _see_end(self, live: _Live, task: asyncio.Task[None]) -> None:
        await asyncio.wait([task])
        if live.saving:
            await asyncio.wait([live.saving])
        try:
            await self._finish(_outcome(live, task))
        finally:
            os.close(live.descriptor)
            del self._live[live.job.id]
            self._tell()

    async def _finish(self, job: Job) -> None:
        """Keep what came of a job, and clean up after one that was cancelled."""
        self._unsaved[job.id] = job
        try:
            await asyncio.to_thread(self._files.write, job)
            if job.state == "cancelled":
                await self._runners[job.kind].discard(job.subject)
            del self._unsaved[job.id]
        except HarmonyError as error:
            self._unsaved[job.id] = msgspec.structs.replace(job, problem=job.problem or error.message, hint=job.hint or error.hint)

    async def _take(self, job_id: str) -> int:
        try:
            descriptor = await asyncio.to_thread(self._files.take, job_id)
        except OSError as error:
            hint = "Check that the app's home is writable and has space."
            raise StorageError(f"The job cannot be kept: {error.strerror or error}.", hint=hint) from error
        if descriptor is None:
            raise _elsewhere()
        return descriptor

    def _prune(self) -> None:
        """Let go of the oldest jobs that are over."""
        over = sorted((job for job in self._files.jobs().values() if job.state in ("done", "cancelled")), key=lambda job: -job.created_at)
        for job in over[ENDED_KEPT:]:
            self._files.remove(job.id)

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def _outcome(live: _Live, task: asyncio.Task[None]) -> Job:
    """What became of a job whose task has ended."""
    live.note = ""
    job, now = live.now(), time.time()
    if task.cancelled():
        ended_at = now if live.stopped_as == "cancelled" else None
        return msgspec.structs.replace(job, state=live.stopped_as, ended_at=ended_at)
    error = task.exception()
    if error is None:
        return msgspec.structs.replace(job, state="done", ended_at=now)
    if isinstance(error, HarmonyError):
        return msgspec.structs.replace(job, state="failed", ended_at=now, problem=error.message, hint=error.hint)
    asyncio.get_running_loop().call_exception_handler(
        {"message": f"A job of the kind {job.kind} failed.", "exception": error, "task": task}
    )
    said = "Something went wrong inside MLX Harmony."
    return msgspec.structs.replace(job, state="failed", ended_at=now, problem=said, hint="The log has the details; resume to try again.")


def _elsewhere() -> Unavailable:
    return Unavailable("Another MLX Harmony program runs this job.", hint="Use the window or terminal in which it was started.")
