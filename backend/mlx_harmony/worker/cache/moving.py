"""An entry of the cache on its way to a file and back: what of the tree goes into it, and what a file brings. It knows no queue."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import mlx.core as mx

from mlx_harmony.cache_records import SavedCache
from mlx_harmony.errors import InvalidRequest
from mlx_harmony.shelf.bundle import Bundle, read_arrays, refuse_to_overwrite, write_bundle
from mlx_harmony.shelf.joining import Link, joined
from mlx_harmony.shelf.piece import Head, Unreadable
from mlx_harmony.shelf.shelf import Identity, Shelf
from mlx_harmony.worker.cache.behind import readable
from mlx_harmony.worker.cache.disk import written
from mlx_harmony.worker.cache.layers import Shape, StateOf, all_cut, as_bytes, from_bytes, run_fits, state_fits
from mlx_harmony.worker.cache.tree import Held, Run, Tokens, token_array


class Part(NamedTuple):
    """A run or a state: its head and arrays where it is in memory, else only its id."""

    id: str
    head: Head | None = None
    arrays: Sequence[Any] = ()


class Step(NamedTuple):
    """A run on the way with the states that lie on it, followed up to token `until`."""

    run: Part
    until: int
    states: list[Part]


def steps_of(run: Run) -> list[Step]:
    """The way to the end of a run. Belongs to the thread that owns mlx."""
    chain = run.chain()
    ends = [*(link.start for link in chain[1:]), run.end]
    return [
        Step(_part(link), until, [_part(state) for end, state in sorted(link.states.items()) if state.here and end <= until])
        for link, until in zip(chain, ends, strict=True)
    ]


def save(steps: list[Step], shelf: Shelf | None, identity: Identity, path: Path, *, replace: bool) -> SavedCache:
    """Write a way to a file. Touches no mlx but finished arrays. Raises InvalidRequest and StorageError."""
    refuse_to_overwrite(path, replace)
    try:
        links = [Link(*_bytes(step.run, shelf), step.until, [_bytes(state, shelf) for state in step.states]) for step in steps]
    except Unreadable as error:
        raise InvalidRequest(f"The entry cannot be saved: {error}.", hint="Choose another entry.", param="entry") from error
    bundle, arrays = joined(identity, links)
    return write_bundle(path, bundle, arrays, replace=replace)


class Whole(NamedTuple):
    """What a file brought: tokens from the first on, an array of each layer that can be cut, and states."""

    tokens: Tokens
    arrays: list[mx.array]
    states: dict[int, StateOf]
    answer_from: int | None

    def fits(self, shapes: Sequence[Shape]) -> bool:
        """Whether caches of these shapes can be made of it."""
        goes_on = all_cut(shapes) or bool(self.states)
        states = self.states.values()
        return goes_on and run_fits(shapes, self.arrays, len(self.tokens)) and all(state_fits(shapes, state) for state in states)


def whole(path: Path, bundle: Bundle) -> Whole:
    """What a checked file holds, as arrays. Belongs to the thread that owns mlx. Raises InvalidRequest."""
    try:
        columns, *states = (
            [from_bytes(data, part.shape, part.dtype) for data, part in zip(arrays, head.parts, strict=True)]
            for head, arrays in zip(bundle.heads, read_arrays(path, bundle), strict=True)
        )
    except (ValueError, TypeError) as error:
        raise InvalidRequest(f"{path.name} cannot be loaded: {error}.", hint="Save it again.", param="path") from error
    mx.eval(columns, states)
    kept = {head.end: StateOf(head.statics, arrays) for head, arrays in zip(bundle.states, states, strict=True)}
    return Whole(token_array(memoryview(bundle.run.tokens).cast("i")), columns, kept, bundle.run.answer_from)


def _part(held: Held) -> Part:
    if held.contents is None:
        return Part(held.id)
    head, arrays = written(held)
    return Part(held.id, head, readable(arrays))


def _bytes(part: Part, shelf: Shelf | None) -> tuple[Head, list[memoryview]]:
    """A part's head and bytes, from the disk where they are not here. Raises Unreadable."""
    if part.head is not None:
        return part.head, [as_bytes(array) for array in part.arrays]
    if shelf is None:
        raise Unreadable("it was evicted")
    return shelf.read(part.id)
