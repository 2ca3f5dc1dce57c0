"""A time limit on one call of foreign code: a chat template can loop for ever, and only this process is to suffer from it."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from mlx_harmony.errors import InvalidRequest

RENDER_S = 10.0
HARD_EXIT = 70


@contextmanager
def render_deadline(limit_s: float = RENDER_S, hard_s: float = 2 * RENDER_S) -> Iterator[None]:
    """Raise InvalidRequest in the main thread after `limit_s`; end the process after `hard_s`, where no Python code came to run.

    Only for a worker process: it uses SIGALRM and may call os._exit.
    """

    def overdue(_signal: int, _frame: FrameType | None) -> None:
        raise InvalidRequest(
            f"The model's chat template did not finish within {limit_s:g} seconds.",
            hint="Shorten the chat; if that does not help, the model's template is broken.",
        )

    hard = threading.Timer(hard_s, os._exit, (HARD_EXIT,))
    hard.daemon = True
    before = signal.signal(signal.SIGALRM, overdue)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    hard.start()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        hard.cancel()
