"""The steps by which files go into the trash and come back; each can be taken again after a crash. They know only the journal.

A move was made when its path in the trash is there. So the same steps end whatever was begun, wherever it stopped.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from os.path import lexists
from pathlib import Path

from mlx_harmony.models.disk import inside
from mlx_harmony.models.shared_store import enlist, stored
from mlx_harmony.models.trash_journal import Journal, sync_folder

Rename = Callable[[Path, Path], None]


def keep(journal: Journal) -> None:
    """Give what others need as well a second name in the trash, where the disk can do that: then it stays for as long as one needs it."""
    for path, held in journal.kept():
        with suppress(OSError):
            os.link(path, held, follow_symlinks=False)


def take_in(journal: Journal, rename: Rename) -> None:
    """Move into the trash what is not there yet. Raises OSError."""
    for path, held in journal.moved():
        if not lexists(held):
            rename(path, held)


def put_back(journal: Journal, rename: Rename) -> None:
    """Move out of the trash what is still there, the last first; what is there again already stays. Raises OSError."""
    for path, held in (*journal.kept(), *reversed(list(journal.moved()))):
        if lexists(held) and not lexists(path):
            if not inside(Path(journal.root), path):
                raise OSError(f"{path} leads out of {journal.root}")
            path.parent.mkdir(parents=True, exist_ok=True)
            rename(held, path)
    _enlist_again(journal)
    for folder in {path.parent for path, _ in journal.moved() if path.parent.is_dir()}:
        sync_folder(folder)


def what_is_in_the_way(journal: Journal) -> str:
    """Why what is in the trash cannot come back, "" where it can."""
    root = Path(journal.root)
    if not root.is_dir():
        return f"The folder {root} is not there."
    if not journal.folder.is_dir() and journal.stage == "removed":
        return "Its files are no longer in the trash."
    for path, held in journal.moved():
        if lexists(held) and not inside(root, path):
            return f"{path} leads out of {root} by now."
        if lexists(held) and lexists(path) and not _gives_way(journal, path, held):
            return f"{path} is there again."
    lost = next((path for path, held in journal.kept() if not lexists(held) and not lexists(path)), None)
    return f"{lost}, which it needs, is no longer there." if lost and journal.stage == "removed" else ""


def _gives_way(journal: Journal, path: Path, held: Path) -> bool:
    """Whether what is at its path by now may stay there: a ref that leads on, or the same file downloaded again."""
    relative = path.relative_to(journal.root).parts
    if "refs" in relative[:2]:
        return True
    is_blob = "blobs" in relative[:2] and not path.is_dir()
    return is_blob and path.exists() and (held.is_symlink() or path.stat().st_size == held.stat().st_size)


def _enlist_again(journal: Journal) -> None:
    """Name the blobs that came back in the lists of the shared store: somebody may have tidied them up meanwhile."""
    cache = Path(journal.root)
    for path, _ in journal.moved():
        blobs = (path / "blobs").glob("*") if journal.whole and journal.kind in ("model", "dataset", "space") else (path,)
        for blob in blobs:
            if blob.is_symlink() and (payload := stored(blob, cache)) is not None:
                enlist(blob, payload, cache)
