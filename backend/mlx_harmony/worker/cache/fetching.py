"""Pieces on their way from the disk: read and checked in a thread beside, then made into arrays by the thread that owns mlx, part by part.

So an answer that is being written waits for no file. It knows no tree: what turned out damaged is told to whoever asked for it.
"""

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import mlx.core as mx

from mlx_harmony.shelf.piece import Head, Unreadable
from mlx_harmony.worker.cache.disk import Disk
from mlx_harmony.worker.cache.layers import Shape, StateOf, from_bytes, run_fits, state_fits
from mlx_harmony.worker.cache.restoring import STEP_BYTES, Pause
from mlx_harmony.worker.cache.tree import Held, Run

Bytes = tuple[Head, list[memoryview]]


class Fetched:
    """What was brought for one prompt, beside what is in memory. `lost` is a piece that cannot be had; `trouble` says why, "" for none."""

    def __init__(self) -> None:
        self._contents: dict[tuple[str, int], Any] = {}
        self.lost: Held | None = None
        self.trouble = ""

    def of(self, held: Held) -> Any:
        """The contents of a piece, None where they are neither in memory nor here."""
        return held.contents if held.contents is not None else self._contents.get((held.id, held.end))

    def fetch(self, wanted: Sequence[Held], disk: Disk, shapes: Sequence[Shape]) -> Generator[Pause, None, None]:
        """Bring these, up to the first that is gone, damaged, or of other layers. Leaving it early ends the reading."""
        reader = ThreadPoolExecutor(1, thread_name_prefix="cache reader")
        try:
            for batch in _batches(wanted):
                reading = reader.submit(_read, batch, disk)
                yield reading
                size = 0
                for held, found in zip(batch, reading.result(), strict=False):
                    if size and size + _size(found) > STEP_BYTES:
                        size = 0
                        yield None
                    size += _size(found)
                    try:
                        self._contents[held.id, held.end] = yield from _made(held, found, shapes)
                    except Unreadable as error:
                        self.lost, self.trouble = held, str(error)
                        return
        finally:
            reader.shutdown(wait=False, cancel_futures=True)


def _batches(wanted: Sequence[Held]) -> Iterator[list[Held]]:
    """Small pieces together, so that many of them cost few turns."""
    batch: list[Held] = []
    size = 0
    for held in wanted:
        # Of a piece that is still being written the size is not known.
        size += held.disk_bytes or STEP_BYTES
        if batch and size > STEP_BYTES:
            yield batch
            batch, size = [], held.disk_bytes or STEP_BYTES
        batch.append(held)
    if batch:
        yield batch


def _size(found: Bytes | Unreadable) -> int:
    return 0 if isinstance(found, Unreadable) else found[0].payload_bytes


def _read(batch: Sequence[Held], disk: Disk) -> list[Bytes | Unreadable]:
    """The bytes of pieces, up to the first that is not what it should be."""
    found: list[Bytes | Unreadable] = []
    for held in batch:
        try:
            found.append(disk.read(held))
        except Unreadable as error:
            return [*found, error]
    return found


def _made(held: Held, found: Bytes | Unreadable, shapes: Sequence[Shape]) -> Generator[Pause, None, Any]:
    """A piece's contents from its bytes, a bounded part at a time. Raises Unreadable where they are none of such layers."""
    if isinstance(found, Unreadable):
        raise found
    (head, payload), size = found, 0
    arrays: list[mx.array] = []
    try:
        for data, part in zip(payload, head.parts, strict=True):
            if size + part.bytes > STEP_BYTES and size:
                mx.eval(arrays)
                size = 0
                yield None
            arrays.append(from_bytes(data, part.shape, part.dtype))
            size += part.bytes
    except (ValueError, TypeError) as error:
        raise Unreadable(str(error)) from error
    mx.eval(arrays)
    state = StateOf(head.statics, arrays)
    if not (run_fits(shapes, arrays, held.end - held.start) if isinstance(held, Run) else state_fits(shapes, state)):
        raise Unreadable("it is of other layers")
    return arrays if isinstance(held, Run) else state
