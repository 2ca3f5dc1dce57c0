"""How often guesses turn out right, by how long the text has agreed with the place that they come from. Pure counting."""

RUNS = (4, 8, 16)
"""Guesses after fewer agreeing tokens than each of these are counted together."""
PRIOR = (0.5, 0.7, 0.8, 0.9)
PRIOR_WEIGHT = 4.0
MEMORY = 0.97
"""How much of what was counted is still heeded after each further guess: what comes later in a text may be of another kind."""


class Acceptance:
    """Chances of one answer. It is told of every token that had a guess, checked or not, so that it learns while nothing is guessed."""

    def __init__(self) -> None:
        self._right = [0.0] * len(PRIOR)
        self._tried = [0.0] * len(PRIOR)

    def learn(self, run: int, right: bool) -> None:
        """A token was guessed after `run` agreeing ones."""
        kind = _kind(run)
        self._right[kind] = self._right[kind] * MEMORY + right
        self._tried[kind] = self._tried[kind] * MEMORY + 1

    def chances(self, run: int, count: int) -> list[float]:
        """How likely each of `count` guesses is right if those before it are."""
        return [self._chance(_kind(run + at)) for at in range(count)]

    def _chance(self, kind: int) -> float:
        return (PRIOR[kind] * PRIOR_WEIGHT + self._right[kind]) / (PRIOR_WEIGHT + self._tried[kind])


def _kind(run: int) -> int:
    return sum(run >= limit for limit in RUNS)
