"""The frozen records of jobs: what long work is about, how far it is and what came of it. They know no runner and no file."""

from typing import Literal, Protocol

from mlx_harmony.records import Record

JobKind = Literal["download", "delete", "convert", "verify"]
JobState = Literal["waiting", "running", "paused", "done", "failed", "cancelled"]

ACTIVE: tuple[JobState, ...] = ("waiting", "running")
ENDED: tuple[JobState, ...] = ("done", "failed", "cancelled")


class JobFile(Record):
    """One file of a job, in bytes."""

    name: str
    done_bytes: int = 0
    total_bytes: int = 0


class Job(Record):
    """One job as it stood when it was asked for.

    `subject` is what the runner needs to know, `problem` what went wrong or what it waits for, `hint` what to do about it. `seconds_left`
    is None while nothing moves; times are seconds since 1970, `ended_at` None before the end.
    """

    id: str
    kind: JobKind
    title: str
    state: JobState = "waiting"
    done_bytes: int = 0
    total_bytes: int = 0
    files: tuple[JobFile, ...] = ()
    bytes_per_second: float = 0.0
    seconds_left: float | None = None
    problem: str = ""
    hint: str = ""
    created_at: float = 0.0
    ended_at: float | None = None
    subject: dict[str, str] = {}

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it by itself; a failed one may be resumed."""
        return self.state in ENDED


class Report(Protocol):
    """How a runner tells how far it is: files by name, each as it stands now, and what it waits for, "" for nothing."""

    def __call__(self, *files: JobFile, note: str = "") -> None: ...


class Runner(Protocol):
    """What does the work of one kind. It is stopped by cancelling the task it runs in, and may be called again for the same subject."""

    async def __call__(self, subject: dict[str, str], report: Report) -> None:
        """Do the work. Raises an error of the tree where it fails."""
        ...

    async def discard(self, subject: dict[str, str]) -> None:
        """Take away what was half done, because nobody wants it any more."""
        ...
