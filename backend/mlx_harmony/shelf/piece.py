"""One kept piece of a KV cache as a file: how it is written, and what must hold before any of it is believed. It knows no mlx.

A file is magic, the head's length, the head (msgpack), the head's digest, and the arrays' bytes end to end. A piece is either a run (tokens
and the keys and values that stand for them) or a state (what the layers that cannot be cut hold after one token).
"""

import hashlib
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec

from mlx_harmony.records import Record

MAGIC = b"MLXHKV\r\n"
VERSION = 1
DIGEST_BYTES = 16
MAX_HEAD_BYTES = 64 * 1024 * 1024
_LENGTH = struct.Struct("<I")

Kind = Literal["run", "state"]


class Part(Record):
    """One array: its shape, its type by mlx's name, how many bytes it takes."""

    shape: tuple[int, ...]
    dtype: str
    bytes: int


class Head(Record):
    """What a piece is. A run holds the tokens from `start` to `end` and goes on from `parent` ("" at the root); a state lies on the run
    `parent` and stands after `end` tokens. `answer_from`: from which token on a model wrote it, None where none did.

    `tokens` are little-endian 32-bit ids; `statics` is what of a state is no array. `cut`: it was longer when it got its id.
    """

    id: str
    kind: Kind
    parent: str
    start: int
    end: int
    tokens: bytes = b""
    answer_from: int | None = None
    text: str = ""
    statics: Any = None
    parts: tuple[Part, ...] = ()
    digest: bytes = b""
    cut: bool = False
    version: int = VERSION

    @property
    def payload_bytes(self) -> int:
        return sum(part.bytes for part in self.parts)


class Unreadable(ValueError):
    """The file is not what it should be; the message says in words why."""


_head = msgspec.msgpack.Decoder(Head)


def write_piece(path: Path, head: Head, payload: Sequence[memoryview]) -> int:
    """Write the file in one step, mode 0600, and return its bytes: after a crash it is there whole or not at all. Raises OSError."""
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in payload:
        digest.update(part)
    body = msgspec.msgpack.encode(msgspec.structs.replace(head, digest=digest.digest()))
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with open(new, "wb", opener=private) as file:
            file.write(sealed(MAGIC, body))
            for part in payload:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    return size


def sealed(magic: bytes, body: bytes) -> bytes:
    """How a file begins: its magic, the head's length, the head and its digest."""
    return magic + _LENGTH.pack(len(body)) + body + _digest(body)


def read_sealed(file: BinaryIO, magic: bytes, most_bytes: int, otherwise: str) -> bytes:
    """The head that a file begins with, checked. Raises Unreadable; `otherwise` says what a file of another kind is."""
    opening = file.read(len(magic) + _LENGTH.size)
    if not opening.startswith(magic) or len(opening) < len(magic) + _LENGTH.size:
        raise Unreadable(otherwise)
    length = _LENGTH.unpack(opening[len(magic) :])[0]
    if length > most_bytes:
        raise Unreadable("its head is damaged")
    body, check = file.read(length), file.read(DIGEST_BYTES)
    if len(body) < length or check != _digest(body):
        raise Unreadable("its head is damaged")
    return body


def read_head(path: Path) -> Head:
    """The head of a file whose size is right. Raises Unreadable, and OSError where there is no such file."""
    with path.open("rb") as file:
        body = read_sealed(file, MAGIC, MAX_HEAD_BYTES, "it is no piece of a cache")
        head = _decoded(body)
        size, wanted = os.fstat(file.fileno()).st_size, payload_at(len(body)) + head.payload_bytes
    if size != wanted:
        raise Unreadable("it was cut short" if size < wanted else "it is longer than it says")
    return head


def read_payload(path: Path, head: Head) -> list[memoryview]:
    """The bytes of each part, checked. Raises Unreadable for a flipped bit, OSError where the file is gone."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size - head.payload_bytes))
        data = file.read(head.payload_bytes)
    if len(data) < head.payload_bytes or hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest() != head.digest:
        raise Unreadable("its contents are damaged")
    whole, at, parts = memoryview(data), 0, []
    for part in head.parts:
        parts.append(whole[at : at + part.bytes])
        at += part.bytes
    return parts


def payload_at(head_bytes: int) -> int:
    """Where the arrays begin in a file with a head of so many bytes."""
    return len(MAGIC) + _LENGTH.size + head_bytes + DIGEST_BYTES


def _decoded(body: bytes) -> Head:
    try:
        head = _head.decode(body)
    except msgspec.DecodeError as error:
        raise Unreadable("its head cannot be understood") from error
    if head.version != VERSION:
        raise Unreadable(f"it is of version {head.version}, this program writes {VERSION}")
    if not 0 <= head.start <= head.end or any(part.bytes < 0 for part in head.parts):
        raise Unreadable("its head contradicts itself")
    if head.kind == "run" and len(head.tokens) != 4 * (head.end - head.start):
        raise Unreadable("its head contradicts itself")
    return head


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()


def private(path: str, flags: int) -> int:
    """Opens a file that only its owner may read, and never through a link."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
