"""What happens to kept runs, in the tree and in both tiers at once: added, shortened, forgotten, pinned. It looks nothing up.

Everything here belongs under the prompt cache's lock.
"""

import time
from collections.abc import Collection
from typing import Any, NamedTuple

import mlx.core as mx

from mlx_harmony.worker.cache.disk import Disk
from mlx_harmony.worker.cache.layers import StateOf, evaluated
from mlx_harmony.worker.cache.report import Parts
from mlx_harmony.worker.cache.tree import Held, Run, State, Tokens, Way


class Fresh(NamedTuple):
    """What is to be kept anew: a run's arrays, the states after certain tokens, and from which token on a model wrote it."""

    arrays: list[Any]
    states: dict[int, StateOf]
    answer_from: int | None = None
    chat: str = ""

    @property
    def bytes(self) -> int:
        return sum(array.nbytes for array in [*self.arrays, *(array for state in self.states.values() for array in state.arrays)])


class Keeping:
    """Keeps the tree and its tiers together. `disk` None: there is memory only."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._tree, self._memory, self._account, self._owners = parts.tree, parts.memory, parts.account, parts.owners
        self.disk: Disk | None = None

    def way_of(self, tokens: Tokens) -> Way:
        """The way of tokens that are about to be kept: what hangs on something that went is forgotten, they bring it anew."""
        way = self._tree.walk(tokens)
        gone = next((run for run in way.runs if not run.here), None)
        if gone is None:
            return way
        self.forget(self._tree.cut_off(gone))
        return self._tree.walk(tokens)

    def hang(self, tokens: Tokens, way: Way, fresh: Fresh) -> bool:
        """Keep what the way does not hold yet; False where there is no room for it at all."""
        too_large = fresh.bytes > self._memory.budget_bytes
        if too_large and self.disk is None:
            return False
        runs, new = list(way.runs), []  # type: list[Run], list[Held]
        if way.matched < len(tokens):
            run = self._tree.add(way, tokens)
            run.answer_from = fresh.answer_from if fresh.answer_from is not None and fresh.answer_from < run.end else None
            run.text = self._account.opening(run)
            self._memory.hold(run, fresh.arrays, evaluated(fresh.arrays) + overhead(run))
            runs.append(run)
            new.append(run)
        for end, state in fresh.states.items():
            run = next(run for run in reversed(runs) if run.start < end)
            snapshot = run.states.setdefault(end, State(run, end))
            self._memory.hold(snapshot, state, evaluated(state.arrays))
            new.append(snapshot)
        self.touch([*runs[-1].chain(), *(held for held in new if held is not runs[-1])])
        for held in new:
            if self.disk is not None:
                self.disk.keep(held)
            if too_large:
                # On its way to the disk; in memory it would push out everything else.
                self._memory.release(held)
        use = self._owners.note(fresh.chat, runs, len(tokens))
        if self.disk is not None:
            self.disk.note_use(use)
        self._memory.make_room()
        self.keep_within_entries()
        return True

    def touch(self, used: list[Held]) -> None:
        moment, now = self._memory.tick(), time.time()
        for held in used:
            held.used = moment
            if isinstance(held, Run):
                held.used_at = now
        if self.disk is not None:
            self.disk.touch([held for held in used if held.disk_bytes])

    def keep_within_entries(self) -> None:
        """Let the longest unused entries go from memory and disk where there are more than may be."""
        if not self._parts.most_entries:
            return
        gone = [held for run in self._owners.surplus(list(self._tree.runs()), self._parts.most_entries) for held in whole_of(run)]
        for held in gone:
            self._memory.release(held)
        self._memory.evictions += len(gone)
        if self.disk is not None and gone:
            self.disk.drop(gone)

    def _shorten(self, run: Run, until: int) -> None:
        """Let a run end earlier: what hung beyond has gone before."""
        beyond = [state for end, state in run.states.items() if end > until]
        for state in beyond:
            self._memory.release(state)
            del run.states[state.end]
        run.shorten(until)
        run.text = self._account.opening(run)
        if run.contents is not None:
            kept = [mx.contiguous(array[..., : until - run.start, :]) for array in run.contents]
            self._memory.hold(run, kept, evaluated(kept) + overhead(run))
        if self.disk is not None:
            self.disk.drop(beyond)
            self.disk.shorten(run)

    def forget(self, runs: list[Run]) -> None:
        held = [each for run in runs for each in whole_of(run)]
        self._owners.drop(runs)
        for each in held:
            self._memory.release(each)
        if self.disk is not None:
            self.disk.drop(held)

    def pin(self, runs: list[Run], pinned: bool) -> None:
        """Pin entries with all that they go on from; unpinning frees the entry alone."""
        held = [each for run in runs for link in (run.chain() if pinned else [run]) for each in whole_of(link)]
        for each in held:
            each.pinned = pinned
        if self.disk is not None:
            self.disk.pin(held, pinned)
        self._memory.make_room()

    def forget_chats(self, chats: Collection[str]) -> None:
        """Drop what only these chats used; what others used too stays as far as they used it."""
        for run, until in self._owners.without(chats, list(self._tree.runs())):
            if until <= run.start:
                self.forget(self._tree.cut_off(run))
            else:
                self._shorten(run, until)
        self._owners.forget(chats)
        self._account.forget(chats)
        if self.disk is not None:
            self.disk.forget_uses(chats)


def whole_of(run: Run) -> list[Held]:
    """A run with its states."""
    return [run, *run.states.values()]


def overhead(held: Held) -> int:
    """The bytes of a run's tokens."""
    return int(held.tokens.nbytes) if isinstance(held, Run) else 0
