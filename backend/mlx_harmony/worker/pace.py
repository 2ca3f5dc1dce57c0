"""How much of a prompt to read at once, so that no step of it keeps a cancel or an answer waiting. It knows no mlx."""

from collections.abc import Mapping

TARGET_S = 0.1
"""So long a step is meant to take. A chunk is read in several steps of a few layers each."""
SLOWEST = 2
"""One layer of a chunk may take so many times as long where nobody but its own answer waits: a cancel is heeded within 0.3 s."""
SMALLEST = 8
FIRST = 32
LARGEST = 2048
GROWTH = 4
LEFTOVER = 8
"""What is left after a chunk is read with it where it is at most one part in so many: by itself it would cost the weights once more."""
LATELY = 0.9
"""How much of what was measured still counts at the next chunk."""


class Pace:
    """Adapts the size of prefill chunks to the time a layer of them takes; lives as long as the model, so that each prompt starts well.

    Sizes are powers of two: a GPU compiles its kernels for few shapes. `shared` says that answers are being written meanwhile, each token
    of which takes `answer_s`. No chunk is meant to be smaller than `least`, a power of two: below it some models read many times slower.
    `layers_s` is how many seconds a layer of chunks of some lengths took at the load; where longer ones than LARGEST were tried, chunks may
    be as long.
    """

    def __init__(self, target_s: float = TARGET_S, least: int = SMALLEST, layers_s: Mapping[int, float] | None = None) -> None:
        self.target_s = target_s
        self.least = least
        known = [(length, took) for length, took in (layers_s or {}).items() if length.bit_count() == 1 and took <= target_s]
        self._last = max(known, default=(0, 0.0))
        self._largest = max(LARGEST, self._last[0])
        self.chunk = max(FIRST, least, self._last[0])
        self.shared = False
        self.answer_s = 0.0
        self._tokens = 0.0
        self._seconds = 0.0

    @property
    def token_s(self) -> float:
        """How many seconds reading one token takes lately, 0 before anything was read."""
        return self._seconds / self._tokens if self._tokens else 0.0

    @property
    def step_s(self) -> float:
        """How long the next step may take: where an answer waits for it half as long, or as long as a token takes, within the bounds."""
        return min(max(self.target_s / 2, self.answer_s), SLOWEST * self.target_s) if self.shared else self.target_s

    @property
    def limit(self) -> int:
        """The most tokens to read as one chunk: half as many where an answer waits for each layer of it."""
        return max(self.least, self.chunk // 2) if self.shared else self.chunk

    def next_of(self, tokens: int) -> int:
        """How many of the next `tokens` to read as one chunk."""
        return tokens if tokens <= self.limit + self.limit // LEFTOVER else self.limit

    def layer_s(self, tokens: int) -> float:
        """How many seconds a layer of a chunk of `tokens` may take, by the last one: a short one may be no faster. 0 before any."""
        last, seconds = self._last
        return seconds * max(1.0, tokens / last) if last else 0.0

    def fits(self, tokens: int, spent_s: float) -> bool:
        """Whether a chunk of another prompt with so many tokens left may be read too, before answers go on that have waited so long."""
        return spent_s + self.next_of(tokens) * self.token_s <= max(self.target_s, self.step_s)

    def learn(self, tokens: int, seconds: float, longest_s: float) -> None:
        """Take note that a chunk of `tokens` took `seconds`, and what could not be divided of it, mostly a layer, `longest_s` at most.

        Small leftovers say little of how long a chunk should be and are only heeded when they were slow.
        """
        self._tokens = self._tokens * LATELY + tokens
        self._seconds = self._seconds * LATELY + seconds
        self._last = tokens, longest_s
        longest = SLOWEST * self.target_s
        if tokens < self.chunk and longest_s < longest:
            return
        fitting = tokens * longest / max(longest_s, 1e-6)
        size = self.least
        while size * 2 <= min(fitting, self.chunk * GROWTH, self._largest):
            size *= 2
        self.chunk = size
