"""Which models on this machine have the same tokens, so that a smaller one may guess for a larger. Reads tokenizer.json files only.

The process of the model that answers tries the two together before they are used.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from mlx_harmony.models.reading import opened
from mlx_harmony.records import ModelEntry

TOKENIZER = "tokenizer.json"


class _Version(NamedTuple):
    """A tokenizer's file in one state."""

    path: str
    size: int
    modified_ns: int


def drafts_of(entries: Iterable[ModelEntry]) -> dict[str, tuple[str, ...]]:
    """By its id, the models that may guess for each: smaller, sound, with an identical tokenizer, the largest first.

    Who guesses for a model guesses for its adapters too; an adapter guesses for nobody.
    """
    sound = [entry for entry in entries if not entry.problem]
    drafts: dict[str, tuple[str, ...]] = {}
    for kin in _kin([entry for entry in sound if not entry.adapter]):
        kin.sort(key=lambda entry: entry.bytes, reverse=True)
        for entry in kin:
            drafts[entry.id] = tuple(each.id for each in kin if each.bytes < entry.bytes)
    return drafts | {entry.id: drafts.get(entry.base, ()) for entry in sound if entry.adapter}


def _kin(entries: list[ModelEntry]) -> list[list[ModelEntry]]:
    """The models in groups of the same tokenizer. Only files of the same size are read, since others differ anyway."""
    versions = sorted(((version, entry) for entry in entries if (version := _version(entry))), key=lambda pair: pair[0].size)
    groups: dict[bytes, list[ModelEntry]] = defaultdict(list)
    for _, same in groupby(versions, key=lambda pair: pair[0].size):
        alike = list(same)
        for version, entry in alike if len(alike) > 1 else ():
            if digest := _digest(version):
                groups[digest].append(entry)
    return list(groups.values())


def _version(entry: ModelEntry) -> _Version | None:
    path = Path(entry.path, TOKENIZER)
    try:
        found = path.stat()
    except OSError:
        return None
    return _Version(str(path), found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=1024)
def _digest(version: _Version) -> bytes:
    """The hash of a file's content, b"" where it cannot be read."""
    try:
        with opened(Path(version.path)) as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return b""
