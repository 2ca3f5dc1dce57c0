"""Opening a model's files to look at them, without their time of last use being moved: that is for those who use the model."""

import os
from io import BufferedReader
from pathlib import Path

_QUIET = getattr(os, "O_NOATIME", 0)


def opened(path: Path) -> BufferedReader:
    """The file, open for reading. Raises OSError."""
    return open(path, "rb", opener=_quietly)


def _quietly(path: str, flags: int) -> int:
    try:
        return os.open(path, flags | _QUIET)
    except PermissionError:
        # Only a file's owner may ask for quiet.
        return os.open(path, flags)
