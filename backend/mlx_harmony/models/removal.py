"""What a removal takes away, told before anything is touched: the files that go, the bytes that are freed, and why something may not go.

It reads the folders again, changes nothing, and names only paths that lie within the holding's root. Moving them is `trash`'s business.
"""

import shutil
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from os.path import realpath
from pathlib import Path
from typing import NamedTuple

from mlx_harmony.errors import InvalidRequest, ModelNotFound, StorageError, Unavailable
from mlx_harmony.models.catalog import looks_like_model
from mlx_harmony.models.disk import freed_by, inside, reason_against_moving
from mlx_harmony.models.holdings import Holding, HoldingKind, payloads_freed
from mlx_harmony.models.hub_layout import Blob, Repository, read_repository
from mlx_harmony.models.writers import is_written_to
from mlx_harmony.records import ModelEntry, Record

SHORTEST_COMMIT = 6


class Selected(Record):
    """What somebody wants gone: all of a holding, one revision of it (commit, its beginning, or a ref), or its half downloads only."""

    id: str
    revision: str = ""
    incomplete_only: bool = False


class RemovalItem(Record):
    """What goes of one holding. `moves` are the paths that go, in order; `keeps` stay for others, and restoring needs them too.

    `revisions` are the commits that go, `refs` what led to them; `whole`: nothing of the holding stays.
    """

    id: str
    kind: HoldingKind
    path: str
    root: str
    whole: bool
    moves: tuple[str, ...]
    keeps: tuple[str, ...] = ()
    revisions: tuple[str, ...] = ()
    refs: tuple[str, ...] = ()
    incomplete_bytes: int = 0
    freed_bytes: int = 0


class Removal(Record):
    """All that goes. `freed_bytes` are freed once the trash is emptied; `free_bytes_before` is the free space of the disks it lies on."""

    selection: tuple[Selected, ...]
    items: tuple[RemovalItem, ...]
    freed_bytes: int
    free_bytes_before: int

    @property
    def free_bytes_after(self) -> int:
        return self.free_bytes_before + self.freed_bytes


class _Wish(NamedTuple):
    """The selections of one holding together."""

    whole: bool
    revisions: tuple[str, ...]
    incomplete: bool


def plan(holdings: Sequence[Holding], selection: Iterable[Selected]) -> Removal:
    """What removing the selection takes away.

    Raises ModelNotFound for an id that is not here, InvalidRequest for a revision that is not and for what may not go, Unavailable while
    somebody downloads into it, StorageError for files that this user may not move.
    """
    selected = tuple(dict.fromkeys(selection))
    if not selected:
        raise InvalidRequest("Nothing is selected.", hint="Name a model.", param="id")
    by_id = {holding.id: holding for holding in holdings}
    gone: set[Path] = set()
    items = tuple(_item(_held(name, by_id), _wish(name, selected), holdings, gone) for name in dict.fromkeys(each.id for each in selected))
    return Removal(
        selection=selected,
        items=items,
        freed_bytes=sum(item.freed_bytes for item in items),
        free_bytes_before=_free_bytes(items),
    )


def models_in(removal: Removal, entries: Iterable[ModelEntry]) -> tuple[str, ...]:
    """The ids of the catalogue's models whose files go, also of adapters whose base model does."""
    gone = [Path(realpath(path)) for item in removal.items for path in item.moves]

    def goes(folder: str) -> bool:
        return any(Path(realpath(folder)).is_relative_to(path) for path in gone)

    return tuple(entry.id for entry in entries if goes(entry.path) or goes(entry.folder))


def _held(name: str, by_id: dict[str, Holding]) -> Holding:
    if name not in by_id:
        near = get_close_matches(name, by_id, 3) or list(by_id)
        shown = name if len(name) <= 100 else name[:100] + "…"
        raise ModelNotFound(f"There is no {shown!r} on this machine.", hint=f"Known: {', '.join(near)}.", param="id")
    return by_id[name]


def _wish(name: str, selected: tuple[Selected, ...]) -> _Wish:
    own = [each for each in selected if each.id == name]
    return _Wish(
        whole=any(not each.revision and not each.incomplete_only for each in own),
        revisions=tuple(each.revision for each in own if each.revision),
        incomplete=any(each.incomplete_only for each in own),
    )


def _item(holding: Holding, wish: _Wish, holdings: Sequence[Holding], gone: set[Path]) -> RemovalItem:
    if holding.kind == "bundled":
        raise InvalidRequest("The Starter comes with the program and cannot be deleted.", hint="Leave it out.", param="id")
    item = _of_folder(holding, wish, holdings) if holding.kind in ("folder", "adapter") else _of_repository(holding, wish, gone)
    for path in map(Path, item.moves):
        if not inside(Path(item.root), path):
            raise _astray(holding, path)
        if reason := reason_against_moving(path):
            hint = "It belongs to another user, or the disk is read-only. Nothing was changed."
            raise StorageError(f"{holding.id} cannot be deleted: {reason}.", hint=hint)
    return item


def _of_folder(holding: Holding, wish: _Wish, holdings: Sequence[Holding]) -> RemovalItem:
    folder = Path(holding.path)
    if not wish.whole:
        what = "half downloads" if wish.incomplete else "revisions"
        raise InvalidRequest(f"{holding.id} is a folder and has no {what}.", hint="Delete it whole, or leave it.", param="id")
    if folder.is_symlink():
        raise _astray(holding, folder)
    precious = [Path.home(), *(Path(other.path) for other in holdings if other is not holding), *(Path(other.root) for other in holdings)]
    inner = [path for path in precious if path != folder.parent and path.resolve().is_relative_to(folder.resolve())]
    if inner or not looks_like_model(folder):
        why = f"{inner[0]} lies in its folder" if inner else "its folder holds no model"
        raise InvalidRequest(f"{holding.id} cannot be deleted from here: {why}.", hint=f"Look at {folder} yourself.", param="id")
    return RemovalItem(
        id=holding.id,
        kind=holding.kind,
        path=holding.path,
        root=holding.root,
        whole=True,
        moves=(holding.path,),
        freed_bytes=freed_by([folder]),
    )


def _of_repository(holding: Holding, wish: _Wish, gone: set[Path]) -> RemovalItem:
    folder, cache = Path(holding.path), Path(holding.root)
    repository = read_repository(folder, cache)
    if folder.is_symlink() or any((folder / name).is_symlink() for name in ("blobs", "snapshots", "refs")):
        raise _astray(holding, folder)
    commits = {_commit(repository, holding, revision) for revision in wish.revisions}
    if is_written_to(folder, cache):
        hint = "Wait until that has ended, or stop it; a minute after it has stopped, what it left can be deleted."
        raise Unavailable(f"{holding.id} is being downloaded at this moment.", hint=hint)
    whole = wish.whole or (bool(commits) and len(commits) == len(repository.snapshots))
    if not whole and not commits and not repository.incomplete:
        raise InvalidRequest(f"{holding.id} has no half downloads.", hint="Leave it out.", param="id")
    return _whole(holding, repository, gone) if whole else _in_part(holding, repository, commits, wish.incomplete, gone)


def _commit(repository: Repository, holding: Holding, revision: str) -> str:
    """The commit that a revision means. Raises InvalidRequest where it means none, or several."""
    commits = [snapshot.commit for snapshot in repository.snapshots]
    if (named := repository.refs.get(revision, revision)) in commits:
        return named
    begun = [commit for commit in commits if len(revision) >= SHORTEST_COMMIT and commit.startswith(revision)]
    if len(begun) != 1:
        what = f"{len(begun)} revisions that begin with" if begun else "no revision"
        hint = f"It has: {', '.join(commits)}." if commits else "It has none."
        raise InvalidRequest(f"{holding.id} has {what} {revision[:100]!r}.", hint=hint, param="revision")
    return begun[0]


def _whole(holding: Holding, repository: Repository, gone: set[Path]) -> RemovalItem:
    blobs = tuple(repository.blobs.values())
    payloads, kept = _payloads(blobs, (), repository, gone)
    moves = (repository.path, *payloads)
    return RemovalItem(
        id=holding.id,
        kind=holding.kind,
        path=holding.path,
        root=holding.root,
        whole=True,
        moves=tuple(map(str, moves)),
        keeps=tuple(map(str, kept)),
        revisions=tuple(snapshot.commit for snapshot in repository.snapshots),
        refs=tuple(repository.refs),
        incomplete_bytes=sum(repository.incomplete.values()),
        freed_bytes=freed_by(moves),
    )


def _in_part(holding: Holding, repository: Repository, commits: set[str], incomplete: bool, gone: set[Path]) -> RemovalItem:
    """Refs first and blobs last, so that whoever reads meanwhile finds no ref or link that leads to nothing."""
    going = [snapshot for snapshot in repository.snapshots if snapshot.commit in commits]
    blobs = repository.only_in(commits)
    used = {name for snapshot in going for name in snapshot.blobs}
    shared = tuple(repository.blobs[name] for name in sorted(used - {blob.path.name for blob in blobs}))
    payloads, kept = _payloads(blobs, shared, repository, gone)
    refs = tuple(ref for ref, commit in repository.refs.items() if commit in commits)
    halves = tuple(repository.incomplete) if incomplete else ()
    moves = (
        *(repository.path / "refs" / ref for ref in refs),
        *(snapshot.path for snapshot in going),
        *(blob.path for blob in blobs),
        *(repository.path / "blobs" / name for name in halves),
        *payloads,
    )
    return RemovalItem(
        id=holding.id,
        kind=holding.kind,
        path=holding.path,
        root=holding.root,
        whole=False,
        moves=tuple(map(str, moves)),
        keeps=tuple(str(path) for path in (*(blob.path for blob in shared), *kept)),
        revisions=tuple(snapshot.commit for snapshot in going),
        refs=refs,
        incomplete_bytes=sum(repository.incomplete[name] for name in halves),
        freed_bytes=freed_by(moves),
    )


def _payloads(
    blobs: tuple[Blob, ...], shared: tuple[Blob, ...], repository: Repository, gone: set[Path]
) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Of the shared store's files behind blobs that go and blobs that stay, those that go as well and those that others need.

    `gone` are the blobs that go before these, and afterwards those that go with them.
    """
    gone |= {blob.path for blob in blobs}
    freed = payloads_freed(blobs, repository.cache, frozenset(gone))
    every = dict.fromkeys(blob.payload for blob in (*blobs, *shared) if blob.payload is not None)
    return freed, tuple(payload for payload in every if payload not in freed)


def _astray(holding: Holding, path: Path) -> InvalidRequest:
    return InvalidRequest(
        f"{holding.id} cannot be deleted from here: {path} leads out of {holding.root}.",
        hint="Remove the link yourself, or delete what it leads to where it lies.",
        param="id",
    )


def _free_bytes(items: tuple[RemovalItem, ...]) -> int:
    disks = {Path(item.root).stat().st_dev: item.root for item in items}
    return sum(shutil.disk_usage(root).free for root in disks.values())
