"""The jobs' files in the app's home, and who runs which: a lock for each, gone with its program. Knows nothing of the work itself."""

import fcntl
import os
import re
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from mlx_harmony.jobs.records import ACTIVE, Job
from mlx_harmony.settings import write_file

_ID = re.compile(r"[0-9a-f]{16}")
_TRIES = 4
_PAUSE_S = 0.005
LARGEST_BYTES = 16 * 1024 * 1024


class JobFiles:
    """A folder of jobs that several programs may share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, tuple[tuple[int, int], Job]] = {}

    def jobs(self) -> dict[str, Job]:
        """Every job by its id, as it was last written; what cannot be read is left out. One whose program ended under it is paused."""
        names = self._names()
        found = {name: job for name in names if (job := self._job(name)) is not None}
        self._read = {name: kept for name, kept in self._read.items() if name in found}
        return {name: self._as_it_is(job) for name, job in found.items()}

    def find(self, job_id: str) -> Job | None:
        job = self._job(job_id) if _ID.fullmatch(job_id) else None
        return job and self._as_it_is(job)

    def cut_short(self) -> list[str]:
        """The ids of jobs that were under way when their program ended."""
        return [name for name in self._names() if (job := self._job(name)) is not None and job.state in ACTIVE and not self._held(name)]

    def write(self, job: Job) -> None:
        """Keep a job, mode 0600, the old one or the new one after a crash. Raises StorageError."""
        still = msgspec.structs.replace(job, bytes_per_second=0.0, seconds_left=None)
        write_file(self._folder / f"{job.id}.json", msgspec.to_builtins(still))

    def remove(self, job_id: str) -> None:
        for path in (self._folder / f"{job_id}.json", self._lock(job_id)):
            with suppress(OSError):
                path.unlink()

    def take(self, job_id: str) -> int | None:
        """A descriptor that says that this program runs the job; None where another one does."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._lock(job_id), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        for _ in range(_TRIES):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                # Somebody may only be looking whether it is held.
                time.sleep(_PAUSE_S)
            except OSError:
                # A file system without locks: nobody can be told apart, so the job is ours.
                return descriptor
            else:
                return descriptor
        os.close(descriptor)
        return None

    def _names(self) -> list[str]:
        try:
            return sorted(path.stem for path in self._folder.glob("*.json") if _ID.fullmatch(path.stem))
        except OSError:
            return []

    def _as_it_is(self, job: Job) -> Job:
        return msgspec.structs.replace(job, state="paused") if job.state in ACTIVE and not self._held(job.id) else job

    def _held(self, job_id: str) -> bool:
        try:
            descriptor = os.open(self._lock(job_id), os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            return isinstance(error, BlockingIOError)
        finally:
            os.close(descriptor)
        return False

    def _job(self, job_id: str) -> Job | None:
        path = self._folder / f"{job_id}.json"
        try:
            found = path.stat()
            state = (found.st_mtime_ns, found.st_size)
            if (kept := self._read.get(job_id)) and kept[0] == state:
                return kept[1]
            with path.open("rb") as file:
                job = msgspec.json.decode(file.read(LARGEST_BYTES), type=Job)
        except (OSError, ValueError, RecursionError):
            return None
        if job.id != job_id:
            return None
        self._read[job_id] = (state, job)
        return job

    def _lock(self, job_id: str) -> Path:
        return self._folder / f"{job_id}.lock"
