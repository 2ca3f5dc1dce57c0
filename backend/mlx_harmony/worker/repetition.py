"""Notices when a model says the same over and over. Works on token ids alone; knows no text and no formats.

`cheap` sees one token sixteen times in a row. `full` also sees a span that is said again and again, and a long stretch of few tokens.
"""

from collections import Counter, deque

from mlx_harmony.records import LoopDetection

EQUAL_TOKENS = 16
LONGEST_SPAN = 64
SPAN_REPEATS = 4
SPAN_TOKENS = 48
"""A span counts as a loop once it stands there so many times and fills so many tokens: a short refrain or a row of a table does not."""
STRETCH = 256
FEWEST_KINDS = 8


class RepetitionWatch:
    """Takes an answer's tokens one by one."""

    def __init__(self, mode: LoopDetection) -> None:
        self._mode = mode
        self._last = -1
        self._equal = 0
        self._stretch: deque[int] = deque(maxlen=STRETCH)
        self._kinds: Counter[int] = Counter()
        self._agreeing = [0] * (LONGEST_SPAN + 1)

    def sees_loop(self, token: int) -> bool:
        """Whether the answer goes round in circles now that `token` has come."""
        if self._mode == "off":
            return False
        self._equal = self._equal + 1 if token == self._last else 1
        self._last = token
        return self._equal >= EQUAL_TOKENS or (self._mode == "full" and self._sees_more(token))

    def _sees_more(self, token: int) -> bool:
        repeated = self._repeats_span(token)
        if len(self._stretch) == STRETCH:
            self._forget(self._stretch[0])
        self._stretch.append(token)
        self._kinds[token] += 1
        return repeated or (len(self._stretch) == STRETCH and len(self._kinds) < FEWEST_KINDS)

    def _repeats_span(self, token: int) -> bool:
        """Counts, for each length of a span, how many tokens in a row equal the one a span before."""
        found = False
        for length, before in enumerate(reversed(self._stretch), 1):
            if length > LONGEST_SPAN:
                break
            self._agreeing[length] = self._agreeing[length] + 1 if before == token else 0
            found = found or self._agreeing[length] + length >= max(SPAN_REPEATS * length, SPAN_TOKENS)
        return found

    def _forget(self, token: int) -> None:
        self._kinds[token] -= 1
        if not self._kinds[token]:
            del self._kinds[token]
