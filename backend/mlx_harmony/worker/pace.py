"""How much of a prompt to read at once, so that no chunk keeps a cancel waiting. It knows no mlx."""

TARGET_S = 0.1
SMALLEST = 8
FIRST = 32
LARGEST = 2048
GROWTH = 4
LATELY = 0.9
"""How much of what was measured still counts at the next chunk."""


class Pace:
    """Adapts the size of prefill chunks to the time they take; lives as long as the model, so that each prompt starts well.

    Sizes are powers of two: a GPU compiles its kernels for few shapes. `shared` says that answers are being written meanwhile. No chunk
    is meant to be smaller than `least`, a power of two: below it some models read many times slower.
    """

    def __init__(self, target_s: float = TARGET_S, least: int = SMALLEST) -> None:
        self.target_s = target_s
        self.least = least
        self.chunk = max(FIRST, least)
        self.shared = False
        self._tokens = 0.0
        self._seconds = 0.0

    @property
    def token_s(self) -> float:
        """How many seconds reading one token takes lately, 0 before anything was read."""
        return self._seconds / self._tokens if self._tokens else 0.0

    @property
    def limit(self) -> int:
        """The most tokens to read now: half a chunk where an answer waits for it."""
        return max(self.least, self.chunk // 2) if self.shared else self.chunk

    def learn(self, tokens: int, seconds: float) -> None:
        """Take note that a chunk of `tokens` took `seconds`. Small leftovers say little and are only heeded when they were slow."""
        self._tokens = self._tokens * LATELY + tokens
        self._seconds = self._seconds * LATELY + seconds
        if tokens < self.chunk and seconds < self.target_s:
            return
        fitting = tokens * self.target_s / max(seconds, 1e-6)
        size = self.least
        while size * 2 <= min(fitting, self.chunk * GROWTH, LARGEST):
            size *= 2
        self.chunk = size
