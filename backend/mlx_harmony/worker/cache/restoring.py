"""Live caches made of what is kept, at once or a bounded part at a time, so that answers go on meanwhile. Knows no tree and no files."""

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, wait
from typing import Any, NamedTuple, TypeVar

import mlx.core as mx

from mlx_harmony.worker.cache.layers import Layers, Shape, StateOf, Stretch, rebuilding, rebuilt

STEP_BYTES = 32 * 1024**2
"""How much is copied before others have their turn: some hundredths of a second on a slow machine."""

Pause = Future[Any] | None
"""What has to be over before the next step: reading a file beside, or None where only others are to have their turn."""

T = TypeVar("T")


class Kept(NamedTuple):
    """What live caches can be made of: the runs of a prompt one after another, and the state after the last where one is needed."""

    shapes: Sequence[Shape]
    runs: list[Stretch]
    state: StateOf | None

    def live(self) -> Layers:
        """Live caches, not evaluated yet."""
        return rebuilt(self.shapes, self.runs, self.state)

    def making(self) -> Generator[Pause, None, Layers]:
        """Live caches, evaluated part by part. Belongs to the thread that owns mlx."""
        layers: Layers = []
        part: list[mx.array] = []
        for layer in rebuilding(self.shapes, self.runs, self.state):
            layers.append(layer)
            for array in _arrays(layer.state):
                if part and sum(each.nbytes for each in (*part, array)) > STEP_BYTES:
                    mx.eval(part)
                    part = []
                    yield None
                part.append(array)
        mx.eval(part)
        return layers


def finished(steps: Generator[Pause, None, T]) -> T:
    """What steps come to, for whoever has nothing else to do meanwhile."""
    while True:
        try:
            pause = next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        if pause is not None:
            wait([pause])


def _arrays(state: Any) -> Iterator[mx.array]:
    if isinstance(state, mx.array):
        yield state
    elif isinstance(state, list | tuple):
        for inner in state:
            yield from _arrays(inner)
