"""One repository of the Hugging Face cache, read whole: its revisions, the blobs each of them uses, its refs and its half downloads. Pure.

huggingface_hub's `scan_cache_dir` is the tests' oracle. It gives up a repository for one broken link and the whole cache for one file that
cannot be read, and those are what a person looks for who cleans up; so here they are told of, and the rest is read all the same.
"""

import os
import stat
from collections.abc import Collection, Iterator
from os.path import realpath
from pathlib import Path
from typing import Literal

from mlx_harmony.models.disk import on_disk
from mlx_harmony.models.shared_store import stored
from mlx_harmony.records import Record

RepositoryKind = Literal["model", "dataset", "space"]
KINDS: dict[str, RepositoryKind] = {"models": "model", "datasets": "dataset", "spaces": "space"}
INCOMPLETE = ".incomplete"
NO_SNAPSHOT = "Its download is not complete: no snapshot of it is here."
LONGEST_REVISION = 200
IGNORED = (".DS_Store", "Thumbs.db", "desktop.ini")


class Blob(Record):
    """A file that snapshots link to. `payload` is where it lies in the cache's shared store, None where it is a file itself."""

    path: Path
    bytes: int
    modified_at: float
    used_at: float
    payload: Path | None = None


class Snapshot(Record):
    """One revision's folder. `blobs` are the names of those it links to, `own` the files that lie in the folder itself."""

    commit: str
    path: Path
    blobs: frozenset[str]
    own: tuple[Blob, ...]
    modified_at: float
    missing: str = ""


class Repository(Record):
    """What is in a repository's folder. `refs` lead from names to commits; `problem` is the first thing that is wrong with it."""

    id: str
    kind: RepositoryKind
    path: Path
    cache: Path
    snapshots: tuple[Snapshot, ...] = ()
    refs: dict[str, str] = {}
    blobs: dict[str, Blob] = {}
    incomplete: dict[str, int] = {}
    modified_at: float = 0.0
    problem: str = ""

    def files_of(self, snapshot: Snapshot) -> tuple[Blob, ...]:
        """All the files of a revision, each once."""
        return (*(self.blobs[name] for name in sorted(snapshot.blobs)), *snapshot.own)

    def only_in(self, commits: Collection[str]) -> tuple[Blob, ...]:
        """The blobs that these revisions use and no other does."""
        used = [snapshot.blobs for snapshot in self.snapshots if snapshot.commit in commits]
        stay = [snapshot.blobs for snapshot in self.snapshots if snapshot.commit not in commits]
        return tuple(self.blobs[name] for name in sorted(frozenset().union(*used) - frozenset().union(*stay)))


def repositories(cache: Path) -> Iterator[Path]:
    """The folders of the cache that are repositories, by name."""
    try:
        names = sorted(path.name for path in cache.iterdir())
    except OSError:
        return
    for name in names:
        kind, _, rest = name.partition("--")
        if kind in KINDS and rest and name.isprintable() and (cache / name).is_dir():
            yield cache / name


def read_repository(path: Path, cache: Path) -> Repository:
    """What is in it; what cannot be read is left out and told in `problem`, never raised."""
    prefix, _, rest = path.name.partition("--")
    name = "/".join(rest.split("--", 1)) if prefix == "models" else f"{prefix}/{'/'.join(rest.split('--', 1))}"
    reading = _Reading(path, cache)
    blobs, incomplete = reading.blobs()
    snapshots = reading.snapshots(blobs)
    refs = reading.refs()
    missing = next((f"Its file {each.missing} is missing. Download it again." for each in snapshots if each.missing), "")
    astray = next((f"Its revision {ref} is not here." for ref, commit in refs.items() if all(commit != s.commit for s in snapshots)), "")
    return Repository(
        id=name,
        kind=KINDS[prefix],
        path=path,
        cache=cache,
        snapshots=snapshots,
        refs=refs,
        blobs=blobs,
        incomplete=incomplete,
        modified_at=path.stat().st_mtime if path.exists() else 0.0,
        problem=reading.problem or missing or ("" if snapshots else NO_SNAPSHOT) or astray,
    )


class _Reading:
    """A repository's folder while it is read, and what could not be."""

    def __init__(self, path: Path, cache: Path) -> None:
        self._path = path
        self._cache = cache
        self.problem = "Its folder is a link that leads elsewhere." if path.is_symlink() else ""

    def blobs(self) -> tuple[dict[str, Blob], dict[str, int]]:
        blobs: dict[str, Blob] = {}
        incomplete: dict[str, int] = {}
        for entry in self._entries("blobs"):
            if entry.name.endswith(INCOMPLETE):
                incomplete[entry.name] = on_disk(entry.stat(follow_symlinks=False))
            elif (blob := _blob(Path(entry.path))) is not None:
                payload = stored(blob.path, self._cache) if entry.is_symlink() else None
                if payload is not None or not entry.is_symlink():
                    blobs[entry.name] = Blob(
                        path=blob.path, bytes=blob.bytes, modified_at=blob.modified_at, used_at=blob.used_at, payload=payload
                    )
        return blobs, incomplete

    def snapshots(self, blobs: dict[str, Blob]) -> tuple[Snapshot, ...]:
        found = sorted(self._entries("snapshots"), key=lambda entry: entry.name)
        return tuple(self._snapshot(Path(entry.path), blobs) for entry in found if entry.is_dir(follow_symlinks=False))

    def refs(self) -> dict[str, str]:
        refs: dict[str, str] = {}
        root = self._path / "refs"
        for folder, folders, names in os.walk(root, onerror=self._told):
            folders.sort()
            for name in sorted(names):
                path = Path(folder, name)
                if name not in IGNORED and not path.is_symlink():
                    try:
                        with path.open(encoding="utf-8") as file:
                            refs[path.relative_to(root).as_posix()] = file.read(LONGEST_REVISION).strip()
                    except (OSError, UnicodeDecodeError):
                        self.problem = self.problem or f"Its ref {name} cannot be read."
        return refs

    def _snapshot(self, path: Path, blobs: dict[str, Blob]) -> Snapshot:
        used: set[str] = set()
        own: list[Blob] = []
        missing = ""
        near = str(self._path / "blobs")
        home = realpath(near)
        for folder, folders, names in os.walk(path, onerror=self._told):
            for child in (*names, *(each for each in folders if Path(folder, each).is_symlink())):
                file = os.path.join(folder, child)  # noqa: PTH118
                if not os.path.islink(file):  # noqa: PTH114
                    own += [blob] if (blob := _blob(Path(file))) is not None and child not in IGNORED else []
                    continue
                to, name = os.path.split(os.path.normpath(os.path.join(folder, os.readlink(file))))  # noqa: PTH115, PTH118
                if name in blobs and (to == near or realpath(to) == home):
                    used.add(name)
                elif not os.path.exists(file):  # noqa: PTH110
                    missing = missing or Path(file).relative_to(path).as_posix()
        modified = max((blob.modified_at for blob in (*own, *(blobs[name] for name in used))), default=path.stat().st_mtime)
        return Snapshot(commit=path.name, path=path, blobs=frozenset(used), own=tuple(own), modified_at=modified, missing=missing)

    def _entries(self, name: str) -> list[os.DirEntry[str]]:
        folder = self._path / name
        if folder.is_symlink():
            self.problem = self.problem or f"Its folder {name} is a link that leads elsewhere."
            return []
        try:
            with os.scandir(folder) as entries:
                return [entry for entry in entries if entry.name not in IGNORED]
        except FileNotFoundError:
            return []
        except OSError as error:
            self._told(error)
            return []

    def _told(self, error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            self.problem = self.problem or f"Its folder {Path(str(error.filename)).name} cannot be read: {error.strerror}."


def _blob(path: Path) -> Blob | None:
    """The file, or what a link leads to; None where that is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return Blob(path=path, bytes=found.st_size, modified_at=found.st_mtime, used_at=max(found.st_atime, found.st_mtime))
