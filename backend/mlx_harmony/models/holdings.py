"""What lies on the disk where models are kept: every model, data set and left-over with its bytes, its revisions and its last use. Pure.

It only looks, and opens no weights. What may go, and what then really goes, is `removal`'s business.
"""

from collections.abc import Iterator
from os.path import realpath
from pathlib import Path
from typing import Literal

from mlx_harmony.models.catalog import Places, looks_like_model, scan
from mlx_harmony.models.disk import freed_by
from mlx_harmony.models.family import family_of
from mlx_harmony.models.hub_layout import Blob, Repository, Snapshot, read_repository, repositories
from mlx_harmony.models.shared_store import users
from mlx_harmony.records import ModelEntry, Record

HoldingKind = Literal["bundled", "model", "dataset", "space", "folder", "adapter"]


class Revision(Record):
    """One snapshot of a repository. `bytes` are all its files; `own_bytes` are freed if only it goes, since what others share stays."""

    commit: str
    path: str
    refs: tuple[str, ...] = ()
    bytes: int = 0
    own_bytes: int = 0
    modified_at: float = 0.0
    last_used_at: float = 0.0

    @property
    def detached(self) -> bool:
        """Whether no branch or tag leads here any more, as after a newer download."""
        return not self.refs


class Holding(Record):
    """One thing that takes room. `id` is the catalogue's for a model; data sets and spaces begin with what they are.

    `root` is the folder that removing it never leaves. `bytes` counts each file once, `incomplete_bytes` are half downloads beside it.
    `family` brings quantisations of one base together. `mlx`: a model that MLX could load, were nothing missing.
    """

    id: str
    kind: HoldingKind
    path: str
    root: str
    bytes: int = 0
    modified_at: float = 0.0
    last_used_at: float = 0.0
    revisions: tuple[Revision, ...] = ()
    incomplete_bytes: int = 0
    problem: str = ""
    mlx: bool = False
    family: str = ""
    bits: int | None = None


def holdings(places: Places, entries: tuple[ModelEntry, ...] | None = None) -> tuple[Holding, ...]:
    """All that these places hold: first the models in the catalogue's order, then what else is in the Hugging Face cache.

    `entries` are the models of these places where they are known already; without them they are looked for.
    """
    entries = scan(places) if entries is None else entries
    cache = places.hub_cache
    homes = (cache, Path(realpath(cache))) if cache else ()
    found = [_of_folder(entry) for entry in entries if not _within(entry.folder, homes)]
    if cache is not None:
        by_repository = {name: entry for entry in entries if (name := _repository_of(entry.folder, homes))}
        hub = [_of_repository(read_repository(path, cache), by_repository.get(path.name)) for path in repositories(cache)]
        taken = {holding.id for holding in found} | {entry.id for entry in by_repository.values()}
        # A repository that is no model of the catalogue keeps its own name, unless a model has that already.
        hub = [each for each in hub if each.mlx or Path(each.path).name in by_repository or each.id not in taken]
        found += sorted(hub, key=lambda holding: holding.kind != "model")
    return tuple(found)


def _within(path: str, homes: tuple[Path, ...]) -> bool:
    """Whether it really lies in the cache, whose own and real path these are."""
    return bool(homes) and Path(realpath(path)).is_relative_to(homes[-1])


def _repository_of(path: str, homes: tuple[Path, ...]) -> str:
    """The name of the repository in which a model of the catalogue lies, "" for none. A repository may itself be a link."""
    for way in (str, realpath):
        folder = Path(way(path))
        for home in homes:
            if folder.is_relative_to(home) and folder != home:
                return folder.relative_to(home).parts[0]
    return ""


def _of_folder(entry: ModelEntry) -> Holding:
    folder = Path(entry.folder)
    # What a setting names may be any folder, however deep.
    files = list(_files(folder)) if looks_like_model(folder) else []
    kind: HoldingKind = "bundled" if entry.source == "bundled" else "adapter" if entry.adapter else "folder"
    return Holding(
        id=entry.id,
        kind=kind,
        path=entry.folder,
        root=str(folder.parent),
        bytes=sum(file.bytes for file in files),
        modified_at=entry.modified_at,
        last_used_at=_last_used(files),
        problem=entry.problem,
        mlx=bool(entry.architecture),
        family=family_of(entry.base or entry.id),
        bits=entry.bits,
    )


def _of_repository(repository: Repository, entry: ModelEntry | None) -> Holding:
    files = (*repository.blobs.values(), *(file for snapshot in repository.snapshots for file in snapshot.own))
    return Holding(
        id=entry.id if entry else repository.id,
        kind=repository.kind,
        path=str(repository.path),
        root=str(repository.cache),
        bytes=sum(file.bytes for file in files),
        modified_at=max((file.modified_at for file in files), default=repository.modified_at),
        last_used_at=_last_used(files),
        revisions=tuple(_revision(repository, snapshot) for snapshot in repository.snapshots),
        incomplete_bytes=sum(repository.incomplete.values()),
        problem=(entry.problem if entry else "") or repository.problem,
        mlx=bool(entry and entry.architecture),
        family=family_of(entry.id if entry else repository.id),
        bits=entry.bits if entry else None,
    )


def _revision(repository: Repository, snapshot: Snapshot) -> Revision:
    files = repository.files_of(snapshot)
    return Revision(
        commit=snapshot.commit,
        path=str(snapshot.path),
        refs=tuple(ref for ref, commit in repository.refs.items() if commit == snapshot.commit),
        bytes=sum(file.bytes for file in files),
        own_bytes=_own_bytes(repository, snapshot),
        modified_at=snapshot.modified_at,
        last_used_at=_last_used(files),
    )


def _own_bytes(repository: Repository, snapshot: Snapshot) -> int:
    if len(repository.snapshots) == 1:
        gone: tuple[Blob, ...] = tuple(repository.blobs.values())
        return freed_by([repository.path, *payloads_freed(gone, repository.cache, frozenset(blob.path for blob in gone))])
    gone = repository.only_in({snapshot.commit})
    payloads = payloads_freed(gone, repository.cache, frozenset(blob.path for blob in gone))
    return freed_by([snapshot.path, *(blob.path for blob in gone), *payloads])


def payloads_freed(blobs: tuple[Blob, ...], cache: Path, gone: frozenset[Path]) -> tuple[Path, ...]:
    """The files of the shared store that these blobs lead to and nobody else does, once `gone` are gone."""
    payloads = dict.fromkeys(blob.payload for blob in blobs if blob.payload is not None)
    return tuple(payload for payload in payloads if (known := users(payload, cache)) and known <= gone)


def _last_used(files: tuple[Blob, ...] | list[Blob]) -> float:
    """When the largest of these files was last read or written: the small ones are read by everyone who only looks."""
    return max(files, key=lambda file: file.bytes).used_at if files else 0.0


def _files(folder: Path) -> Iterator[Blob]:
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        found = path.stat()
        yield Blob(path=path, bytes=found.st_size, modified_at=found.st_mtime, used_at=max(found.st_atime, found.st_mtime))
