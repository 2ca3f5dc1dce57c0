"""The job tray as shown: each job's progress, rate and time left in words, and what can be done about it. Pure; the clock is given."""

import zlib
from collections.abc import Collection, Sequence

import msgspec

from mlx_harmony.jobs.records import Job, JobFile, JobKind, JobState
from mlx_harmony.records import Record
from mlx_harmony_ui import words

KINDS: dict[JobKind, str] = {"download": "Download", "delete": "Deletion", "convert": "Conversion", "verify": "Check"}
STATES: dict[JobState, str] = {
    "waiting": "waits for its turn",
    "running": "",
    "paused": "paused",
    "done": "done",
    "failed": "failed",
    "cancelled": "cancelled",
}
MOST_FILES = 60
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


class FileRow(Record):
    name: str
    whole_name: str
    text: str
    fraction: float


class JobRow(Record):
    """One job. `asks`: what cancelling takes away, "" where nobody is about to; `go` pauses or goes on; `model` can be talked to."""

    id: str
    name: str
    title: str
    kind: str
    state: JobState
    text: str
    fraction: float
    problem: str
    hint: str
    files: tuple[FileRow, ...]
    files_text: str
    more: str
    go: str
    can_cancel: bool
    lost: str
    asks: str
    can_forget: bool
    model: str
    said: str


class Tray(Record):
    """All of the tray; `count` is what its badge shows, `told` the same in words. `mark` changes whenever anything else does."""

    rows: tuple[JobRow, ...]
    running: int
    failed: int
    fraction: float
    told: str
    over: int
    mark: str = ""

    @property
    def count(self) -> int:
        return self.running + self.failed


def tray_of(jobs: Sequence[Job], models: Collection[str], asking: str, now_s: float) -> Tray:
    """The jobs as they stand: what is not over first, then the newest. `models` are those that can be used here."""
    rows = tuple(_row(job, models, asking, now_s) for job in sorted(jobs, key=lambda job: job.state in ("done", "cancelled")))
    active = [job for job in jobs if job.state in ("waiting", "running")]
    failed = sum(job.state == "failed" for job in jobs)
    total, done = sum(job.total_bytes for job in active), sum(job.done_bytes for job in active)
    tray = Tray(
        rows=rows,
        running=len(active),
        failed=failed,
        fraction=round(done / total, 3) if total else 0.0,
        told=_told(len(active), failed),
        over=sum(job.state in ("done", "cancelled") for job in jobs),
    )
    return msgspec.structs.replace(tray, mark=f"{zlib.crc32(repr(tray).encode('utf-8', 'replace')):08x}")


def _row(job: Job, models: Collection[str], asking: str, now_s: float) -> JobRow:
    model = job.subject.get("id", "") if job.kind == "download" else ""
    alive = job.state not in ("done", "cancelled")
    late = [file for file in job.files if file.done_bytes < file.total_bytes]
    # What is still coming is looked at first.
    shown = [*late, *(file for file in job.files if file.done_bytes >= file.total_bytes)][:MOST_FILES]
    rest = len(job.files) - len(shown)
    lost = words.size(job.done_bytes) if job.done_bytes else ""
    return JobRow(
        id=job.id,
        name=words.shorten(job.title.rpartition("/")[2], 44),
        title=job.title,
        kind=KINDS[job.kind],
        state=job.state,
        text=_text(job, now_s),
        fraction=round(job.done_bytes / job.total_bytes, 4) if job.total_bytes else 0.0,
        problem=job.problem,
        hint=job.hint,
        files=tuple(map(_file, shown)) if alive else (),
        files_text=f"{words.count(len(job.files) - len(late))} of {words.several(len(job.files), 'file')}",
        more=f"and {words.several(rest, 'more file')}" if rest else "",
        go={"waiting": "Pause", "running": "Pause", "paused": "Resume", "failed": "Try again"}.get(job.state, ""),
        can_cancel=alive,
        lost=lost,
        asks=f"{lost} that have come are deleted." if asking == job.id and alive and lost else "",
        can_forget=not alive,
        model=model if job.state == "done" and model in models else "",
        said=_said(job),
    )


def _file(file: JobFile) -> FileRow:
    whole = words.size(file.total_bytes)
    text = whole if file.done_bytes >= file.total_bytes else f"{words.size(file.done_bytes)} of {whole}"
    fraction = round(file.done_bytes / file.total_bytes, 3) if file.total_bytes else 1.0
    return FileRow(name=words.shorten(file.name, 36), whole_name=file.name, text=text, fraction=fraction)


def _text(job: Job, now_s: float) -> str:
    """The line under the bar."""
    far = f"{words.size(job.done_bytes)} of {words.size(job.total_bytes)}" if job.total_bytes else ""
    when = words.ago(job.ended_at, now_s) if job.ended_at else ""
    parts: tuple[str, ...]
    match job.state:
        case "running":
            parts = (far, f"{words.size(int(job.bytes_per_second))}/s", left(job.seconds_left)) if far else ("begins",)
        case "done":
            parts = (words.size(job.total_bytes) if job.total_bytes else "", STATES["done"], when)
        case "cancelled" | "failed":
            parts = (STATES[job.state], when)
        case _:
            parts = (STATES[job.state], far)
    return " · ".join(filter(None, parts))


def left(seconds: float | None) -> str:
    """How long something still takes, as coarse as it can be known; "" where that is not known."""
    if seconds is None:
        return ""
    if seconds < _MINUTE:
        return "less than a minute left"
    if seconds < _HOUR:
        return f"about {round(seconds / _MINUTE)} min left"
    if seconds < _DAY:
        hours, minutes = divmod(round(seconds / _MINUTE), 60)
        return f"about {hours} h {minutes} min left"
    return "more than a day left"


def _said(job: Job) -> str:
    """What is said when the job ends while the page is open."""
    match job.state:
        case "done":
            return f"{job.title} is on this machine now." if job.kind == "download" else f"{KINDS[job.kind]} of {job.title}: done."
        case "failed":
            return f"{KINDS[job.kind]} of {job.title} failed. {job.problem}"
    return ""


def _told(running: int, failed: int) -> str:
    parts = (f"{words.count(running)} running" if running else "", f"{words.count(failed)} failed" if failed else "")
    return ", ".join(filter(None, parts)) or "none running"
