"""One file as it arrives: what of it is on disk already, its growing checksum, and its name once that is right. Knows no network."""

import asyncio
import contextlib
import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from mlx_harmony.errors import StorageError
from mlx_harmony.models.hub.cache import unwritable
from mlx_harmony.models.hub.offers import HubFile

PIECE_BYTES = 16 * 1024 * 1024
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

T = TypeVar("T")


class Arriving:
    """A file that is appended to, `size` bytes so far; use it with `async with`. Its methods raise StorageError."""

    def __init__(self, path: Path, file: HubFile) -> None:
        self._path = path
        self._file = file
        self._descriptor = -1
        self._sum = hashlib.sha256()
        self.size = 0

    async def __aenter__(self) -> "Arriving":
        await self._step(self._open)
        with contextlib.ExitStack() as undo:
            undo.callback(os.close, self._descriptor)
            while self._summed < self.size:
                await self._step(self._sum_up)
            undo.pop_all()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._descriptor)

    async def append(self, data: bytes) -> None:
        await self._step(lambda: self._append(data))

    async def restart(self) -> None:
        """Forget what has come."""
        await self._step(self._empty)

    def is_right(self) -> bool:
        """Whether what has come is the file that the hub announced."""
        return self.size == self._file.bytes and self._sum.hexdigest() == self._file.etag

    async def keep(self, path: Path) -> None:
        """Give the whole file its name."""
        await self._step(lambda: self._keep(path))

    def _open(self) -> None:
        # Without a mode of its own: who may read the cache is for the person's umask to say, as with huggingface_hub.
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        self.size = os.fstat(self._descriptor).st_size
        self._begin()

    def _begin(self) -> None:
        self._summed = 0
        # git's own sum, by which the hub names small files; nothing rests on its strength.
        self._sum = hashlib.sha256() if self._file.sha256 else hashlib.sha1(b"blob %d\0" % self._file.bytes, usedforsecurity=False)

    def _sum_up(self) -> None:
        data = os.pread(self._descriptor, min(PIECE_BYTES, self.size - self._summed), self._summed)
        if not data:
            self.size = self._summed
        self._sum.update(data)
        self._summed += len(data)

    def _append(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            written = os.write(self._descriptor, left)
            self._sum.update(left[:written])
            self.size += written
            self._summed = self.size
            left = left[written:]

    def _empty(self) -> None:
        os.ftruncate(self._descriptor, 0)
        self.size = 0
        self._begin()

    def _keep(self, path: Path) -> None:
        os.fsync(self._descriptor)
        self._path.replace(path)

    async def _step(self, work: Callable[[], T]) -> T:
        """Do it in a thread; who cancels waits for it, so that nobody closes a file that is being written."""
        step = asyncio.ensure_future(asyncio.to_thread(work))
        try:
            return await asyncio.shield(step)
        except asyncio.CancelledError:
            await asyncio.wait([step])
            raise
        except OSError as error:
            if error.errno in FULL:
                hint = "Make room, then resume: what has come so far is kept. Models can be deleted in the Models tab."
                raise StorageError(f"The disk is full: {self._file.name} could not be written any further.", hint=hint) from error
            raise unwritable(error, self._path.parent) from error
