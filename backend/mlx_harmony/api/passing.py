"""Large files on their way through the app: each lies in a private folder for as long as it takes to come in or to be fetched.

Knows nothing of what is in them.
"""

import time
import uuid
from contextlib import suppress
from pathlib import Path

from mlx_harmony.errors import StorageError
from mlx_harmony.records import Record

FOLDER = "passing"
"""Its place in the app's home."""
LEFT_OVER_S = 3600.0
"""A file untouched for longer was left behind: never fetched, or its program was killed."""


class Waiting(Record):
    """A file that waits to be fetched, under the name it is given then."""

    path: Path
    name: str


class Passing:
    """The folder, and which of its files may be fetched by the id that was told, for `patience_s`."""

    patience_s = LEFT_OVER_S

    def __init__(self, home: str) -> None:
        self._folder = Path(home, FOLDER)
        self._waiting: dict[str, Waiting] = {}
        with suppress(OSError):
            self._sweep()

    def place(self) -> Path:
        """Where a new file may lie; what was left behind is taken away first. Raises StorageError."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._sweep()
        except OSError as error:
            raise StorageError(f"There is no place for the file: {error.strerror}.", hint="Look at the disk of the app's home.") from error
        return self._folder / uuid.uuid4().hex

    def offer(self, path: Path, name: str) -> str:
        """Let the file be fetched under that name; its id."""
        self._waiting[path.name] = Waiting(path=path, name=name)
        return path.name

    def take(self, file_id: str) -> Waiting | None:
        """The file of that id, for the one who fetches it and takes it away; None where somebody did, or it was left too long."""
        found = self._waiting.pop(file_id, None)
        return found if found is not None and found.path.is_file() else None

    def forget(self, file_id: str) -> None:
        """Nobody fetched it in time."""
        if (found := self.take(file_id)) is not None:
            found.path.unlink(missing_ok=True)

    def _sweep(self) -> None:
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > LEFT_OVER_S:
                    path.unlink()
