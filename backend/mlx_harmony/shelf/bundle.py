"""One file that holds an entry of a prompt cache whole, to be kept, copied and loaded again: how it is written, and when it is believed.

A file is magic, the head's length, the head (msgpack), the head's digest, the arrays' bytes end to end, and their digest. It knows no mlx.
"""

import hashlib
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from mlx_harmony.cache_records import SavedCache
from mlx_harmony.errors import InvalidRequest, StorageError
from mlx_harmony.records import Record
from mlx_harmony.shelf.piece import DIGEST_BYTES, Head, Unreadable, private, read_sealed, sealed
from mlx_harmony.shelf.shelf import Identity

MAGIC = b"MLXHKVS\n"
VERSION = 1
MAX_HEAD_BYTES = 256 * 1024 * 1024
LEFT_OVER_S = 600.0
"""A half-written file older than this is of a process that was killed."""
AT_ONCE = 16 * 1024 * 1024


class Bundle(Record):
    """What a file holds: whose it is, one run from the root on, and the states on it. `app` is the release that wrote it."""

    identity: Identity
    run: Head
    states: tuple[Head, ...] = ()
    app: str = ""
    version: int = VERSION

    @property
    def heads(self) -> tuple[Head, ...]:
        """In the order of their arrays."""
        return (self.run, *self.states)

    @property
    def tokens(self) -> int:
        """How many tokens need no reading once it is loaded."""
        return max((state.end for state in self.states), default=self.run.end)

    @property
    def payload_bytes(self) -> int:
        return sum(head.payload_bytes for head in self.heads)


_bundle = msgspec.msgpack.Decoder(Bundle)


def write_bundle(path: Path, bundle: Bundle, arrays: Iterable[memoryview], *, replace: bool = False) -> SavedCache:
    """Write the file in one step, mode 0600: after a crash it is there whole or not at all.

    Raises InvalidRequest where a file stands there that is not to be replaced, StorageError where it cannot be written.
    """
    refuse_to_overwrite(path, replace)
    _sweep(path)
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    body = msgspec.msgpack.encode(bundle)
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    try:
        with open(new, "wb", opener=private) as file:
            file.write(sealed(MAGIC, body))
            for array in arrays:
                file.write(array)
                digest.update(array)
            file.write(digest.digest())
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        refuse_to_overwrite(path, replace)
        new.replace(path)
    except OSError as error:
        hint = "Choose a folder that is there, is writable and has space."
        raise StorageError(f"The cache could not be saved: {error.strerror or error} ({path}).", hint=hint, param="path") from error
    finally:
        with suppress(OSError):
            new.unlink(missing_ok=True)
    return SavedCache(path=str(path), tokens=bundle.tokens, bytes=size, model=bundle.identity.model)


def refuse_to_overwrite(path: Path, replace: bool) -> None:
    """Raises InvalidRequest where something stands there and is not to be replaced."""
    if path.is_dir() or (path.exists() and not replace):
        hint = "Name a file in it." if path.is_dir() else "Choose another name, or have it replaced (--force)."
        raise InvalidRequest(f"{path} is there already.", hint=hint, param="path")


def read_bundle(path: Path) -> Bundle:
    """What a file holds, with every bit of it checked. Raises InvalidRequest, with the reason, for one that cannot be believed."""
    try:
        with path.open("rb") as file:
            bundle = _read_head(file)
            _check_payload(file, bundle)
    except OSError as error:
        raise InvalidRequest(
            f"{path} cannot be read: {error.strerror or error}.", hint="Look at the file's name and rights.", param="path"
        ) from error
    except Unreadable as error:
        hint = "Save it again where it came from; what is kept on disk was not touched."
        raise InvalidRequest(f"{path.name} cannot be loaded: {error}.", hint=hint, param="path") from error
    return bundle


def read_arrays(path: Path, bundle: Bundle) -> list[list[memoryview]]:
    """The bytes of each head's arrays, in the order of `heads`. Raises InvalidRequest where the file went or shrank meanwhile."""
    try:
        with path.open("rb") as file:
            file.seek(-bundle.payload_bytes - DIGEST_BYTES, os.SEEK_END)
            arrays = [[memoryview(file.read(part.bytes)) for part in head.parts] for head in bundle.heads]
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror or error}.", param="path") from error
    return arrays


def _read_head(file: BinaryIO) -> Bundle:
    body = read_sealed(file, MAGIC, MAX_HEAD_BYTES, "it is no saved cache")
    try:
        bundle = _bundle.decode(body)
    except msgspec.DecodeError as error:
        raise Unreadable("its head cannot be understood") from error
    if bundle.version != VERSION:
        raise Unreadable(f"it is of version {bundle.version}, this program reads {VERSION}")
    run = bundle.run
    if run.start != 0 or not run.end or len(run.tokens) != 4 * run.end or any(not 0 < state.end <= run.end for state in bundle.states):
        raise Unreadable("its head contradicts itself")
    if any(part.bytes < 0 for head in bundle.heads for part in head.parts):
        raise Unreadable("its head contradicts itself")
    return bundle


def _check_payload(file: BinaryIO, bundle: Bundle) -> None:
    size, begins = os.fstat(file.fileno()).st_size, file.tell()
    wanted = begins + bundle.payload_bytes + DIGEST_BYTES
    if size != wanted:
        raise Unreadable("it was cut short" if size < wanted else "it is longer than it says")
    digest, left = hashlib.blake2b(digest_size=DIGEST_BYTES), bundle.payload_bytes
    while left:
        data = file.read(min(left, AT_ONCE))
        digest.update(data)
        left -= len(data)
    if file.read(DIGEST_BYTES) != digest.digest():
        raise Unreadable("its contents are damaged")


def _sweep(path: Path) -> None:
    """Remove what killed processes left half written of this file."""
    for left in path.parent.glob(f".{path.name}.*.new"):
        with suppress(OSError):
            if not _runs(left.name.split(".")[-2]) or time.time() - left.stat().st_mtime > LEFT_OVER_S:
                left.unlink()


def _runs(pid: str) -> bool:
    """Whether there is a process of that number; a name that holds none is nobody's."""
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except OSError:
        return True
    return True
