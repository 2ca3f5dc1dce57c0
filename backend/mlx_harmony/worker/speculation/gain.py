"""Whether guessing pays: what passes over several tokens cost on this machine, and how many tokens are then worth guessing.

It knows seconds and chances, no tokens and no model. Costs live as long as the model; they are measured while answers are written.
"""

from collections.abc import Sequence
from typing import Protocol

MOST = 16
"""The most tokens that are guessed at once where nobody says how many."""
GROWTH = 0.3
"""What each further token of a pass is taken to cost, in single steps, before anything was measured."""
MARGIN = 1.05
"""How much faster than single steps it must promise to be."""
WEIGHT = 0.2
OUTLIER = 3.0
FIRST_PAUSE, LAST_PAUSE = 64, 1024
LIKELY = 0.5


class Choice(Protocol):
    """Decides how many tokens to guess."""

    def learn(self, width: int, seconds: float) -> None: ...

    def worth(self, chances: Sequence[float], each_s: float = 0.0, redone: bool = False) -> int: ...

    def saves(self, chances: Sequence[float], each_s: float = 0.0, redone: bool = False) -> float: ...


class Gain:
    """Costs of passes by their width, 1 being a plain step."""

    def __init__(self) -> None:
        self._costs: dict[int, float] = {}
        self._met: set[int] = set()
        self._pause = FIRST_PAUSE
        self._waited = 0

    def learn(self, width: int, seconds: float) -> None:
        """Take note of what one pass took. The first of a width says nothing: a GPU compiles its kernels in it."""
        if width > 1 and self._waited >= self._pause:
            self._pause, self._waited = min(2 * self._pause, LAST_PAUSE), 0
        if width not in self._met:
            self._met.add(width)
            return
        known = self._costs.get(width)
        if known is None:
            self._costs[width] = seconds
        else:
            self._costs[width] = known + WEIGHT * (min(seconds, OUTLIER * known) - known)

    def cost(self, width: int) -> float:
        """Seconds of a pass: as measured, else as those that were measured make likely; a plain step is 1 before any was.

        From one token to two it may grow more than from there on: a CPU multiplies matrices in another way than a matrix and a vector.
        """
        single = self._costs.get(1, 1.0)
        if width in self._costs:
            return self._costs[width]
        wide = sorted(known for known in self._costs if known > 1)
        if not wide or 1 not in self._costs:
            return single * (1 + GROWTH * (width - 1))
        near = min(wide, key=lambda known: abs(known - width))
        low, high = (1, wide[0]) if len(wide) == 1 or width < wide[0] else (wide[0], wide[-1])
        each = max(0.0, (self._costs[high] - self._costs[low]) / (high - low))
        return max(single, self._costs[near] + each * (width - near))

    def worth(self, chances: Sequence[float], each_s: float = 0.0, redone: bool = False) -> int:
        """How many tokens to guess; `chances` says how likely each is right where those before it are.

        A guessed token costs `each_s`; `redone`: after a wrong one the right ones before it are read again. Where none pays, a pass is
        still tried after a while, ever more rarely, in case the costs have changed.
        """
        best, rate = self._best(chances, each_s, redone)
        if rate * self.cost(1) > MARGIN:
            self._pause, self._waited = FIRST_PAUSE, 0
            return best
        if not chances or chances[0] < LIKELY:
            return 0
        self._waited += 1
        return best if self._waited >= self._pause else 0

    def saves(self, chances: Sequence[float], each_s: float = 0.0, redone: bool = False) -> float:
        """The seconds that guessing promises to save for each token of an answer, 0 where it does not. It is no try."""
        _, rate = self._best(chances, each_s, redone)
        single = self.cost(1)
        return single - 1 / rate if rate * single > MARGIN else 0.0

    def _best(self, chances: Sequence[float], each_s: float, redone: bool) -> tuple[int, float]:
        """The number of guesses with the most tokens a second, and those."""
        best, rate = 0, 0.0
        expected, right = 1.0, 1.0
        single = self.cost(1)
        for count, chance in enumerate(chances, 1):
            right *= chance
            expected += right
            width = self.cost(count + 1)
            seconds = width + count * each_s + ((1 - right) * (width - single) if redone else 0.0)
            if expected / seconds > rate:
                best, rate = count, expected / seconds
        return best, rate
