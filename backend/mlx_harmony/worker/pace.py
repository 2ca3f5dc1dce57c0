"""How much of a prompt to read at once, so that no chunk keeps a cancel waiting. It knows no mlx."""

from collections.abc import Mapping

TARGET_S = 0.1
LONGEST_S = 0.27
"""So long may a chunk take whose tokens are read much faster than those of a shorter one: a cancel is heeded within 0.3 s."""
MUCH_FASTER = 1.25
SMALLEST = 8
FIRST = 32
LARGEST = 2048
GROWTH = 4
LEFTOVER = 8
"""What is left after a chunk is read with it where it is at most one part in so many: by itself it would cost the weights once more."""
LATELY = 0.9
"""How much of what was measured still counts at the next chunk."""


class Pace:
    """Adapts the size of prefill chunks to the time they take; lives as long as the model, so that each prompt starts well.

    Sizes are powers of two: a GPU compiles its kernels for few shapes. `shared` says that answers are being written meanwhile. No chunk
    is meant to be smaller than `least`, a power of two: below it some models read many times slower. `took` is how many seconds chunks of
    some lengths took at the load; where what a chunk costs is mostly the same at any length, a longer one is read that nobody waits
    for too long.
    """

    def __init__(self, target_s: float = TARGET_S, least: int = SMALLEST, took: Mapping[int, float] | None = None) -> None:
        self.target_s = target_s
        self.least = least
        self._took = {length: seconds for length, seconds in (took or {}).items() if length.bit_count() == 1}
        self.chunk = self._stretched(max(FIRST, least))
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

    def next_of(self, tokens: int) -> int:
        """How many of the next `tokens` to read now."""
        return tokens if tokens <= self.limit + self.limit // LEFTOVER else self.limit

    def fits(self, tokens: int, spent_s: float) -> bool:
        """Whether a chunk of another prompt with so many tokens left may be read too, before answers go on that have waited so long."""
        return spent_s + self.next_of(tokens) * self.token_s <= self.target_s

    def learn(self, tokens: int, seconds: float) -> None:
        """Take note that a chunk of `tokens` took `seconds`. Small leftovers say little and are only heeded when they were slow."""
        self._tokens = self._tokens * LATELY + tokens
        self._seconds = self._seconds * LATELY + seconds
        if tokens in self._took:
            self._took[tokens] = seconds
        if tokens < self.chunk and seconds < self.target_s:
            return
        fitting = tokens * self.target_s / max(seconds, 1e-6)
        size = self.least
        while size * 2 <= min(fitting, self.chunk * GROWTH, LARGEST):
            size *= 2
        self.chunk = self._stretched(size)

    def _stretched(self, size: int) -> int:
        """The longest chunk that is known to read its tokens much faster than a shorter one does, in a time that may be waited."""
        best = max((length for length in self._took if length <= size), default=0)
        for longer in sorted(length for length in self._took if length > size and best):
            if self._took[longer] <= LONGEST_S and self._took[best] / best > MUCH_FASTER * self._took[longer] / longer:
                best = longer
        return max(size, best)
