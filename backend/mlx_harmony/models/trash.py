"""The trash for models: what was deleted lies there until it is emptied, and comes back as it was. What goes is `removal`'s to say.

Moving is renaming on the same disk, so it costs no time and no space. Each step is written down before it begins: a program that is killed
leaves what `recover` brings to an end, everything in place or everything in the trash. It knows no loaded models and asks nobody.
"""

import errno
import fcntl
import os
import secrets
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree

import msgspec

from mlx_harmony.errors import InvalidRequest, StorageError, Unavailable
from mlx_harmony.models.disk import freed_by, open_up
from mlx_harmony.models.holdings import HoldingKind
from mlx_harmony.models.moving import keep, put_back, take_in, what_is_in_the_way
from mlx_harmony.models.removal import Removal, RemovalItem
from mlx_harmony.models.trash_journal import Journal, Stage, read_journals, remove_journal, sync_folder, write_journal
from mlx_harmony.records import Record

FOLDER = "trash"
BESIDE = ".mlx-harmony-trash"
"""The trash of a disk that the app's home is not on, in the folder that the models were in."""

Rename = Callable[[Path, Path], None]


class Trashed(Record):
    """One thing in the trash. `bytes` are freed by emptying it alone; `problem` says why it cannot be brought back as things stand.

    `model` is the id it had, `path` where it was, `revisions` the commits that went; `whole`: all of it.
    """

    id: str
    model: str
    kind: HoldingKind
    path: str
    whole: bool
    revisions: tuple[str, ...]
    refs: tuple[str, ...]
    bytes: int
    removed_at: float
    problem: str = ""


class Trash:
    """The trash of one home folder. `rename` is how a file or folder is moved on its disk."""

    def __init__(self, home: str | Path, rename: Rename = os.rename) -> None:
        self._folder = Path(home, FOLDER)
        self._rename = rename

    def items(self) -> tuple[Trashed, ...]:
        """What is in the trash, the last deleted first."""
        removed = [journal for journal in read_journals(self._folder) if journal.stage == "removed"]
        return tuple(_shown(journal) for journal in sorted(removed, key=lambda journal: journal.removed_at, reverse=True))

    def bytes(self) -> int:
        """What emptying all of it frees; files that several things in it share are counted once."""
        return freed_by(journal.folder for journal in read_journals(self._folder))

    def take(self, removal: Removal) -> tuple[Trashed, ...]:
        """Move all that the removal names into the trash. Raises StorageError, and then everything is where it was; Unavailable."""
        with self._alone():
            taken: list[Journal] = []
            try:
                for item in removal.items:
                    taken.append(self._take(item))
            except StorageError:
                for journal in reversed(taken):
                    self._bring_back(journal)
                raise
        return tuple(_shown(journal) for journal in taken)

    def restore(self, trash_id: str) -> Trashed:
        """Put it back where it was, byte by byte, links and refs as well; a ref that leads elsewhere by now is left so.

        Raises InvalidRequest where something is in the way or no such thing is in the trash, and StorageError; it then stays in the trash.
        """
        with self._alone():
            journal = self._find(trash_id)
            shown = _shown(journal)
            if shown.problem:
                hint = "Delete what is there first, or leave this one in the trash."
                raise InvalidRequest(f"{journal.model} cannot be brought back: {shown.problem}", hint=hint, param="id")
            try:
                self._put_back(journal)
            except (OSError, StorageError) as error:
                self._take_again(journal)
                raise _failed(f"{journal.model} could not be brought back and is still in the trash", error) from error
        return shown

    def empty(self, ids: Collection[str] | None = None) -> int:
        """Delete these for good, or all, and return the bytes that are free again. Raises InvalidRequest and StorageError."""
        with self._alone():
            journals = [each for each in read_journals(self._folder) if each.stage in ("removed", "emptying") and not _is_away(each)]
            if ids is not None:
                journals = [self._find(trash_id) for trash_id in dict.fromkeys(ids)]
            if away := next(filter(_is_away, journals), None):
                raise StorageError(
                    f"The disk of {away.model} is not there: {away.root}.", hint="Connect it, or leave this one in the trash."
                )
            freed = freed_by(journal.folder for journal in journals)
            for journal in journals:
                self._delete(self._staged(journal, "emptying"))
        return freed

    def recover(self) -> None:
        """Bring to an end what a killed program left half done. What another one is at now, or what lies on a disk that is away, waits."""
        if not self._folder.is_dir():
            return
        with suppress(Unavailable, StorageError), self._alone(wait=False):
            for path in self._folder.glob(".*.new"):
                path.unlink(missing_ok=True)
            for journal in list(read_journals(self._folder)):
                if journal.stage != "removed" and not _is_away(journal):
                    with suppress(OSError, StorageError):
                        self._settle(journal)

    def _settle(self, journal: Journal) -> None:
        if journal.stage == "emptying":
            self._delete(journal)
        elif what_is_in_the_way(journal):
            # Others have put something in its place meanwhile: it goes on into the trash, where nothing of it is lost.
            take_in(journal, self._rename)
            self._staged(journal, "removed")
        else:
            self._put_back(journal)

    def _take(self, item: RemovalItem) -> Journal:
        """Move one holding's paths, into the home folder's trash where that is on the same disk, else into one beside the models."""
        places = [self._folder, Path(item.root, BESIDE)]
        for place in places:
            journal = self._staged(_journal_of(item, place), "removing")
            try:
                if place == self._folder and place.stat().st_dev != Path(item.root).stat().st_dev:
                    raise OSError(errno.EXDEV, "It lies on another disk", item.root)
                journal.folder.mkdir(mode=0o700, parents=True)
                keep(journal)
                take_in(journal, self._rename)
                sync_folder(journal.folder)
                return self._staged(journal, "removed")
            except (OSError, StorageError) as error:
                self._bring_back(journal)
                if isinstance(error, OSError) and error.errno == errno.EXDEV and place != places[-1]:
                    continue
                raise _failed(f"{item.id} could not be moved to the trash", error) from error
        raise AssertionError("there is always a place beside the models")

    def _bring_back(self, journal: Journal) -> None:
        """Put it back at once. Raises StorageError where that fails; the journal then stays, and `recover` tries again."""
        try:
            self._put_back(journal)
        except OSError as error:
            raise _failed(f"{journal.model} could not be put back whole; the next start tries again", error) from error

    def _take_again(self, journal: Journal) -> None:
        """Move what came back of it into the trash again; where that fails too, `recover` goes on."""
        with suppress(OSError, StorageError):
            take_in(journal, self._rename)
            self._staged(journal, "removed")

    def _put_back(self, journal: Journal) -> None:
        if journal.stage == "removed":
            journal = self._staged(journal, "restoring")
        put_back(journal, self._rename)
        self._delete(journal)

    def _delete(self, journal: Journal) -> None:
        """Remove what is left of it in the trash, and forget it. Follows no link. Raises StorageError."""
        try:
            if Path(journal.place).is_symlink():
                raise OSError(errno.ELOOP, "The trash is a link by now", journal.place)
            if journal.folder.is_dir():
                open_up(journal.folder)
                rmtree(journal.folder)
            remove_journal(self._folder, journal)
        except OSError as error:
            raise _failed(f"{journal.model} could not be removed from the trash whole", error) from error
        if Path(journal.place).name == BESIDE:
            with suppress(OSError):
                Path(journal.place).rmdir()

    def _staged(self, journal: Journal, stage: Stage) -> Journal:
        journal = msgspec.structs.replace(journal, stage=stage)
        write_journal(self._folder, journal)
        return journal

    def _find(self, trash_id: str) -> Journal:
        known = {journal.id: journal for journal in read_journals(self._folder) if journal.stage == "removed"}
        if trash_id not in known:
            hint = f"In it: {', '.join(known)}." if known else "The trash is empty."
            raise InvalidRequest(f"There is no {trash_id[:100]!r} in the trash.", hint=hint, param="id")
        return known[trash_id]

    @contextmanager
    def _alone(self, *, wait: bool = True) -> Iterator[None]:
        """Be the only program at this trash. Raises StorageError where it cannot be written to, Unavailable where one shall not wait."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._folder / ".lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise _failed("The trash could not be opened", error) from error
        try:
            _lock(descriptor, wait)
            yield
        finally:
            os.close(descriptor)


def _lock(descriptor: int, wait: bool) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError as error:
        raise Unavailable("Another program is at the trash.", hint="Try again in a moment.") from error
    except OSError:
        # This disk knows no locks.
        return


def _journal_of(item: RemovalItem, place: Path) -> Journal:
    now = time.time()
    return Journal(
        id=f"{time.strftime('%Y%m%d-%H%M%S', time.localtime(now))}-{secrets.token_hex(4)}",
        stage="removing",
        place=str(place),
        root=item.root,
        model=item.id,
        kind=item.kind,
        path=item.path,
        whole=item.whole,
        moves=item.moves,
        keeps=item.keeps,
        revisions=item.revisions,
        refs=item.refs,
        freed_bytes=item.freed_bytes,
        removed_at=now,
    )


def _is_away(journal: Journal) -> bool:
    """Whether the disk that holds its files, beside its models, is not there now."""
    return Path(journal.place).name == BESIDE and not Path(journal.root).is_dir()


def _shown(journal: Journal) -> Trashed:
    return Trashed(
        id=journal.id,
        model=journal.model,
        kind=journal.kind,
        path=journal.path,
        whole=journal.whole,
        revisions=journal.revisions,
        refs=journal.refs,
        bytes=freed_by([journal.folder]),
        removed_at=journal.removed_at,
        problem=what_is_in_the_way(journal),
    )


def _failed(what: str, error: OSError | StorageError) -> StorageError:
    if isinstance(error, StorageError):
        return StorageError(f"{what}. {error.message}", hint=error.hint)
    where = f" ({error.filename})" if error.filename else ""
    hint = "Check that the disk is there, writable and has space, and that the files are yours."
    return StorageError(f"{what}: {error.strerror or error}{where}.", hint=hint)
