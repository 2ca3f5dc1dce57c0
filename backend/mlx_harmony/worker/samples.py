"""Samples of a weight file: enough to tell one model's weights from another's without reading them all. It knows no mlx.

A fine-tune may change a few tensors of many, but those whole, so every tensor gives a piece; more come from evenly spread places.
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

PIECE_BYTES = 4096
EVEN_PLACES = 64
MOST_TENSORS = 2048
"""In one file; of more than these every second one gives a piece, or every third, and so on."""

_BEGINS = re.compile(rb'"data_offsets"\s*:\s*\[\s*(\d{1,18})')


def sampled(path: Path) -> bytes:
    """A digest of a safetensors file's size and samples, 16 bytes; its time does not count. Raises OSError."""
    size = path.stat().st_size
    digest = hashlib.blake2b(size.to_bytes(8, "little"), digest_size=16)
    with path.open("rb") as file:
        for place in _places(file, size):
            file.seek(place)
            digest.update(file.read(PIECE_BYTES))
    return digest.digest()


def _places(file: BinaryIO, size: int) -> Iterator[int]:
    for part in range(EVEN_PLACES):
        yield size * part // EVEN_PLACES
    file.seek(0)
    header = file.read(min(int.from_bytes(file.read(8), "little"), size))
    tensors = sorted(int(found) for found in _BEGINS.findall(header))
    for begin in tensors[:: max(1, -(-len(tensors) // MOST_TENSORS))]:
        yield 8 + len(header) + begin
