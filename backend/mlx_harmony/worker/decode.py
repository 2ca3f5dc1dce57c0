"""Draws token after token: one forward pass of the model for a group of answers, each with a sampler of its own.

It knows token ids, caches and samplers; nothing of formats, requests or stop conditions: whoever drives it stops by leaving.
"""

from typing import Any, NamedTuple, Protocol

import mlx.core as mx
import mlx.nn as nn

from mlx_harmony.errors import GenerationFailed
from mlx_harmony.events import Failed
from mlx_harmony.worker.guard import guarded
from mlx_harmony.worker.kv import PLAIN, KvForm
from mlx_harmony.worker.prompt_cache import Layers
from mlx_harmony.worker.sampling import Drawn, Sampler
from mlx_harmony.worker.speculation.drafting import Drafting


class Drawing(NamedTuple):
    """One token as read: its log-probability and the likeliest ids with theirs are None and empty where nobody asked."""

    token: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()


class Row:
    """One answer while it is drawn. `held` counts the tokens in its caches, `left` how many it may still have.

    `problem` is what its sampler or its model raised. `lost`: its caches went with a group that failed; it can go on `alone` once what
    it said is read again. `drafting` makes guesses for it while it is drawn alone. One whose KV has a `form` of its own is always alone.
    """

    def __init__(
        self, sampler: Sampler, top_logprobs: int | None, held: int, left: int, drafting: Drafting | None = None, form: KvForm = PLAIN
    ) -> None:
        self.sampler = sampler
        self.top = top_logprobs
        self.held = held
        self.left = left
        self.drafting = drafting
        self.problem: Failed | None = None
        self.lost = False
        self.form = form
        self.alone = not form.plain

    def saw(self, token: int) -> None:
        """One more token of the answer, for who guesses."""
        if self.drafting is not None:
            self.drafting.saw(token)


class DrawnAhead(Protocol):
    """The one row of a group, drawn several tokens at a time. `settled`: the group stands as it would without that."""

    @property
    def settled(self) -> bool: ...

    def settle(self) -> None: ...

    def step(self, alone: bool) -> Drawing: ...

    def end(self) -> None: ...


class Facts(NamedTuple):
    """What is wanted of a draw besides its token, still lazy."""

    logprob: mx.array
    top: mx.array | None = None
    values: mx.array | None = None


class Pending(NamedTuple):
    """A draw under way for each row of a group: tokens (B,)."""

    tokens: mx.array
    facts: tuple[Facts | None, ...]

    def arrays(self) -> list[mx.array]:
        return [self.tokens, *(part for facts in self.facts if facts for part in facts if part is not None)]


class Group:
    """Rows that take each step together. Step n+1 is under way while step n is read, so the device never waits for Python.

    One row has plain caches, more have mlx-lm's batch caches. `owed` are tokens of a single row that its caches do not hold yet.
    `starting` are rows that drew nothing yet, each with the last token of its prompt: that is fed in the next step, with the others'.
    """

    def __init__(self, model: nn.Module, rows: list[Row], layers: Layers) -> None:
        self._model = model
        self.rows = rows
        self.layers = layers
        self.gone: set[Row] = set()
        self.pending: Pending | None = None
        self.starting: dict[Row, int] = {}
        self.owed: list[int] = []
        self.ahead: DrawnAhead | None = None

    @property
    def settled(self) -> bool:
        return self.ahead is None or self.ahead.settled

    @property
    def drew_nothing(self) -> bool:
        return len(self.starting) == len(self.rows)

    def start(self, token: int) -> None:
        """Have the next step feed its only row this token, before anything is drawn."""
        (row,) = self.rows
        self.pending, self.starting = Pending(mx.array([token], mx.uint32), (None,)), {row: token}

    def feed(self, tokens: mx.array) -> None:
        """Feed each row its tokens (B, n) and draw what follows. Raises what the model raises; a sampler's failure is its row's."""
        if len(self.rows) == 1:
            self.layers = self.rows[0].form.at(self.rows[0].held, self.layers)
        self.pending = self._draw(self._model(tokens, cache=self.layers)[:, -1, :])
        mx.async_eval(*self.pending.arrays())  # type: ignore[no-untyped-call]
        for row in self.rows:
            row.held += tokens.shape[1]

    def advance(self) -> None:
        """Feed what is under way, where any row may still have more after it."""
        current, self.pending = self.pending, None
        starting, self.starting = self.starting, {}
        for row in self.rows:
            row.left -= row not in starting
        if current is not None and any(row.left > 0 for row in self.rows):
            owed, self.owed = self.owed, []
            tokens = current.tokens[:, None]
            self.feed(mx.concatenate([mx.array(owed, tokens.dtype)[None], tokens], axis=1) if owed else tokens)

    def compact(self) -> None:
        """Take those that left out of the caches. A last row gets plain caches again."""
        if not self.gone:
            return
        keep = [at for at, row in enumerate(self.rows) if row not in self.gone]
        if keep and len(self.rows) > 1:
            self._narrow(keep)
        self.rows = [self.rows[at] for at in keep]
        self.starting = {row: token for row, token in self.starting.items() if row not in self.gone}
        self.gone.clear()

    def absorb(self, others: list["Group"]) -> None:
        """Take in groups of one row each."""
        theirs = _merged([other.layers for other in others])
        mine = _merged([self.layers]) if len(self.rows) == 1 else self.layers
        for layer, more in zip(mine, theirs, strict=True):
            layer.extend(more)
        self.layers = mine
        pendings = [group.pending for group in (self, *others) if group.pending is not None]
        tokens = mx.concatenate([pending.tokens for pending in pendings])
        self.pending = Pending(tokens, tuple(facts for pending in pendings for facts in pending.facts))
        self.rows = [*self.rows, *(other.rows[0] for other in others)]
        for other in others:
            self.starting |= other.starting
        self.ahead = None

    def extract(self, row: Row) -> Layers:
        """A row's own caches, plain ones."""
        if len(self.rows) == 1:
            if self.ahead is not None:
                self.ahead.end()
            return self.layers
        at = self.rows.index(row)
        return [layer.extract(at) for layer in self.layers]

    def _narrow(self, keep: list[int]) -> None:
        if len(keep) == 1:
            self.layers = [layer.extract(keep[0]) for layer in self.layers]
        else:
            for layer in self.layers:
                layer.filter(keep)
        if self.pending is not None:
            self.pending = Pending(self.pending.tokens[mx.array(keep)], tuple(self.pending.facts[at] for at in keep))

    def _draw(self, logits: mx.array) -> Pending:
        if len(self.rows) > 1 and all(row.sampler.greedy for row in self.rows):
            tokens = mx.argmax(logits, axis=-1)
            return Pending(tokens, tuple(facts_at(row, tokens, logits, at) for at, row in enumerate(self.rows)))
        drawn = [drawn_by(row, logits[at : at + 1]) for at, row in enumerate(self.rows)]
        tokens = drawn[0].token if len(drawn) == 1 else mx.concatenate([draw.token for draw in drawn])
        return Pending(tokens, tuple(facts_of(row, draw) for row, draw in zip(self.rows, drawn, strict=True)))


def drawings(pending: Pending) -> list[Drawing]:
    """Wait for a draw and read it, a Drawing for each row."""
    tokens = _ints(pending.tokens)
    return [_drawing(token, facts) for token, facts in zip(tokens, pending.facts, strict=True)]


def _merged(singles: list[Layers]) -> Layers:
    return [column[0].merge(list(column)) for column in zip(*singles, strict=True)]


def drawn_by(row: Row, logits: mx.array) -> Drawn:
    """A row's own draw; where its sampler raises, the row has a problem and the others go on."""
    draws: list[Drawn] = []
    failed = guarded(lambda: draws.append(row.sampler.draw(logits)), GenerationFailed)
    if failed is None:
        return draws[0]
    row.problem, row.top = failed, None
    return Drawn(mx.zeros((1,), mx.uint32), logits)


def facts_of(row: Row, drawn: Drawn) -> Facts | None:
    """What is wanted of a draw besides its token."""
    if row.top is None:
        return None
    logprobs = drawn.logprobs[0]
    chosen = logprobs[drawn.token]
    if row.top == 0:
        return Facts(chosen)
    top = mx.argpartition(-logprobs, kth=row.top - 1)[: row.top]
    return Facts(chosen, top, logprobs[top])


def facts_at(row: Row, tokens: mx.array, logits: mx.array, at: int) -> Facts | None:
    """The same of the one at `at` of several greedy draws (n,) from logits (n, V)."""
    return None if row.top is None else facts_of(row, Drawn(tokens[at : at + 1], logits[at : at + 1]))


def _drawing(token: int, facts: Facts | None) -> Drawing:
    if facts is None:
        return Drawing(token)
    logprob = _floats(facts.logprob)[0]
    if facts.top is None or facts.values is None:
        return Drawing(token, logprob)
    pairs = zip(_ints(facts.top), _floats(facts.values), strict=True)
    return Drawing(token, logprob, tuple(sorted(pairs, key=lambda pair: (-pair[1], pair[0]))))


def _ints(array: Any) -> list[int]:
    return [int(value) for value in array.tolist()]


def _floats(array: Any) -> list[float]:
    return [float(value) for value in array.tolist()]
