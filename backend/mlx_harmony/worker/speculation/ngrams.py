"""Guesses what comes next from what stands in the conversation already: after the same few tokens, the same again. Knows no model.

Every run of SHORT and of LONG tokens leads to the place that followed it last, so a token costs the same however long the text is. Once
found, a place is followed token by token; where the text leaves it for a moment, as an edit does, it is looked for nearby.
"""

from collections.abc import Sequence

import numpy as np

SHORT, LONG = 3, 8
NEAR = 2
"""So many equal tokens are enough close to where a copy was left."""
BEHIND, AHEAD = 2, 10
"""How far before and after the place that was left it is looked for, and for how many tokens."""

_BASE = 1_000_003
_MASK = 2**64 - 1


class Ngrams:
    """The tokens of one conversation. `run` is how many tokens before the end agree with those before the place that is followed."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self.tokens = list(tokens)
        self.run = 0
        self._place: int | None = None
        self._left: int | None = None
        self._left_at = 0
        self._places = {size: _places(self.tokens, size) for size in (LONG, SHORT)}
        self._find()

    @property
    def expected(self) -> int | None:
        """The token that comes next if the text goes on as it did before; None where it never stood there."""
        return None if self._place is None else self.tokens[self._place]

    def saw(self, token: int) -> None:
        """One more token of the text."""
        if self.expected == token:
            self._place, self.run = (self._place or 0) + 1, self.run + 1
        elif self._place is not None:
            self._left, self._left_at = self._place, len(self.tokens)
            self._place, self.run = None, 0
        self._note()
        self.tokens.append(token)
        if self.run < LONG:
            self._find()

    def guess(self, most: int) -> list[int]:
        """The next tokens, `most` of them, where there is a place to follow."""
        if self._place is None:
            return []
        guessed: list[int] = []
        for at in range(self._place, self._place + most):
            beyond = at - len(self.tokens)
            guessed.append(self.tokens[at] if beyond < 0 else guessed[beyond])
        return guessed

    def _note(self) -> None:
        """Lead from the runs that end here to the place after them, which the next token will fill."""
        for size, places in self._places.items():
            if len(self.tokens) >= size:
                places[_key(self.tokens[-size:])] = len(self.tokens)

    def _find(self) -> None:
        """Follow the place with the longest run before it, where one is longer than that which is followed."""
        found = self._found(LONG) if self.run < LONG else None
        if found is None and self._place is None:
            found = self._nearby() or self._found(SHORT)
        if found is not None:
            self._place, self.run = found

    def _found(self, size: int) -> tuple[int, int] | None:
        if len(self.tokens) < size:
            return None
        place = self._places[size].get(_key(self.tokens[-size:]))
        return None if place is None or place >= len(self.tokens) else (place, size)

    def _nearby(self) -> tuple[int, int] | None:
        """The place near the one that was left, after which the last tokens stand too."""
        if self._left is None or len(self.tokens) - self._left_at > AHEAD:
            return None
        last = self.tokens[-NEAR:]
        for place in range(max(NEAR, self._left - BEHIND), min(self._left + AHEAD, self._left_at)):
            if self.tokens[place - NEAR : place] == last:
                return place, NEAR
        return None


def _key(tokens: Sequence[int]) -> int:
    key = 0
    for token in tokens:
        key = (key * _BASE + token + 1) & _MASK
    return key


def _places(tokens: Sequence[int], size: int) -> dict[int, int]:
    """For each run of `size` tokens the place after the last one that has a token after it; the same keys as `_key`, all at once."""
    count = len(tokens) - size
    if count <= 0:
        return {}
    ids = np.asarray(tokens, np.uint64) + np.uint64(1)
    keys = np.zeros(count, np.uint64)
    for at in range(size):
        keys = keys * np.uint64(_BASE) + ids[at : at + count]
    return dict(zip(keys.tolist(), range(size, size + count), strict=True))
