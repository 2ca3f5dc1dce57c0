"""The runs on the way to an entry made into one run without what other prompts went on with. Works on bytes; knows no mlx, no files."""

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import NamedTuple

import msgspec
import numpy as np

from mlx_harmony.shelf.bundle import Bundle
from mlx_harmony.shelf.piece import Head, Part
from mlx_harmony.shelf.shelf import Identity


class Link(NamedTuple):
    """A run on the way with its arrays' bytes, followed up to token `until`; and those of its states that lie on the way."""

    head: Head
    arrays: list[memoryview]
    until: int
    states: list[tuple[Head, list[memoryview]]]


def joined(identity: Identity, links: Sequence[Link]) -> tuple[Bundle, Iterator[memoryview]]:
    """One bundle of the whole way, and its arrays one by one."""
    last = links[-1].head
    tokens = b"".join(link.head.tokens[: 4 * (link.until - link.head.start)] for link in links)
    parts = tuple(_part(links, column) for column in range(len(last.parts)))
    run = msgspec.structs.replace(last, parent="", start=0, end=links[-1].until, tokens=tokens, text=links[0].head.text, parts=parts)
    states = [state for link in links for state in link.states]
    bundle = Bundle(identity=identity, run=run, states=tuple(head for head, _ in states), app=version("mlx-harmony"))
    return bundle, _arrays(links, len(parts), [array for _, arrays in states for array in arrays])


def _arrays(links: Sequence[Link], columns: int, states: list[memoryview]) -> Iterator[memoryview]:
    for column in range(columns):
        pieces = [_cut(link, column) for link in links]
        yield memoryview(np.concatenate(pieces, axis=-2).tobytes())
    yield from states


def _cut(link: Link, column: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """One array of a run as bytes, its tokens on the last axis but one, up to where the way leaves it."""
    shape = link.head.parts[column].shape
    values = np.frombuffer(link.arrays[column], np.uint8).reshape(*shape[:-1], -1)
    return values[..., : link.until - link.head.start, :]


def _part(links: Sequence[Link], column: int) -> Part:
    shape, length = links[-1].head.parts[column].shape, links[-1].until
    size = links[-1].head.parts[column].bytes // max(1, shape[-2])
    return Part(shape=(*shape[:-2], length, shape[-1]), dtype=links[-1].head.parts[column].dtype, bytes=size * length)
