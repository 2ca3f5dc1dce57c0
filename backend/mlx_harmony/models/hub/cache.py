"""A repository of the Hugging Face cache while something is put into it: where its parts lie, its locks, its links. Knows no network.

The layout and the locks are huggingface_hub's, so that other programs find what is got here and wait where we wait.
"""

import fcntl
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from os.path import realpath
from pathlib import Path

from mlx_harmony.errors import StorageError, Unavailable
from mlx_harmony.models.hub.names import is_commit, is_sha256
from mlx_harmony.models.hub.offers import HubFile

LARGEST_LIST_BYTES = 1024 * 1024


class Repository:
    """One model's folder in the cache. Names come checked: ids, commits and files by `names`, blobs by their checksums."""

    def __init__(self, cache: Path, model_id: str) -> None:
        self._cache = cache
        self.folder = cache / f"models--{model_id.replace('/', '--')}"
        self._blobs = self.folder / "blobs"
        self._locks = cache / ".locks" / self.folder.name

    def prepare(self) -> None:
        """Make its folders. Raises OSError, and StorageError where one of them is a link that leads out of the cache."""
        home = realpath(self._cache)
        for folder in (self._blobs, self.folder / "refs", self.folder / "snapshots", self._locks):
            if not Path(realpath(folder)).is_relative_to(home):
                hint = "Move that link away, then start again."
                raise StorageError(f"{folder} leads out of the cache, so nothing is written there.", hint=hint)
            folder.mkdir(parents=True, exist_ok=True)

    def blob(self, file: HubFile) -> Path:
        return self._blobs / file.etag

    def incomplete(self, file: HubFile) -> Path:
        return self._blobs / f"{file.etag}.incomplete"

    def has(self, file: HubFile) -> bool:
        """Whether the whole file is among the blobs; by its length, for it got its name only after its checksum was right."""
        try:
            return self.blob(file).stat().st_size == file.bytes
        except OSError:
            return False

    def here(self, file: HubFile) -> int:
        """How many bytes of a file are here already."""
        if self.has(file):
            return file.bytes
        try:
            return min(self.incomplete(file).lstat().st_size, file.bytes)
        except OSError:
            return 0

    def lock(self, etag: str) -> int | None:
        """A descriptor that makes this the only writer of the blob until it is closed; None where there is another one. Raises OSError."""
        self._locks.mkdir(parents=True, exist_ok=True)
        # Group-writable, as huggingface_hub makes them: several people may share a cache.
        descriptor = os.open(self._locks / f"{etag}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o664)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError:
            # A file system without locks, where huggingface_hub goes on as well.
            return descriptor
        return descriptor

    def link(self, commit: str, revision: str, files: Sequence[HubFile]) -> None:
        """Make the snapshot of files that are all here, and let the revision's name lead to it.

        Until the snapshot stands whole nobody sees a model here: it is made aside and renamed. Raises OSError, Unavailable for a file that
        is not here.
        """
        if gone := next((file.name for file in files if not self.has(file)), ""):
            raise Unavailable(f"{gone} was removed while the others came.", hint="Resume to get it again.")
        snapshot, aside = self.folder / "snapshots" / commit, self.folder / f".{commit}.new"
        _remove_links(aside)
        if not snapshot.exists():
            for file in files:
                self._link(aside, file)
            aside.rename(snapshot)
        else:
            # Another program got a part of this revision: without its config it is no model yet, so that comes last.
            for file in sorted(files, key=lambda file: file.name == "config.json"):
                self._link(snapshot, file)
        if revision != commit:
            _write_ref(self.folder / "refs", revision, commit)

    def _link(self, snapshot: Path, file: HubFile) -> None:
        """Links are relative, counted from a snapshot's own place."""
        path = snapshot / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        target = "../" * (file.name.count("/") + 2) + f"blobs/{file.etag}"
        if path.is_symlink() and os.readlink(path) == target:  # noqa: PTH115
            return
        draft = path.with_name(f".{path.name[:200]}.new")
        with suppress(FileNotFoundError):
            draft.unlink()
        draft.symlink_to(target)
        draft.replace(path)

    def expect(self, commit: str, files: Iterable[HubFile]) -> None:
        """Write down which blobs a download is about that no snapshot uses, so that they can go if it is cancelled. Raises OSError."""
        known = {*self._expected(commit), *self._used()}
        new = [file.etag for file in files if file.etag not in known]
        if new:
            with open(self._list(commit), "a", encoding="ascii", opener=_unfollowed) as list_:
                list_.writelines(f"{etag}\n" for etag in new)

    def settle(self, commit: str) -> None:
        """What was expected is here and linked to. Raises OSError."""
        self._list(commit).unlink(missing_ok=True)

    def discard(self, commit: str) -> None:
        """Remove what a download brought and nobody else uses or writes, and the folders that are empty then. Raises OSError."""
        used = self._used().union(*(self._expected(other) for other in self._downloads() if other != commit))
        for etag in self._expected(commit):
            if etag not in used and (descriptor := self.lock(etag)) is not None:
                try:
                    (self._blobs / f"{etag}.incomplete").unlink(missing_ok=True)
                    (self._blobs / etag).unlink(missing_ok=True)
                finally:
                    os.close(descriptor)
        _remove_links(self.folder / f".{commit}.new")
        self.settle(commit)
        for folder in (self._blobs, self.folder / "refs", self.folder / "snapshots", self.folder):
            with suppress(OSError):
                folder.rmdir()

    def _downloads(self) -> list[str]:
        """The commits that are on their way here."""
        return [path.name[1:41] for path in self.folder.glob(".*.expected")]

    def _expected(self, commit: str) -> list[str]:
        try:
            with self._list(commit).open(encoding="ascii") as file:
                lines = file.read(LARGEST_LIST_BYTES).split()
        except (OSError, UnicodeDecodeError):
            return []
        return [line for line in lines if is_sha256(line) or is_commit(line)]

    def _used(self) -> set[str]:
        """The blobs that snapshots lead to."""
        used = set()
        for folder, _, names in os.walk(self.folder / "snapshots"):
            for name in names:
                with suppress(OSError):
                    used.add(os.path.basename(os.readlink(os.path.join(folder, name))))  # noqa: PTH115, PTH118, PTH119
        return used

    def _list(self, commit: str) -> Path:
        return self.folder / f".{commit}.expected"


def unwritable(error: OSError, place: Path) -> StorageError:
    """The error for a cache that cannot be written to."""
    hint = "Check that the cache's folder is yours and writable; HF_HUB_CACHE can name another one."
    return StorageError(f"{place} cannot be written to: {error.strerror or error}.", hint=hint)


def _write_ref(refs: Path, revision: str, commit: str) -> None:
    path = refs / revision
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside the refs, where nothing is taken for one.
    draft = refs.parent / f".ref.{os.getpid()}.new"
    draft.write_text(commit, "ascii")
    draft.replace(path)


def _remove_links(folder: Path) -> None:
    """Remove a folder of links that was made aside. Raises OSError."""
    for place, folders, names in os.walk(folder, topdown=False):
        for name in names:
            Path(place, name).unlink()
        for name in folders:
            Path(place, name).rmdir()
    with suppress(FileNotFoundError):
        folder.rmdir()


def _unfollowed(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o644)
