"""The disk tier as the tree sees it: pieces written behind, found again at the next start, and read back when a prompt wants them.

Whatever is odd about a file makes it, and what hangs on it, unknown; it never becomes contents. The writing thread only sets what single
pieces say of themselves.
"""

from collections.abc import Collection, Sequence

import mlx.core as mx
import msgspec

from mlx_harmony.shelf.piece import Head, Part
from mlx_harmony.shelf.shelf import PieceFile, Shelf
from mlx_harmony.shelf.uses import Use, read_uses, remove_uses, write_use
from mlx_harmony.worker.cache.behind import Piece, WriteBehind
from mlx_harmony.worker.cache.layers import dtype_name, raw
from mlx_harmony.worker.cache.tree import Held, Run, State, Tree, token_array

SOME = 4
"""So many pieces at once: handing them over takes a moment in which nothing else is done."""


class Disk:
    """A tree's pieces on a shelf."""

    def __init__(self, tree: Tree, shelf: Shelf) -> None:
        self._tree = tree
        self.shelf = shelf
        self._known: dict[str, Held] = {}
        self._refused: dict[str, tuple[Held, int]] = {}
        self.others = [shelf.identity.differs_from(other) for other in shelf.others()]
        self._behind = WriteBehind(shelf, self._written, self._gone)

    @property
    def bytes(self) -> int:
        return sum(held.disk_bytes for held in list(self._known.values()))

    @property
    def problem(self) -> str:
        return self._behind.problem or _unwritten(self.refused_bytes) or (self.shelf.problems[-1] if self.shelf.problems else "")

    @property
    def refused_bytes(self) -> int:
        """What was to be kept and is not on the disk, because too much waited to be written when it came."""
        return sum(size for _, size in list(self._refused.values()))

    def restore(self, found: list[tuple[Head, PieceFile]]) -> int:
        """Hang what the shelf holds into the tree; a piece whose place is not there is taken off the disk. Returns the latest use."""
        times = sorted({file.used_at for _, file in found})
        uses = {moment: use for use, moment in enumerate(times, 1)}
        for head, file in sorted(found, key=lambda pair: (pair[0].kind == "state", pair[0].start, -pair[0].end)):
            held = self._hung(head)
            if held is None:
                self.shelf.remove([head.id])
                continue
            held.disk_bytes, held.used, held.pinned = file.bytes, uses[file.used_at], file.pinned
            if isinstance(held, Run):
                held.used_at = file.used_at / 1e9
            self._known[held.id] = held
        return len(times)

    def keep(self, held: Held) -> None:
        """Write a piece that is in memory and not on the disk yet, behind the answer. Its arrays must be evaluated."""
        if held.disk_bytes or held.contents is None or held.id in self._known:
            return
        head, arrays = written(held)
        ancestors = held.chain()[:-1] if isinstance(held, Run) else held.run.chain() if isinstance(held, State) else []
        self._known[held.id] = held
        held.on_its_way = True
        before = self.refused_bytes
        self._refused.pop(held.id, None)
        if not self._behind.write(Piece(head, arrays, tuple(run.id for run in ancestors))):
            del self._known[held.id]
            held.on_its_way = False
            self._refused[held.id] = held, head.payload_bytes
        if self.refused_bytes != before:
            self._note_problem()

    def catch_up(self) -> None:
        """Write some of what was refused and is still in memory, as far as there is room for it by now."""
        for held in [held for held, _ in self._refused.values() if held.contents is not None][:SOME]:
            self.keep(held)
            if not held.on_its_way:
                return

    def read(self, held: Held) -> tuple[Head, list[memoryview]]:
        """A piece's bytes, checked; from any thread. Raises Unreadable where they are not what was written; then it is off the disk."""
        if not held.disk_bytes:
            self.flush()
        return self.shelf.read(held.id)

    def touch(self, held: list[Held]) -> None:
        self._behind.touch([each.id for each in held])

    def pin(self, held: list[Held], pinned: bool) -> None:
        """Keep the files for good, or no longer."""
        self._behind.pin([each.id for each in held], pinned)

    def drop(self, held: Sequence[Held]) -> None:
        """Take pieces off the disk, also those that are only about to be written."""
        for each in held:
            each.disk_bytes, each.on_its_way = 0, False
            self._known.pop(each.id, None)
            self._refused.pop(each.id, None)
        self._behind.remove([each.id for each in held])

    def shorten(self, run: Run) -> None:
        """Let a run's file end where the run ends now."""
        if run.id in self._known:
            # Until then whoever wants it has to wait: the file still holds what goes.
            run.disk_bytes, run.on_its_way = 0, True
            piece, until = run.id, run.end
            self._behind.do(lambda: self._written(piece, self.shelf.shorten(piece, until)))

    def uses(self) -> list[Use]:
        """What chats used of the shelf."""
        return list(read_uses(self.shelf.folder).values())

    def note_use(self, use: Use) -> None:
        """Write down what a chat used."""
        self._behind.do(lambda: write_use(self.shelf.folder, use))

    def note_pace(self, token_s: float) -> None:
        """Write down how fast the model reads, for its next start."""
        self._behind.do(lambda: self.shelf.note_pace(token_s))

    def forget_uses(self, chats: Collection[str]) -> None:
        self._behind.do(lambda: remove_uses(self.shelf.folder, chats))

    def flush(self) -> None:
        """Wait until all is written."""
        self._behind.flush()

    def close(self, timeout_s: float) -> None:
        self._behind.close(timeout_s)

    def _note_problem(self) -> None:
        """Write it down for those who look at the shelf without its model."""
        problem = _unwritten(self.refused_bytes)
        self._behind.do(lambda: self.shelf.note_problem(problem))

    def _hung(self, head: Head) -> Held | None:
        """The run or state of a head in its place in the tree; None where it has none."""
        parent = self._known.get(head.parent) if head.parent else self._tree.root
        if not isinstance(parent, Run):
            return None
        if head.kind == "state":
            state = State(parent, head.end)
            if state.id != head.id or not parent.start < head.end <= parent.end:
                return None
            return parent.states.setdefault(head.end, state)
        tokens = token_array(memoryview(head.tokens).cast("i"))
        if not tokens.size or not (head.start == 0 if parent is self._tree.root else parent.start < head.start <= parent.end):
            return None
        run = Run(parent, head.start, tokens)
        if head.cut:
            run.id, run.cut = head.id, True
        if run.id != head.id or self._tree.hang(run) is not run:
            return None
        run.answer_from, run.text = head.answer_from, head.text
        return run

    def _written(self, piece_id: str, size: int) -> None:
        held = self._known.get(piece_id)
        if held is None:
            self.shelf.remove([piece_id])
        else:
            held.disk_bytes, held.on_its_way = size, False

    def _gone(self, piece_ids: set[str]) -> None:
        for piece_id in piece_ids:
            if (held := self._known.pop(piece_id, None)) is not None:
                held.disk_bytes = 0


def _unwritten(size: int) -> str:
    if not size:
        return ""
    told = f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{max(1, round(size / 1e6))} MB"
    return f"Not all that was read is on the disk: {told} came faster than it could be written."


def written(held: Held) -> tuple[Head, list[mx.array]]:
    """The head of a piece that is in memory, and its evaluated arrays in types that numpy has."""
    match held:
        case Run():
            arrays = held.contents
            head = Head(
                id=held.id,
                kind="run",
                parent=held.parent.id if held.parent else "",
                start=held.start,
                end=held.end,
                tokens=held.tokens.tobytes(),
                answer_from=held.answer_from,
                text=held.text,
                cut=held.cut,
            )
        case State():
            arrays = held.contents.arrays
            head = Head(id=held.id, kind="state", parent=held.run.id, start=0, end=held.end, statics=held.contents.statics)
        case _:
            raise TypeError(type(held).__name__)
    parts = tuple(Part(shape=tuple(array.shape), dtype=dtype_name(array), bytes=array.nbytes) for array in arrays)
    plain = [raw(array) for array in arrays]
    mx.eval(plain)
    return msgspec.structs.replace(head, parts=parts), plain
