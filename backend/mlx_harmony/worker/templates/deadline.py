"""Ends Python code that runs too long, in whatever thread: a hostile template's loops, above all. Cannot end one long call into C."""

import ctypes
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class DeadlineExceeded(Exception):
    """The code ran longer than it was given."""


def within(limit_s: float, work: Callable[[], T]) -> T:
    """What `work` returns. Raises DeadlineExceeded inside it, and so out of it, after `limit_s` seconds."""
    thread = ctypes.c_ulong(threading.get_ident())
    lock = threading.Lock()
    finished = False

    def interrupt() -> None:
        with lock:
            if not finished:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(DeadlineExceeded))

    timer = threading.Timer(limit_s, interrupt)
    timer.daemon = True
    timer.start()
    try:
        return work()
    finally:
        with lock:
            finished = True
        # An interrupt that came too late for the work strikes in this call at the latest, not whoever runs next. Taking it back
        # (SetAsyncExc with NULL) is no way: CPython 3.11 then sees a pending interrupt for ever, and loops for ever while traced.
        timer.cancel()
