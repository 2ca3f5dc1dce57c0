"""The store in which huggingface_hub keeps a file once for all repositories of its cache, from version 2 on; links lead there from blobs.

Its layout: `blobs/<two digits>/<sum>` under the cache, and beside each file `<sum>.refs`, which lists the links that use it. The list is a
hint: a link counts that is there and leads to the file, and a file without a list belongs to nobody who could be asked.
"""

import os
import re
from os.path import realpath
from pathlib import Path

_SUM = re.compile("[0-9a-f]{64}")
_LONGEST_LIST = 4 * 1024 * 1024


def stored(blob: Path, cache: Path) -> Path | None:
    """The file of the store that a repository's blob leads to; None where the blob is a file itself, or leads elsewhere."""
    try:
        target = Path(os.path.normpath(blob.parent / blob.readlink()))
    except OSError:
        return None
    known = _SUM.fullmatch(target.name) and target.parent.name == target.name[:2]
    return target if known and realpath(target.parent.parent) == realpath(cache / "blobs") else None


def users(payload: Path, cache: Path) -> frozenset[Path] | None:
    """The blobs that lead to a file of the store; None where that is not known, and the file has to stay."""
    try:
        with _list_of(payload).open(encoding="utf-8") as file:
            lines = file.read(_LONGEST_LIST).splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    named = (cache / line for line in lines if _is_blob(Path(line)))
    return frozenset(blob for blob in named if stored(blob, cache) == payload)


def enlist(blob: Path, payload: Path, cache: Path) -> None:
    """Say in the list of a stored file that a blob leads there, unless it says so. Raises OSError."""
    line = f"{blob.parent.parent.name}/{blob.parent.name}/{blob.name}"
    manifest = _list_of(payload)
    if manifest.is_file() and line not in manifest.read_text("utf-8").splitlines():
        with manifest.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


def _list_of(payload: Path) -> Path:
    return payload.with_name(f"{payload.name}.refs")


def _is_blob(path: Path) -> bool:
    return not path.is_absolute() and len(path.parts) == 3 and path.parts[1] == "blobs" and ".." not in path.parts
