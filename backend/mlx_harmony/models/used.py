"""When each model was last asked for on this machine: home/used.json, by folder. Knows no ids, which may come and go.

Several programs may share the file; where two write at once, one of them is believed.
"""

import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from mlx_harmony.errors import StorageError
from mlx_harmony.settings import LARGEST_FILE_BYTES, write_file

USED_FILE = "used.json"
AGAIN_S = 300.0
"""A model that is asked again and again is written down so often."""


class Used:
    """The file of one home folder, for any thread. It may be lost without harm: what cannot be read or written is left."""

    def __init__(self, home: str) -> None:
        self._path = Path(home, USED_FILE)
        self._noting = threading.Lock()
        self._noted: dict[str, float] = {}

    def note(self, folder: str, now: float | None = None) -> None:
        """Write down that a model is asked for, and forget models whose folder is gone."""
        now = time.time() if now is None else now
        with self._noting:
            if now - self._noted.get(folder, -AGAIN_S) < AGAIN_S:
                return
            self._noted[folder] = now
            kept: dict[str, Any] = {known: at for known, at in self.times().items() if Path(known).is_dir()}
            with suppress(StorageError):
                write_file(self._path, kept | {folder: now})

    def times(self) -> dict[str, float]:
        """Seconds since 1970 by folder."""
        try:
            with self._path.open("rb") as file:
                return msgspec.json.decode(file.read(LARGEST_FILE_BYTES), type=dict[str, float])
        except (OSError, ValueError, RecursionError):
            return {}
