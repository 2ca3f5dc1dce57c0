"""How a cache stood over time: a bounded list of moments, the older ones thinned out. It reads the clock and nothing else."""

import time
from collections.abc import Callable

from mlx_harmony.cache_records import CachePoint

EVERY_S = 5.0
MOST = 300


class History:
    """Moments at least `every_s` apart. The newest one is renewed until its time is over, so that the last is always as it is now."""

    def __init__(self, every_s: float = EVERY_S, clock: Callable[[], float] = time.time) -> None:
        self._every_s = every_s
        self._clock = clock
        self._points: list[CachePoint] = []
        self._opened_at = 0.0

    def note(self, point: Callable[[float], CachePoint]) -> None:
        """Keep how it stands; `point` makes the record for a moment."""
        now = self._clock()
        if self._points and now - self._opened_at < self._every_s:
            self._points[-1] = point(now)
            return
        self._opened_at = now
        self._points.append(point(now))
        if len(self._points) > MOST:
            # Every second moment of the older half goes; the first stays.
            half = MOST // 2
            self._points = [*self._points[:half:2], *self._points[half:]]

    def points(self) -> tuple[CachePoint, ...]:
        """Oldest first."""
        return tuple(self._points)
