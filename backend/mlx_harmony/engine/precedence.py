"""Who goes first where processor cores are scarce: the models' processes before the server's own thread. Linux only; elsewhere nothing.

A worker wakes the server with each token, and Linux would let the woken one run at once, often in place of the very thread that is about
to give the device its next step. As a batch thread the server waits until that one pauses, which is soon, and still gets its fair share.
"""

import os
import sys
from contextlib import suppress


def give_way() -> None:
    """From now on the calling thread, and those it starts, take no core from whoever wakes them. A policy that somebody chose stays."""
    if sys.platform == "linux" and os.sched_getscheduler(0) == os.SCHED_OTHER:
        _set(0, os.SCHED_BATCH)


def go_first(pid: int) -> None:
    """A process that was just started by a thread that gives way does not itself do so."""
    if sys.platform == "linux" and os.sched_getscheduler(0) == os.SCHED_BATCH:
        _set(pid, os.SCHED_OTHER)


def _set(pid: int, policy: int) -> None:
    if sys.platform == "linux":
        # A container may forbid it, and the process may have ended already.
        with suppress(OSError):
            os.sched_setscheduler(pid, policy, os.sched_param(0))
