"""The answers that are being drawn at this moment, in groups that take each step together. Knows no requests and no events.

Answers join and leave between steps. Those whose lengths differ so much that the padding would cost more than it saves, or would not
fit, are grouped apart, and the groups take their steps by turns. A model whose caches cannot be batched, or that answers differently in
a batch, has a group for each.
"""

from collections.abc import Collection

import mlx.core as mx
import mlx.nn as nn

from mlx_harmony.errors import GenerationFailed, OutOfMemory
from mlx_harmony.worker.agreement import agrees, mergeable
from mlx_harmony.worker.decode import Drawing, Group, Pending, Row, drawings
from mlx_harmony.worker.guard import guarded
from mlx_harmony.worker.padding import Bounds, Free
from mlx_harmony.worker.prompt_cache import Layers
from mlx_harmony.worker.speculation.ahead import Ahead
from mlx_harmony.worker.speculation.gain import Choice, Gain
from mlx_harmony.worker.speculation.trial import Trial

CLEAR_EVERY = 256


class Batch:
    """Draws the next token of every row at once. `together` is False once it is known that this model's answers must be drawn alone.

    `gain` decides where the tokens of an answer that is drawn alone are guessed ahead. `free` tells how much memory may be taken.
    """

    def __init__(self, model: nn.Module, gain: Choice | None = None, free: Free = lambda: None) -> None:
        self.gain = gain or Gain()
        self._model = model
        self._bounds = Bounds(model, free)
        self._trial = Trial(model)
        self._groups: list[Group] = []
        self._checked = False
        self._steps = 0
        self.together = mergeable(model)

    def __len__(self) -> int:
        return sum(len(group.rows) - len(group.gone) for group in self._groups)

    def join(self, row: Row, layers: Layers, tokens: list[int]) -> None:
        """Begin, or go on, after these tokens, which the row's caches do not hold yet. Raises what the model raises.

        One token waits for the next step, to be fed with the others' tokens: by itself it would cost the weights once more.
        """
        group = Group(self._model, [row], layers)
        if len(tokens) == 1:
            group.start(tokens[0])
        else:
            group.feed(mx.array(tokens, mx.int32)[None])
        self._groups.append(group)

    def say(self, row: Row, tokens: list[int]) -> None:
        """Go on after these tokens, fewer than are `left`, instead of with the one under way, which was fed to nothing yet."""
        group = self._group_of(row)
        unfed = [group.starting[row]] if group is not None and row in group.starting else []
        layers = self.leave(row)
        row.left -= len(tokens)
        for token in tokens:
            row.saw(token)
        self.join(row, layers, [*unfed, *tokens])

    def leave(self, row: Row) -> Layers:
        """End a row; its own caches, which hold `held` tokens."""
        group = self._group_of(row)
        if group is None:
            return []
        group.gone.add(row)
        return group.extract(row)

    def drop(self, row: Row) -> None:
        """End a row whose caches nobody wants; one that has left already is ignored."""
        if (group := self._group_of(row)) is not None:
            group.gone.add(row)

    def settle(self) -> None:
        """Wait for the step under way, so that what comes next is timed by itself."""
        mx.eval([group.pending.tokens for group in self._groups if group.pending is not None])
        for group in self._groups:
            if group.ahead is not None:
                group.ahead.settle()

    def step(self) -> list[tuple[Row, Drawing | None]]:
        """The next token of every row, once the step after it is under way; None for one that was lost before it drew anything.

        Who joins others is fed with them and has its first token at the step after.
        """
        self._gather()
        read: list[tuple[Row, Drawing | None]] = []
        for group in [each for each in self._groups if each.drew_nothing]:
            if not self._advance(group):
                read += [(row, None) for row in group.rows]
        alone = len(self._groups) == 1
        read += [self._step_ahead(group, alone) for group in self._groups if self._goes_ahead(group)]
        under_way = [(group, group.pending, group.starting) for group in self._groups if group.ahead is None]
        for group, *_ in under_way:
            self._advance(group)
        for group, pending, starting in under_way:
            read += [(row, None) for row in starting if row.lost]
            if pending is not None:
                read += self._read(group, pending, starting)
        self._steps += 1
        if self._steps % CLEAR_EVERY == 0:
            mx.clear_cache()
        return read

    def _goes_ahead(self, group: Group) -> bool:
        """Whether a group has one row, which makes guesses."""
        (row, *others) = group.rows
        if group.ahead is None and not others and row.drafting is not None:
            group.ahead = Ahead(self._model, group, row.drafting, self._trial.passed)
        return group.ahead is not None

    def _step_ahead(self, group: Group, alone: bool) -> tuple[Row, Drawing]:
        (row,), drawn = group.rows, [Drawing(0)]
        assert group.ahead is not None
        step = group.ahead.step
        failed = guarded(lambda: drawn.append(step(alone)), GenerationFailed)
        row.problem = row.problem or failed
        return row, drawn[-1]

    def _advance(self, group: Group) -> bool:
        """A group's next step. Where the model raises over several rows, each goes on alone; a single row has the problem."""
        failed = guarded(group.advance, GenerationFailed)
        if failed is None:
            return True
        self._groups.remove(group)
        self.together = self.together and (len(group.rows) == 1 or failed.code == OutOfMemory.code)
        for row in group.rows:
            row.lost = row.alone = True
            if len(group.rows) == 1:
                row.problem = failed
        return False

    def _read(self, group: Group, pending: Pending, starting: Collection[Row]) -> list[tuple[Row, Drawing]]:
        """What was drawn for the rows; those that were `starting` were only fed."""
        read: list[Drawing] = []
        failed = guarded(lambda: read.extend(drawings(pending)), GenerationFailed)
        drawn = zip(group.rows, read or [Drawing(0)] * len(group.rows), strict=True)
        told = [(row, drawing) for row, drawing in drawn if row not in starting]
        for row, drawing in told:
            row.problem = row.problem or failed
            if failed is None:
                row.saw(drawing.token)
        return told

    def _gather(self) -> None:
        """Take out who left, and bring together who can go together."""
        for group in self._groups:
            group.compact()
        self._groups = [group for group in self._groups if group.rows]
        if len(self._groups) < 2 or not self.together:
            return
        if not self._checked:
            self._checked, self.together = True, agrees(self._model)
        if self.together:
            self._groups = self._gathered()

    def _group_of(self, row: Row) -> Group | None:
        return next((group for group in self._groups if row in group.rows and row not in group.gone), None)

    def _gathered(self) -> list[Group]:
        """The groups with every single row taken in by the first group that it suits."""
        kept: list[Group] = []
        joining: dict[int, list[Group]] = {}
        for group in self._groups:
            at = next((at for at, base in enumerate(kept) if self._suits(base, joining.get(at, []), group)), None)
            if at is None:
                kept.append(group)
            else:
                joining.setdefault(at, []).append(group)
        for at, others in joining.items():
            kept[at].absorb(others)
        return kept

    def _suits(self, base: Group, joined: list[Group], group: Group) -> bool:
        """Whether a group of one row may be taken in without too much padding."""
        rows = [*base.rows, *(row for other in joined for row in other.rows), *group.rows]
        if len(group.rows) > 1 or any(row.alone for row in rows) or not (base.settled and group.settled):
            return False
        return self._bounds.allow(group.layers, [row.held for row in rows])
