"""How far a prompt can be had, and of which pieces. It looks at the tree and changes nothing in it."""

from collections.abc import Sequence
from typing import NamedTuple

from mlx_harmony.worker.cache.layers import Shape, Stretch, all_cut
from mlx_harmony.worker.cache.restoring import Kept
from mlx_harmony.worker.cache.tree import Held, Run, State, Tokens, Tree, Way


class Reached(NamedTuple):
    """How far a prompt is known, and how many tokens of it can be had from memory or disk; `state` is what they need besides runs."""

    way: Way
    length: int = 0
    state: State | None = None

    @property
    def runs(self) -> list[tuple[Run, int]]:
        """The runs that are needed, and how many tokens of each."""
        runs = (run for run in self.way.runs if run.start < self.length)
        return [(run, min(self.way.upto(at), self.length) - run.start) for at, run in enumerate(runs)]

    @property
    def pieces(self) -> list[Held]:
        """All that is needed, in the order in which a prompt needs it."""
        runs: list[Held] = [run for run in self.way.runs if run.start < self.length]
        return [*runs, self.state] if self.state is not None else runs

    @property
    def from_disk(self) -> int:
        """How many of the tokens are not in memory; a state stands for all of them."""
        if self.state is not None and self.state.contents is None:
            return self.length
        return sum(length for run, length in self.runs if run.contents is None)

    def kept(self, shapes: Sequence[Shape]) -> Kept:
        """What live caches are made of, once all of it is in memory."""
        stretches = [Stretch(run.contents, length) for run, length in self.runs]
        return Kept(shapes, stretches, self.state.contents if self.state is not None else None)


def reach(tree: Tree, tokens: Tokens, shapes: Sequence[Shape] | None, least: int) -> Reached:
    """The longest prefix that can be had, less than all of the tokens; none where it is shorter than `least`.

    Where a layer cannot be cut it is the longest after which there is a state; so it is while the `shapes` are not known.
    """
    way, reached = tree.walk(tokens), 0
    cut = shapes is not None and all_cut(shapes)
    states: list[State] = []
    for at, run in enumerate(way.runs):
        if not run.here:
            break
        reached = min(len(tokens) - 1, way.upto(at))
        if not cut:
            states += [state for state in run.states.values() if state.end <= reached and state.here]
    if cut:
        return Reached(way, reached) if reached >= least else Reached(way)
    best = max(states, key=lambda state: state.end, default=None)
    return Reached(way, best.end, best) if best is not None and best.end >= least else Reached(way)
