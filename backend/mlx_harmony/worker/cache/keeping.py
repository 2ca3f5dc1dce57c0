"""What happens to kept runs, in the tree and in both tiers at once: added, shortened, forgotten, pinned. It looks nothing up.

Everything here belongs under the prompt cache's lock.
"""

import time
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import mlx.core as mx

from mlx_harmony.worker.cache.disk import Disk
from mlx_harmony.worker.cache.layers import StateOf, evaluated
from mlx_harmony.worker.cache.report import Parts
from mlx_harmony.worker.cache.thinning import surplus
from mlx_harmony.worker.cache.tree import Held, Run, State, Tokens, Way

RUN_BYTES = 64 * 1024**2
"""A longer run is kept as several: so much is written, read and evicted at once."""


class Fresh(NamedTuple):
    """What is to be kept anew: arrays that hold each token from the first on, the states after certain tokens, whose it is.

    `answer_from`: from which token on a model wrote it. `part_of`: how many new tokens are kept with it, before and after.
    """

    arrays: Sequence[mx.array]
    states: dict[int, StateOf]
    answer_from: int | None = None
    chat: str = ""
    part_of: int = 0

    @property
    def token_bytes(self) -> int:
        """What one token takes, states aside."""
        return sum(array.nbytes // array.shape[-2] for array in self.arrays)

    def size(self, tokens: int) -> int:
        """What so many new tokens and all states take."""
        return self.token_bytes * tokens + sum(array.nbytes for state in self.states.values() for array in state.arrays)

    def links(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """From where to where the runs go that hold these tokens."""
        most = max(1, RUN_BYTES // self.token_bytes) if self.token_bytes else max(1, end - start)
        return ((at, min(at + most, end)) for at in range(start, end, most))

    def between(self, start: int, end: int) -> list[mx.array]:
        """Copies of these tokens' arrays, not yet evaluated."""
        return [mx.contiguous(array[..., start:end, :]) for array in self.arrays]


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
        """Keep what the way does not hold yet; False where there is no room for all of it."""
        through = fresh.size(max(fresh.part_of, len(tokens) - way.matched)) > self._memory.budget_bytes
        if through and self.disk is None:
            return False
        runs, new = list(way.runs), []  # type: list[Run], list[Held]
        for start, end in fresh.links(way.matched, len(tokens)):
            run = self._tree.add(runs[-1] if runs else self._tree.root, start, tokens[start:end])
            run.answer_from = fresh.answer_from if fresh.answer_from is not None and fresh.answer_from < run.end else None
            run.text = self._account.opening(run)
            runs.append(run)
            new.append(run)
            if not self._keep(run, fresh.between(start, end), through):
                break
        for end, state in fresh.states.items():
            if runs and end <= runs[-1].end and (not new or runs[-1].here):
                run = next(run for run in reversed(runs) if run.start < end)
                new.append(run.states.setdefault(end, State(run, end)))
                self._keep(new[-1], state, through)
        if fresh.states:
            self._thin(runs[-1])
        self.touch([*runs[-1].chain(), *(held for held in new if held is not runs[-1])])
        use = self._owners.note(fresh.chat, runs, min(len(tokens), runs[-1].end))
        if self.disk is not None:
            self.disk.note_use(use)
        self._memory.make_room()
        self.keep_within_entries()
        return runs[-1].here

    def _keep(self, held: Held, contents: Any, through: bool) -> bool:
        """Hold a new piece in memory and let it be written. One that goes `through` to the disk would push out everything else here.

        False where it can be had from nowhere then.
        """
        self._memory.hold(held, contents, evaluated(contents.arrays if isinstance(held, State) else contents) + overhead(held))
        if self.disk is not None:
            self.disk.keep(held)
        if through:
            self._memory.release(held)
        return held.here

    def _thin(self, run: Run) -> None:
        """Drop the snapshots that are too many on the way to the end of a run."""
        gone = surplus(run)
        for state in gone:
            self._memory.release(state)
            del state.run.states[state.end]
        if self.disk is not None and gone:
            self.disk.drop(gone)

    def touch(self, used: list[Held]) -> None:
        moment, now = self._memory.tick(), time.time()
        for held in used:
            held.used = moment
            if isinstance(held, Run):
                held.used_at = now
        if self.disk is not None:
            self.disk.catch_up()
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

    def lose(self, held: Held) -> None:
        """Forget a piece whose file turned out bad, and what hangs on it; one that went meanwhile is ignored."""
        if isinstance(held, State) and held.run.states.get(held.end) is held:
            del held.run.states[held.end]
            self._memory.release(held)
            if self.disk is not None:
                self.disk.drop([held])
        elif isinstance(held, Run) and self._tree.has(held):
            self.forget(self._tree.cut_off(held))

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
