"""The tray as shown: each state's words and buttons, what the badge counts, a rate that is 0 where nothing comes."""

import pytest

from mlx_harmony.jobs.records import Job, JobFile, JobState
from mlx_harmony_ui.getting.jobs import MOST_FILES, JobRow, left, tray_of
from mlx_harmony_ui.render import render

NOW = 1_800_000_000.0
GB = 10**9
FILES = (JobFile(name="config.json", done_bytes=400, total_bytes=400), JobFile(name="model.safetensors", done_bytes=GB, total_bytes=4 * GB))
ID = "a" * 16
MODEL = "org/Tiny-4bit"


def job(state: JobState = "running", rate: float = 12e6, left_s: float | None = 250.0, problem: str = "", job_id: str = ID) -> Job:
    return Job(
        id=job_id,
        kind="download",
        title=MODEL,
        state=state,
        done_bytes=GB,
        total_bytes=4 * GB,
        files=FILES,
        bytes_per_second=rate,
        seconds_left=left_s,
        problem=problem,
        ended_at=NOW - 120 if state in ("done", "failed", "cancelled") else None,
        subject={"id": MODEL},
    )


def row(state: JobState, asking: str = "", **more: object) -> JobRow:
    return tray_of((job(state, **more),), {MODEL}, asking, NOW).rows[0]  # type: ignore[arg-type]


def test_a_running_job_tells_how_far_how_fast_and_how_long() -> None:
    running = row("running")
    assert running.text == "1.0 GB of 4.0 GB · 12 MB/s · about 4 min left" and running.fraction == 0.25
    assert (running.go, running.can_cancel, running.can_forget, running.files_text) == ("Pause", True, False, "1 of 2 files")
    assert [file.name for file in running.files] == ["model.safetensors", "config.json"]
    assert [file.text for file in running.files] == ["1.0 GB of 4.0 GB", "400 B"]


def test_a_stall_shows_that_nothing_comes() -> None:
    stalled = row("running", rate=0.0, left_s=None, problem="The hub cannot be reached. It is tried again.")
    assert stalled.text == "1.0 GB of 4.0 GB · 0 B/s" and stalled.problem


@pytest.mark.parametrize(
    ("state", "text", "go"),
    [
        ("waiting", "waits for its turn · 1.0 GB of 4.0 GB", "Pause"),
        ("paused", "paused · 1.0 GB of 4.0 GB", "Resume"),
        ("failed", "failed · 2 minutes ago", "Try again"),
        ("done", "4.0 GB · done · 2 minutes ago", ""),
        ("cancelled", "cancelled · 2 minutes ago", ""),
    ],
)
def test_each_state_has_its_words_and_its_way_on(state: JobState, text: str, go: str) -> None:
    shown = row(state)
    assert (shown.text, shown.go) == (text, go)
    assert shown.can_forget is (state in ("done", "cancelled")) and shown.can_cancel is not shown.can_forget
    assert shown.model == (MODEL if state == "done" else "")
    assert f'data-state="{state}"' in render("jobs", tray=tray_of((job(state),), {MODEL}, "", NOW))


def test_a_model_that_is_gone_again_is_not_offered_for_a_chat() -> None:
    assert tray_of((job("done"),), (), "", NOW).rows[0].model == ""


def test_cancelling_asks_first_where_something_has_come() -> None:
    assert row("running").asks == "" and row("running", asking="other").asks == ""
    assert row("running", asking=ID).asks == "1.0 GB that have come are deleted."
    assert row("done", asking=ID).asks == ""


def test_the_badge_counts_what_runs_and_what_failed() -> None:
    jobs = tuple(job(state, job_id=f"{at:016x}") for at, state in enumerate(("done", "running", "failed", "waiting", "paused")))  # type: ignore[arg-type]
    tray = tray_of(jobs, (), "", NOW)
    assert (tray.count, tray.running, tray.failed, tray.told, tray.over) == (3, 2, 1, "2 running, 1 failed", 1)
    assert tray.fraction == 0.25 and tray.rows[-1].state == "done"
    assert tray_of((), (), "", NOW).told == "none running"
    assert tray.mark == tray_of(jobs, (), "", NOW).mark != tray_of(jobs[1:], (), "", NOW).mark


def test_time_left_is_as_coarse_as_it_can_be_known() -> None:
    said = [left(seconds) for seconds in (None, 20, 250, 3600 * 2 + 600, 100_000)]
    assert said == ["", "less than a minute left", "about 4 min left", "about 2 h 10 min left", "more than a day left"]


def test_names_are_text_and_a_long_list_of_files_is_cut() -> None:
    files = tuple(JobFile(name=f"<b>{at}", done_bytes=1, total_bytes=1) for at in range(MOST_FILES + 3))
    evil = Job(id=ID, kind="download", title="<script>", state="failed", files=files, problem="<img>", subject={})
    html = render("jobs", tray=tray_of((evil,), (), "", NOW))
    assert "<script" not in html and "<img" not in html and "<b>5" not in html and "and 3 more files" in html
