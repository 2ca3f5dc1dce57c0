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
    parts = tuple(_part(links, column, links[-1].until) for column in range(len(last.parts)))
    run = msgspec.structs.replace(last, parent="", start=0, end=links[-1].until, tokens=tokens, text=links[0].head.text, parts=parts)
    states = [state for link in links for state in link.states]
    bundle = Bundle(identity=identity, run=run, states=tuple(head for head, _ in states), app=version("mlx-harmony"))
    return bundle, _arrays(links, len(parts), [array for _, arrays in states for array in arrays])


def shortened(head: Head, arrays: list[memoryview], until: int) -> tuple[Head, list[memoryview]]:
    """A run and its arrays' bytes cut to end at token `until`. How it begins is no longer told where that may not be all its own."""
    parts = tuple(_part([Link(head, arrays, until, [])], column, until - head.start) for column in range(len(head.parts)))
    cut = [memoryview(_cut(Link(head, arrays, until, []), column).tobytes()) for column in range(len(head.parts))]
    tokens, answer = head.tokens[: 4 * (until - head.start)], head.answer_from
    changes = {"end": until, "tokens": tokens, "parts": parts, "text": "", "cut": True}
    return msgspec.structs.replace(head, answer_from=answer if answer is not None and answer < until else None, **changes), cut


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


def _part(links: Sequence[Link], column: int, length: int) -> Part:
    """One array as it is when so many tokens lie in it."""
    part = links[-1].head.parts[column]
    size = part.bytes // max(1, part.shape[-2])
    return Part(shape=(*part.shape[:-2], length, part.shape[-1]), dtype=part.dtype, bytes=size * length)
