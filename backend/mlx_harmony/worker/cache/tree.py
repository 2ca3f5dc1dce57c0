"""The index: which token sequences are known, as a tree of runs that share their beginnings. It knows tokens, no arrays and no files.

A run holds the tokens from `start` to `end` and hangs on the run whose tokens come before, at any place of it; of two runs that hang at
one place the first tokens differ. So there is one way down for every prompt, found by comparing each of its tokens once. Runs whose
contents went stay for a while without them, so that a miss can say that they were evicted.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.int32]

MOST_REMEMBERED = 2_000_000
"""Tokens of evicted runs that are remembered."""


class Held:
    """What a run and a state have in common: where its contents are and when they were last used (a counter).

    `contents` is None where they are not in memory; `on_its_way`: they are about to be on the disk.
    """

    def __init__(self, piece_id: str, end: int) -> None:
        self.id = piece_id
        self.end = end
        self.contents: Any = None
        self.bytes = 0
        self.disk_bytes = 0
        self.on_its_way = False
        self.used = 0
        self.pinned = False

    @property
    def here(self) -> bool:
        """Whether it can be had, from memory or from the disk."""
        return self.contents is not None or self.disk_bytes > 0 or self.on_its_way


class State(Held):
    """What the layers that cannot be cut hold after `end` tokens; it lies on a run that holds the last of them."""

    def __init__(self, run: "Run", end: int) -> None:
        super().__init__(_digest(run.id, end, b"state"), end)
        self.run = run


class Run(Held):
    """Tokens with the keys and values that stand for them. `answer_from`: from where on a model wrote them.

    `cut`: it was longer when it got its id.
    """

    def __init__(self, parent: "Run | None", start: int, tokens: Tokens) -> None:
        super().__init__(_digest(parent.id, start, tokens.tobytes()) if parent else "", start + len(tokens))
        self.parent = parent
        self.start = start
        self.tokens = tokens
        self.answer_from: int | None = None
        self.cut = False
        self.text = ""
        self.hits = 0
        self.used_at = 0.0
        self.children: dict[tuple[int, int], Run] = {}
        self.states: dict[int, State] = {}

    def shorten(self, until: int) -> None:
        """Let it end at token `until`; nothing may hang on what goes."""
        self.tokens = self.tokens[: until - self.start].copy()
        self.end, self.cut = until, True
        if self.answer_from is not None and self.answer_from >= until:
            self.answer_from = None

    def chain(self) -> list["Run"]:
        """The runs from the root's child to this one."""
        way: list[Run] = []
        run: Run | None = self
        while run is not None and run.parent is not None:
            way.append(run)
            run = run.parent
        return way[::-1]

    def below(self) -> Iterator["Run"]:
        """This run and all that hang on it, parents first."""
        waiting = [self]
        while waiting:
            run = waiting.pop()
            yield run
            waiting += run.children.values()


class Way(NamedTuple):
    """How far a prompt is known: `runs` from the root's child on, `matched` tokens, and the token that is kept where they part."""

    runs: list[Run]
    matched: int
    kept: Run | None

    def upto(self, at: int) -> int:
        """How far run `at` of the way is followed."""
        return self.runs[at + 1].start if at + 1 < len(self.runs) else self.matched


class Tree:
    """Runs by their tokens. Not for several threads."""

    def __init__(self) -> None:
        self.root = Run(None, 0, np.empty(0, np.int32))

    def runs(self) -> Iterator[Run]:
        return (run for run in self.root.below() if run is not self.root)

    def has(self, run: Run) -> bool:
        """Whether it hangs where its parent says."""
        return run.parent is not None and run.parent.children.get((run.start, int(run.tokens[0]))) is run

    def walk(self, tokens: Tokens) -> Way:
        """The way of these tokens as far as it is known. Every token is compared once."""
        run, matched, way = self.root, 0, []
        while matched < len(tokens):
            child = run.children.get((matched, int(tokens[matched])))
            if child is None:
                break
            run = child
            way.append(run)
            ours = tokens[matched : run.end]
            if ours.tobytes() == run.tokens.tobytes():
                matched = run.end
                continue
            differing = np.flatnonzero(run.tokens[: len(ours)] != ours)
            matched += int(differing[0]) if differing.size else len(ours)
        return Way(way, matched, _going_on(run, matched))

    def add(self, parent: Run, start: int, tokens: Tokens) -> Run:
        """Hang the tokens that follow the first `start` ones on a run, and return the run that holds them."""
        # A copy: a part of an array would keep all of it.
        return self.hang(Run(parent, start, tokens.copy()))

    def hang(self, run: Run) -> Run:
        """Put a run where its parent says; of two with the same beginning the longer stays. Returns the one that is there then."""
        assert run.parent is not None
        place = (run.start, int(run.tokens[0]))
        other = run.parent.children.get(place)
        if other is not None and other.end >= run.end:
            return other
        run.parent.children[place] = run
        return run

    def cut_off(self, run: Run) -> list[Run]:
        """Take a run out with all that hangs on it; they are returned."""
        if run.parent is not None and self.has(run):
            del run.parent.children[run.start, int(run.tokens[0])]
        return list(run.below())

    def forget_oldest(self) -> None:
        """Bound what is remembered of evicted runs."""
        gone = sorted((run for run in self.runs() if not run.here and not run.children), key=lambda run: run.used)
        total = sum(len(run.tokens) for run in gone)
        for run in gone:
            if total <= MOST_REMEMBERED:
                return
            total -= len(run.tokens)
            self.cut_off(run)


def token_array(tokens: Sequence[int] | Tokens) -> Tokens:
    return np.asarray(tokens, np.int32)


def _going_on(run: Run, matched: int) -> Run | None:
    """A run that goes on where a prompt leaves the tree: the same one, else the last used that hangs there."""
    if matched < run.end:
        return run
    return max((child for (at, _), child in run.children.items() if at == matched), key=lambda child: child.used, default=None)


def _digest(parent: str, at: int, content: bytes) -> str:
    return hashlib.blake2b(f"{parent}:{at}:".encode() + content, digest_size=16).hexdigest()
