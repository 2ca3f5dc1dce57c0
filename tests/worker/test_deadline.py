"""Rendering that hangs ends the process, not the patience of whoever waits; rendering that works leaves no timer behind."""

import subprocess
import sys
import threading

import pytest

from mlx_harmony.worker.deadline import EXIT_CODE, render_deadline

HANGING = """
import time
from mlx_harmony.worker.deadline import render_deadline
with render_deadline(0.1):
    time.sleep(30)
"""


def test_a_rendering_that_hangs_ends_the_process() -> None:
    assert subprocess.run([sys.executable, "-c", HANGING], timeout=20).returncode == EXIT_CODE


def test_nothing_is_left_of_a_deadline_that_was_met() -> None:
    before = threading.active_count()
    with render_deadline(60):
        assert threading.active_count() == before + 1
    with pytest.raises(ValueError, match="as it was"), render_deadline(60):
        raise ValueError("as it was")
    timers = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
    for timer in timers:
        timer.join(5)
    assert threading.active_count() <= before
