"""Which chats are being answered, by this program or another one on the same chat file: a lock for each, gone with its program.

The system frees a lock when its program ends, however it ends, so none is ever stale. Knows nothing of what a chat holds.
"""

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mlx_harmony.errors import Unavailable

_TRIES = 4
_PAUSE_S = 0.005


class Answering:
    """The chats of one file that somebody answers. Where the file system knows no locks, those of this program alone."""

    def __init__(self, database: Path) -> None:
        self._folder = database.with_name(f"{database.name}.answering")
        self._here: set[str] = set()

    @contextmanager
    def hold(self, chat_id: str) -> Iterator[None]:
        """Be the one who answers this chat. Raises Unavailable while somebody does, here or in another program."""
        if chat_id in self._here:
            raise _busy()
        path = self._file(chat_id)
        descriptor = self._take(path)
        self._here.add(chat_id)
        try:
            yield
        finally:
            self._here.discard(chat_id)
            if descriptor is not None:
                with suppress(OSError):
                    path.unlink()
                os.close(descriptor)

    def held(self, chat_id: str) -> bool:
        """Whether somebody answers this chat right now."""
        if chat_id in self._here:
            return True
        try:
            descriptor = os.open(self._file(chat_id), os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            return isinstance(error, BlockingIOError)
        finally:
            os.close(descriptor)
        return False

    def _take(self, path: Path) -> int | None:
        """A descriptor that holds the lock; None where there are no locks to be had. Raises Unavailable where another has it."""
        for _ in range(_TRIES):
            try:
                self._folder.mkdir(mode=0o700, exist_ok=True)
                descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            except OSError:
                return None
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                # Somebody may only be looking whether it is held.
                time.sleep(_PAUSE_S)
                continue
            except OSError:
                os.close(descriptor)
                return None
            if _is_at(descriptor, path):
                return descriptor
            # Whoever held it has removed the file meanwhile: nobody else would find this lock.
            os.close(descriptor)
        raise _busy()

    def _file(self, chat_id: str) -> Path:
        return self._folder / hashlib.sha256(chat_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]


@contextmanager
def one_at_a_time(database: Path) -> Iterator[None]:
    """Wait until no other program opens the chat file, and have it alone meanwhile."""
    descriptor = os.open(database.with_name(f"{database.name}.opening"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def _busy() -> Unavailable:
    return Unavailable("This chat is answering.", hint="Stop it or wait until it is done, then send again.")
