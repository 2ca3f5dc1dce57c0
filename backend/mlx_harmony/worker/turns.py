"""What a request waits for while something is fetched for it between the loop's rounds, a piece in each. Knows no mlx and no requests."""

from concurrent.futures import Future, wait
from typing import Any


class Turn:
    """Another turn of such work; before it `until` has to be over, work in another thread."""

    def __init__(self, until: Future[Any] | None = None) -> None:
        self._until = until

    @property
    def waits(self) -> bool:
        """Whether it cannot go on yet."""
        return self._until is not None and not self._until.done()

    def wait(self, timeout_s: float | None = None) -> None:
        """Return when it can go on, or after that time."""
        if self._until is not None:
            wait([self._until], timeout_s)
