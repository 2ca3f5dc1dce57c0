"""Files as the disk has them: what removing them frees, and whether a path stays within a folder. It follows no link."""

import os
import stat
from collections.abc import Iterable, Iterator
from os.path import realpath
from pathlib import Path


def freed_by(paths: Iterable[Path]) -> int:
    """How many bytes removing all of these frees, folders with all that is in them; what is not there counts nothing.

    A file is freed with its last name: one that has a name elsewhere too stays, and one that is named twice in here counts once.
    """
    names: dict[tuple[int, int], int] = {}
    freed = 0
    for found in _files(paths):
        key = (found.st_dev, found.st_ino)
        names[key] = names.get(key, 0) + 1
        if names[key] == found.st_nlink:
            freed += on_disk(found)
    return freed


def on_disk(found: os.stat_result) -> int:
    """The bytes of a file, without the holes that a download leaves for what is still to come."""
    return min(found.st_size, found.st_blocks * 512) if found.st_blocks else found.st_size


def inside(root: Path, path: Path) -> bool:
    """Whether a path's folder is the root or lies below it, whatever links are on the way; the path itself may be a link."""
    return path.name not in ("", ".", "..") and Path(realpath(path.parent)).is_relative_to(realpath(root))


def reason_against_moving(path: Path) -> str:
    """Why this user cannot take a file or folder away from where it is, "" where nothing speaks against it."""
    try:
        return next((f"{folder} cannot be written to" for folder in (path.parent, *_folders(path)) if not _writable(folder)), "")
    except OSError as error:
        return f"{path}: {error.strerror}"


def open_up(folder: Path) -> None:
    """Make the folders in a folder of ours writable, so that they can be removed. Raises OSError."""
    for path in _folders(folder):
        if not _writable(path):
            path.chmod(stat.S_IRWXU)


def _folders(path: Path) -> Iterator[Path]:
    if stat.S_ISDIR(path.lstat().st_mode):
        yield path
        for folder, names, _ in os.walk(path):
            yield from (child for name in names if not (child := Path(folder, name)).is_symlink())


def _writable(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)


def _files(paths: Iterable[Path | str]) -> Iterator[os.stat_result]:
    for path in paths:
        try:
            found = os.lstat(path)
        except OSError:
            continue
        if stat.S_ISREG(found.st_mode):
            yield found
        elif stat.S_ISDIR(found.st_mode):
            for folder, _, names in os.walk(path):
                yield from _files(os.path.join(folder, name) for name in names)  # noqa: PTH118
