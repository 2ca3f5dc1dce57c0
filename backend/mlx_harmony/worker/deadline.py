"""A last limit on rendering a prompt: a template or tokenizer that hangs in one long call of C cannot be interrupted, only left.

Only for a worker process, whose end costs nothing but its model. `templates` limits Python loops itself, well before this.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

RENDER_S = 30.0
EXIT_CODE = 70


@contextmanager
def render_deadline(limit_s: float = RENDER_S) -> Iterator[None]:
    """End the process when what stands inside takes longer than `limit_s` seconds."""
    overdue = threading.Timer(limit_s, os._exit, (EXIT_CODE,))
    overdue.daemon = True
    overdue.start()
    try:
        yield
    finally:
        overdue.cancel()
