"""The memory tier: what of the tree is in memory, within a budget of bytes; the least recently used goes first. It knows no disk."""

from collections.abc import Iterator
from typing import Any

from mlx_harmony.worker.cache.tree import Held, Tree


class Memory:
    """Counts what is held in memory. `budget_bytes` 0 keeps nothing."""

    def __init__(self, tree: Tree, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.bytes = 0
        self.evictions = 0
        self._tree = tree
        self._clock = 0

    def begin_at(self, clock: int) -> None:
        """Let later uses count from here."""
        self._clock = clock

    def tick(self) -> int:
        """A moment after all earlier ones."""
        self._clock += 1
        return self._clock

    def hold(self, held: Held, contents: Any, size: int) -> None:
        """Keep these contents in memory."""
        self.release(held)
        held.contents, held.bytes = contents, size
        self.bytes += size

    def release(self, held: Held) -> None:
        """Let the contents go from memory."""
        if held.contents is not None:
            self.bytes -= held.bytes
            held.contents, held.bytes = None, 0

    def make_room(self, budget_bytes: int | None = None) -> None:
        """Come within the budget, or this once a smaller one; what is pinned stays. Of what was used together the longest goes first."""
        budget = self.budget_bytes if budget_bytes is None else budget_bytes
        if self.bytes <= budget:
            return
        loose = (held for held in pieces_of(self._tree) if held.contents is not None and not held.pinned)
        for held in sorted(loose, key=lambda held: (held.used, -held.end)):
            if self.bytes <= budget:
                break
            self.release(held)
            self.evictions += 1
        self._tree.forget_oldest()


def pieces_of(tree: Tree) -> Iterator[Held]:
    """Every run and every state."""
    for run in tree.runs():
        yield run
        yield from run.states.values()
