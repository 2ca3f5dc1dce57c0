"""Writes kept pieces to the disk behind the answers: one thread, which touches finished arrays and files, never a computation.

What waits to be written is bounded; beyond that a piece is not taken in. It knows no tree: whoever hands a piece in is told when it is
on the disk, and which pieces went for want of room.
"""

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np

from mlx_harmony.shelf.piece import Head
from mlx_harmony.shelf.shelf import Shelf
from mlx_harmony.worker.cache.layers import as_bytes

MOST_WAITING_BYTES = 1024**3
LOOK_AGAIN_S = 0.5

log = logging.getLogger(__name__)


class Piece(NamedTuple):
    """A piece to write: its head, its evaluated arrays in types that numpy has, and the pieces it hangs on."""

    head: Head
    arrays: Sequence[Any]
    ancestors: tuple[str, ...]


class WriteBehind:
    """The writing thread of one shelf. `written` and `gone` are called from it."""

    def __init__(self, shelf: Shelf, written: Callable[[str, int], None], gone: Callable[[set[str]], None]) -> None:
        self._shelf = shelf
        self._written = written
        self._gone = gone
        self._jobs: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._waiting_bytes = 0
        self._counting = threading.Lock()
        self.problem = ""
        self._thread = threading.Thread(target=self._work, name="cache", daemon=True)
        self._thread.start()

    def write(self, piece: Piece) -> bool:
        """Take a piece in; False where too much waits already."""
        size = piece.head.payload_bytes
        with self._counting:
            if self._waiting_bytes + size > MOST_WAITING_BYTES:
                return False
            self._waiting_bytes += size
        copied = piece._replace(arrays=readable(piece.arrays))
        self._jobs.put(lambda: self._write(copied))
        return True

    def touch(self, piece_ids: Sequence[str]) -> None:
        ids = tuple(piece_ids)
        self._jobs.put(lambda: self._shelf.touch(ids))

    def remove(self, piece_ids: Sequence[str]) -> None:
        ids = tuple(piece_ids)
        self._jobs.put(lambda: self._shelf.remove(ids))

    def pin(self, piece_ids: Sequence[str], pinned: bool) -> None:
        ids = tuple(piece_ids)
        self._jobs.put(lambda: self._shelf.pin(ids, pinned))

    def do(self, job: Callable[[], None]) -> None:
        """Do this after all that waits; an OSError becomes the `problem`."""
        self._jobs.put(job)

    def flush(self) -> None:
        """Wait until all that was handed in so far is done, as far as the thread still works."""
        done = threading.Event()
        self._jobs.put(done.set)
        while not done.wait(LOOK_AGAIN_S) and self._thread.is_alive():
            pass

    def close(self, timeout_s: float) -> None:
        """Write what waits, as far as the time allows, and end the thread."""
        self._jobs.put(None)
        self._thread.join(timeout_s)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except OSError as error:
                self.problem = f"The cache could not be written: {error.strerror or error}."
                log.warning(self.problem)

    def _write(self, piece: Piece) -> None:
        try:
            size = self._shelf.write(piece.head, [as_bytes(array) for array in piece.arrays])
        finally:
            with self._counting:
                self._waiting_bytes -= piece.head.payload_bytes
        self._shelf.touch((*piece.ancestors, piece.head.id))
        self._written(piece.head.id, size)
        if gone := self._shelf.make_room():
            self._gone(gone)


def readable(arrays: Sequence[mx.array]) -> Sequence[Any]:
    """Evaluated arrays as another thread may read them: on CUDA reading moves memory, so copies are made there."""
    shared = mx.metal.is_available() or mx.default_device() == mx.Device(mx.cpu, 0)
    return arrays if shared else [np.array(array) for array in arrays]
