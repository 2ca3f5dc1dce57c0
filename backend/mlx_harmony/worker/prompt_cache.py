"""Keeps what the model already read, and gives it back to prompts that begin the same: in memory, and on disk for the next start.

Nothing that uses what is kept can change it: live caches are made anew from it. Where every layer can be cut (plain and quantised KV) a
prompt reuses all that agrees; sliding windows and state spaces go on only from places after which a snapshot was put. It never misses
silently: every look-up leaves a record. It knows nothing of chats or formats.
"""

import threading
from collections.abc import Collection, Generator, Sequence
from typing import Any, NamedTuple

from mlx_harmony.cache_records import CacheAction, CacheState, Reuse
from mlx_harmony.errors import InvalidRequest
from mlx_harmony.shelf.shelf import Identity, Shelf
from mlx_harmony.worker.cache.account import Account, Asker, Found, Spell, explain
from mlx_harmony.worker.cache.disk import Disk
from mlx_harmony.worker.cache.fetching import Fetched
from mlx_harmony.worker.cache.history import History
from mlx_harmony.worker.cache.keeping import Fresh, Keeping, overhead, whole_of
from mlx_harmony.worker.cache.layers import Layers, Shape, cut_arrays, divisible, holds, keepable, shapes_of, state_of
from mlx_harmony.worker.cache.memory import Memory
from mlx_harmony.worker.cache.moving import Step, Whole, steps_of
from mlx_harmony.worker.cache.owners import Owners
from mlx_harmony.worker.cache.reaching import Reached, reach
from mlx_harmony.worker.cache.report import Parts, point_of
from mlx_harmony.worker.cache.report import state_of as report
from mlx_harmony.worker.cache.restoring import Kept, Pause, finished
from mlx_harmony.worker.cache.tree import Held, Run, State, Tokens, Tree, Way, token_array

__all__ = ["DEFAULT_BYTES", "Layers", "PromptCache", "Taken", "divisible"]

DEFAULT_BYTES = 2 * 1024**3
Prompt = Sequence[int] | Tokens
MIN_REUSE = 8
FLUSH_S = 0.8


class Taken(NamedTuple):
    """What live caches of the first `length` tokens can be made of, None for none; and the record of the look-up."""

    length: int
    kept: Kept | None
    reuse: Reuse

    @property
    def layers(self) -> Layers | None:
        """Live caches of them."""
        return self.kept.live() if self.kept is not None else None


Looking = Generator[Pause, None, Taken]
"""A look-up under way; what it yields must be over before it goes on."""


def _unspelt(tokens: list[int]) -> str:
    return ""


class PromptCache:
    """What one model has read. `take` and `put` belong to the thread that owns mlx; `look` and `act` to any."""

    def __init__(self, budget_bytes: int = DEFAULT_BYTES, spell: Spell = _unspelt, most_entries: int = 0) -> None:
        self._tree = Tree()
        self._memory = Memory(self._tree, budget_bytes)
        self._account = Account(spell)
        self._owners = Owners()
        self._parts = Parts(self._tree, self._memory, self._account, self._owners, History(), most_entries)
        self._keeping = Keeping(self._parts)

        self._shapes: tuple[Shape, ...] | None = None
        self.identity: Identity | None = None
        self._lock = threading.RLock()

    def know_shapes(self, layers: Layers) -> None:
        """Take fresh caches of this model for what all of them are like."""
        self._shapes = shapes_of(layers)

    def open_disk(self, shelf: Shelf, layers: Layers) -> None:
        """Keep what is read on this shelf too, and find what it holds; `layers` are fresh caches of this model. Raises OSError."""
        found = shelf.open()
        self.know_shapes(layers)
        with self._lock:
            disk = self._keeping.disk = Disk(self._tree, shelf)
            self._memory.begin_at(disk.restore(found))
            disk.forget_uses(self._owners.restore(disk.uses(), {run.id for run in self._tree.runs()}))
            self._account.token_s = shelf.pace()
            self._keeping.keep_within_entries()

    @property
    def _disk(self) -> Disk | None:
        return self._keeping.disk

    @property
    def budget_bytes(self) -> int:
        return self._memory.budget_bytes

    @property
    def bytes(self) -> int:
        """What is in memory."""
        return self._memory.bytes

    def __len__(self) -> int:
        """How many runs can be had."""
        return sum(run.here for run in self._tree.runs())

    def take(self, prompt: Prompt) -> tuple[int, Layers | None]:
        """The longest reusable prefix of `prompt` and live caches that hold it; (0, None) where nothing is worth reusing."""
        taken = self.lookup(prompt)
        return taken.length, taken.layers

    def peek(self, prompt: Prompt) -> int:
        """How many tokens of `prompt` would need no reading now. It counts as no use and opens no file."""
        tokens = token_array(prompt)
        with self._lock:
            return reach(self._tree, tokens, self._shapes, MIN_REUSE).length

    @property
    def token_s(self) -> float:
        """How many seconds reading one token takes, 0 where that is not known yet."""
        return self._account.token_s

    def learn(self, token_s: float) -> None:
        """Take note of how fast this model reads."""
        self._account.learn(token_s)

    def lookup(self, prompt: Prompt, asker: Asker = Asker()) -> Taken:  # noqa: B008
        """The same, with the record of what was reused and why not more. Waits for the disk."""
        return finished(self.looking(prompt, asker))

    def looking(self, prompt: Prompt, asker: Asker = Asker(), least: int = MIN_REUSE) -> Looking:  # noqa: B008
        """The same step by step, so that nobody else waits for the disk. Fewer tokens than `least` are not worth reusing."""
        tokens, fetched = token_array(prompt), Fetched()
        while True:
            with self._lock:
                reached = reach(self._tree, tokens, self._shapes, least)
                missing = [held for held in reached.pieces if fetched.of(held) is None]
                if not missing:
                    return self._taken(tokens, reached, fetched, asker)
            yield from self._fetching(missing, fetched)

    def put(
        self, tokens: Prompt, layers: Layers, answer_from: int | None = None, chat: str = "", snapshot: bool = True, part_of: int = 0
    ) -> bool:
        """Keep live caches that hold exactly `tokens`; False where not all of them can be kept.

        `answer_from`: from which token on the model wrote them itself. `chat`: whose they are, "" for nobody's. `snapshot`: whether a
        prompt may go on from just here where caches cannot be cut. `part_of`: how many new tokens are about to be kept with them in all.
        """
        if len(tokens) < MIN_REUSE or not layers or not keepable(layers) or not holds(layers, len(tokens)):
            return False
        shapes = shapes_of(layers)
        with self._lock:
            if self._shapes not in (None, shapes):
                return False
            self._shapes = shapes
            wanted, way = token_array(tokens), self._keeping.way_of(token_array(tokens))
            needless = not snapshot or divisible(layers) or self._has_state(way, wanted)
            states = {} if needless else {len(wanted): state_of(layers)}
            return self._keeping.hang(wanted, way, Fresh(cut_arrays(layers), states, answer_from, chat, part_of))

    def give_way(self, size: int) -> None:
        """Let so many bytes of memory go, the least recently used first; what is pinned stays."""
        with self._lock:
            self._memory.make_room(max(0, self._memory.bytes - size))

    def clear(self) -> None:
        """Forget everything, on disk too."""
        self.act("clear")

    def look(self) -> CacheState:
        """What is kept and what came of it."""
        with self._lock:
            return report(self._parts, self._disk, self.identity.kv_form if self.identity else "")

    def act(self, action: CacheAction, entry: str = "") -> CacheState:
        """Drop or pin an entry by its id, or clear a tier; an id that is not there changes nothing."""
        with self._lock:
            runs = [run for run in self._tree.runs() if run.id == entry]
            match action:
                case "drop":
                    self._keeping.forget([gone for run in runs for gone in self._tree.cut_off(run)])
                case "pin" | "unpin":
                    self._keeping.pin(runs, action == "pin")
                case "clear_memory":
                    for run in self._tree.runs():
                        for held in whole_of(run):
                            self._memory.release(held)
                case "clear_disk" if self._disk is not None:
                    self._disk.drop([held for run in self._tree.runs() for held in whole_of(run)])
                case "clear":
                    self._keeping.forget([gone for run in list(self._tree.root.children.values()) for gone in self._tree.cut_off(run)])
        return self.look()

    def has(self, entry: str) -> bool:
        """Whether there is such an entry of which something is left."""
        with self._lock:
            return any(run.id == entry and run.here for run in self._tree.runs())

    def way_to(self, entry: str) -> tuple[list[Step], Shelf | None]:
        """The runs on the way to an entry, and where those lie that are not in memory. Raises InvalidRequest for one that is gone."""
        with self._lock:
            run = next((run for run in self._tree.runs() if run.id == entry), None)
            if run is None or not all(link.here for link in run.chain()):
                gone = "It was evicted: nothing is left of it." if run else "There is no such entry any more."
                raise InvalidRequest(gone, hint="Choose another entry.", param="entry")
            return steps_of(run), self._disk.shelf if self._disk else None

    def take_in(self, loaded: Whole) -> None:
        """Keep what a file holds, beside what is here. Raises InvalidRequest where it does not fit, or there is no room for it."""
        with self._lock:
            if self._shapes is None or not loaded.fits(self._shapes):
                raise InvalidRequest("Its contents are not those of this model's cache.", hint="Save it again.", param="path")
            way = self._keeping.way_of(loaded.tokens)
            known = {state.end for run in way.runs for state in run.states.values() if state.here}
            states = {end: state for end, state in loaded.states.items() if end > way.matched or end not in known}
            if not self._keeping.hang(loaded.tokens, way, Fresh(loaded.arrays, states, loaded.answer_from)):
                hint = "Give the cache more memory or some disk in the settings."
                raise InvalidRequest("There is no room for it in the cache.", hint=hint, param="path")

    def forget_chats(self, chats: Collection[str]) -> None:
        """Drop what only these chats used; what others used too stays as far as they used it. It is off the disk after a `flush`."""
        with self._lock:
            self._keeping.forget_chats(chats)

    def flush(self) -> None:
        """Wait until all that was put is on the disk."""
        if self._disk is not None:
            self._disk.flush()

    def close(self) -> None:
        """Write what still waits, as far as a moment allows."""
        if self._disk is not None:
            self._disk.note_pace(self.token_s)
            self._disk.close(FLUSH_S)

    def _fetching(self, missing: Sequence[Held], fetched: Fetched) -> Generator[Pause, None, None]:
        """Bring these from the disk; the first that cannot be had is forgotten."""
        assert self._disk is not None and self._shapes is not None
        yield from fetched.fetch(missing, self._disk, self._shapes)
        if fetched.lost is not None:
            with self._lock:
                self._keeping.lose(fetched.lost)
            fetched.lost = None

    def _taken(self, tokens: Tokens, reached: Reached, fetched: Fetched, asker: Asker) -> Taken:
        """What was reached, counted as used, and the record of it."""
        found = Found(reached.way, reached.length, reached.from_disk, fetched.trouble)
        kept = None
        if reached.length:
            for held in reached.pieces:
                self._hold(held, fetched.of(held))
            kept = reached.kept(self._shapes or ())
            self._use(reached.pieces)
        reuse = explain(tokens, found, self._disk.others if self._disk else ())
        if not self._memory.budget_bytes and self._disk is None:
            reuse = Reuse(prompt=len(tokens), reason="off")
        self._account.note(reuse, asker)
        self._parts.history.note(lambda now: point_of(self._parts, self._disk, now))
        return Taken(reached.length, kept, reuse)

    def _hold(self, held: Held, contents: Any) -> None:
        if held.contents is None:
            arrays = contents.arrays if isinstance(held, State) else contents
            self._memory.hold(held, contents, sum(array.nbytes for array in arrays) + overhead(held))

    def _use(self, used: list[Held]) -> None:
        """Count pieces as used now, and come within the budget."""
        self._keeping.touch(used)
        for held in used:
            if isinstance(held, Run):
                held.hits += 1
        self._memory.make_room()

    def _has_state(self, way: Way, tokens: Tokens) -> bool:
        """Whether a snapshot after exactly these tokens can be had already."""
        state = way.runs[-1].states.get(len(tokens)) if way.runs and way.matched == len(tokens) else None
        return state is not None and state.here
