"""What is written down of each thing in the trash, before anything of it is moved: so that after a crash it is known what was under way.

It writes and reads these files, and moves nothing.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from mlx_harmony.models.holdings import HoldingKind
from mlx_harmony.records import Record
from mlx_harmony.settings import write_file

SUFFIX = ".json"
LARGEST_BYTES = 64 * 1024 * 1024

Stage = Literal["removing", "removed", "restoring", "emptying"]


class Journal(Record):
    """One thing on its way into the trash, in it, or out of it. Its files lie in `place`, numbered as `moves` and `keeps` are.

    `model` is the holding's id; `freed_bytes` is what its removal promised. Times are seconds since the epoch.
    """

    id: str
    stage: Stage
    place: str
    root: str
    model: str
    kind: HoldingKind
    path: str
    whole: bool
    moves: tuple[str, ...]
    keeps: tuple[str, ...]
    revisions: tuple[str, ...]
    refs: tuple[str, ...]
    freed_bytes: int
    removed_at: float

    @property
    def folder(self) -> Path:
        """Where its files lie while it is in the trash."""
        return Path(self.place, self.id)

    def moved(self) -> Iterator[tuple[Path, Path]]:
        """Each path with its place in the trash, in the order in which they go."""
        return ((Path(path), self.folder / f"{at:06d}") for at, path in enumerate(self.moves))

    def kept(self) -> Iterator[tuple[Path, Path]]:
        """The same of what stays and has a second name in the trash."""
        return ((Path(path), self.folder / f"keep-{at:06d}") for at, path in enumerate(self.keeps))


def write_journal(folder: Path, journal: Journal) -> None:
    """Write it down for good. Raises StorageError."""
    write_file(folder / f"{journal.id}{SUFFIX}", msgspec.to_builtins(journal))
    sync_folder(folder)


def read_journals(folder: Path) -> Iterator[Journal]:
    """Every journal that can be read, the oldest first; any other file is left alone."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            if path.stat().st_size <= LARGEST_BYTES:
                journal = msgspec.json.decode(path.read_bytes(), type=Journal)
                if path.name == f"{journal.id}{SUFFIX}" and journal.id.replace("-", "").isalnum():
                    yield journal
        except (OSError, ValueError):
            continue


def remove_journal(folder: Path, journal: Journal) -> None:
    """Forget it. Raises OSError."""
    (folder / f"{journal.id}{SUFFIX}").unlink(missing_ok=True)
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Have the folder's names on the disk before going on. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
