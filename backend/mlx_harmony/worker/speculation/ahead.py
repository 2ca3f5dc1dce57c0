"""Draws one answer several tokens at a time: the model reads a token with guesses of those after it, and its sampler draws after each.

What is drawn where the guesses before it were right is what would have been drawn alone; the rest is taken back, from the caches and
from the sampler. It knows no requests. It hands out one token a step, so that an answer can end after any of them.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import mlx.core as mx
import mlx.nn as nn

from mlx_harmony.worker.decode import Drawing, Group, Pending, Row, drawings, drawn_by, facts_at, facts_of
from mlx_harmony.worker.sampling import Mark
from mlx_harmony.worker.speculation.drafting import Drafting
from mlx_harmony.worker.speculation.going_back import Before

CANNOT_GO_BACK = "Nothing was guessed: this model's cache cannot go back."


class _Pass(NamedTuple):
    """A pass over `fed`, of which `said` tokens stand in the answer and the others are guesses; `marks`: the sampler after each draw."""

    before: Before
    start: int
    fed: list[int]
    said: int
    draws: Pending
    marks: list[Mark]

    @property
    def guesses(self) -> list[int]:
        return self.fed[self.said :]


class Ahead:
    """The one row of a group, drawn ahead. `trusted` says whether this model's caches go back rightly; guesses wait for that."""

    def __init__(self, model: nn.Module, group: Group, drafting: Drafting, trusted: Callable[[], bool]) -> None:
        self._model = model
        self._group = group
        self._row: Row = group.rows[0]
        self._drafting = drafting
        self._trusted = trusted
        self._redone = not Before(group.layers).cuttable
        self._pass: _Pass | None = None
        self._under_way = False
        self._queue: deque[Drawing] = deque()
        self._known: Drawing | None = None
        self._right = 0
        self._begun_at = self._read_at = 0.0

    @property
    def settled(self) -> bool:
        """Whether the group stands as it would without guesses."""
        return not self._under_way and not self._queue and not self._group.owed

    def settle(self) -> None:
        """Wait for what is under way, which can no longer be timed."""
        self._begun_at = 0.0
        if self._pass is not None and self._under_way:
            mx.eval(self._pass.draws.tokens)

    def step(self, alone: bool) -> Drawing:
        """The answer's next token. Guesses are made, and passes timed, only while it is `alone`. Raises what the model raises."""
        if not alone:
            self._begun_at = 0.0
        if self._pass is not None and self._under_way:
            self._check(self._pass)
        if self._queue:
            self._row.left -= 1
            return self._seen(self._queue.popleft())
        self._pass = None
        return self._next(alone)

    def end(self) -> None:
        """Leave what was handed out in the caches, and the sampler after the draw that follows it."""
        if self._pass is not None and (self._under_way or self._queue):
            handed_out = 0 if self._under_way else self._right - len(self._queue)
            # Who ends a row to go on elsewhere says itself what penalties look back on then.
            self._row.sampler.draw_again(self._pass.marks[handed_out])
            self._keep(self._pass, handed_out)
        self._under_way = False
        self._queue.clear()
        owed, self._group.owed = self._group.owed, []
        if owed:
            self._model(mx.array(owed, mx.int32)[None], cache=self._group.layers)
            self._row.held += len(owed)

    def _next(self, alone: bool) -> Drawing:
        """The token under way, and what comes after it begun: a pass with guesses, or a plain step, begun before the token is read."""
        room = min(self._row.left - 2, self._unpacked()) if alone else 0
        drawing, self._known = self._known, None
        pending = self._group.pending
        assert pending is not None
        if drawing is None and not (room > 0 and self._drafting.hopes(room, self._redone) and self._may()):
            began = time.perf_counter()
            self._group.advance()
            (drawing,) = drawings(pending)
            self._timed(1)
            self._begun_at = began
            return self._seen(drawing)
        if drawing is None:
            (drawing,) = drawings(pending)
            self._timed(1)
        self._seen(drawing)
        guesses = self._drafting.guess(room, self._redone) if room > 0 and self._may() else []
        self._begun_at = time.perf_counter()
        if guesses:
            self._begin(drawing.token, guesses)
        else:
            self._group.advance()
        return drawing

    def _begin(self, token: int, guesses: list[int]) -> None:
        """Have the model read the token and the guesses, and draw after each of them."""
        group, row = self._group, self._row
        group.layers = row.form.at(row.held, group.layers)
        fed = [*group.owed, token, *guesses]
        before, start, said = Before(group.layers), row.held, len(fed) - len(guesses)
        logits = self._model(mx.array(fed, mx.int32)[None], cache=group.layers)[0, said - 1 :, :]
        draws, marks = _draws(row, logits)
        mx.async_eval(*draws.arrays())  # type: ignore[no-untyped-call]
        self._pass, self._under_way = _Pass(before, start, fed, said, draws, marks), True
        group.owed, group.pending = [], None
        row.held += len(fed)
        row.left -= 1

    def _check(self, made: _Pass) -> None:
        """Read a pass: the guesses that were drawn as well are the answer's next tokens, and after them comes one more."""
        read = drawings(made.draws)
        self._timed(len(made.fed))
        right = next((at for at, guess in enumerate(made.guesses) if read[at].token != guess), len(made.guesses))
        self._drafting.checked(len(made.guesses), right)
        self._under_way, self._right = False, right
        self._row.sampler.go_back(made.marks[right])
        self._keep(made, right)
        self._queue.extend(read[:right])
        self._known = read[right]
        self._group.pending = Pending(made.draws.tokens[right : right + 1], (made.draws.facts[right],))

    def _keep(self, made: _Pass, right: int) -> None:
        """Leave of a pass what was said and the first `right` guesses; where that cannot be cut, it is owed to the caches."""
        kept = made.said + right
        self._row.held = made.start + kept
        if made.before.cuttable:
            made.before.cut(kept)
        elif kept < len(made.fed):
            made.before.restore()
            self._row.held, self._group.owed = made.start, made.fed[:kept]

    def _unpacked(self) -> int:
        """How many tokens may be read at once beyond the next, so that none is read in the pass that should have been packed before it."""
        row = self._row
        until = row.form.start - row.held - len(self._group.owed)
        return until - 1 if row.form.bits and until > 0 else row.left

    def _may(self) -> bool:
        """Whether guesses may be checked at all; where not, this answer makes no more."""
        if self._trusted():
            return True
        self._drafting.give_up(CANNOT_GO_BACK)
        return False

    def _seen(self, drawing: Drawing) -> Drawing:
        self._drafting.saw(drawing.token)
        return drawing

    def _timed(self, width: int) -> None:
        """A pass was read just now: it took the time since it began, or since the one before it was read."""
        now = time.perf_counter()
        if self._begun_at:
            self._drafting.choice.learn(width, now - max(self._begun_at, self._read_at))
        self._read_at = now


def _draws(row: Row, logits: mx.array) -> tuple[Pending, list[Mark]]:
    """The sampler's draws from logits (n, V), each as if those before it stood in the answer; and the sampler after each."""
    if row.sampler.greedy:
        tokens = mx.argmax(logits, axis=-1)
        facts = tuple(facts_at(row, tokens, logits, at) for at in range(logits.shape[0]))
        return Pending(tokens, facts), [row.sampler.mark()] * logits.shape[0]
    every, marks = [], []
    for at in range(logits.shape[0]):
        every.append(drawn_by(row, logits[at : at + 1]))
        marks.append(row.sampler.mark())
    return Pending(mx.concatenate([each.token for each in every]), tuple(facts_of(row, each) for each in every)), marks
