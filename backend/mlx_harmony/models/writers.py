"""Whether somebody writes to a repository of the Hugging Face cache now: a lock that is held, a half download that still grows."""

import fcntl
import os
import time
from pathlib import Path

from mlx_harmony.models.hub_layout import INCOMPLETE

FRESH_S = 60.0
"""A half download that nothing was added to for so long is one that was left."""


def is_written_to(repository: Path, cache: Path) -> bool:
    """Whether another program downloads into it; this one's own downloads count like any other's."""
    return _grows(repository / "blobs") or any(_is_held(path) for path in (cache / ".locks" / repository.name).glob("*.lock"))


def _grows(blobs: Path) -> bool:
    now = time.time()
    try:
        return any(now - path.stat().st_mtime < FRESH_S for path in blobs.glob(f"*{INCOMPLETE}"))
    except OSError:
        return False


def _is_held(lock: Path) -> bool:
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return isinstance(error, BlockingIOError)
    finally:
        os.close(descriptor)
    return False
