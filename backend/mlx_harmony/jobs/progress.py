"""How far a job is and how fast it moves now. The rate is reckoned when it is asked for, so that it falls to 0 when nothing comes."""

import time
from collections import deque
from collections.abc import Callable

from mlx_harmony.jobs.records import JobFile

WINDOW_S = 5.0
"""The rate is that of so many seconds."""
_SHORTEST_S = 1.0
_BETWEEN_S = 0.1


class Progress:
    """The files of a job as they were last reported. What the first report holds was there before and counts for no rate."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._files: dict[str, JobFile] = {}
        self._samples: deque[tuple[float, int]] = deque()
        self._latest = (clock(), 0)
        self.done_bytes = 0
        self.total_bytes = 0

    @property
    def files(self) -> tuple[JobFile, ...]:
        return tuple(self._files.values())

    def note(self, *files: JobFile) -> None:
        """Take in how far these files are."""
        for file in files:
            before = self._files.get(file.name, JobFile(name=file.name))
            self._files[file.name] = file
            self.done_bytes += file.done_bytes - before.done_bytes
            self.total_bytes += file.total_bytes - before.total_bytes
        now = self._clock()
        self._latest = (now, self.done_bytes)
        if not self._samples or now - self._samples[-1][0] >= _BETWEEN_S:
            self._samples.append(self._latest)
        while len(self._samples) > 1 and self._samples[1][0] <= now - WINDOW_S:
            self._samples.popleft()

    def rate(self) -> float:
        """Bytes a second over the last seconds; 0.0 where none came."""
        if not self._samples:
            return 0.0
        now = self._clock()
        first, before = self._samples[0]
        for moment, done in (*self._samples, self._latest):
            if moment > now - WINDOW_S:
                break
            first, before = moment, done
        return max(0, self.done_bytes - before) / min(WINDOW_S, max(_SHORTEST_S, now - first))

    def seconds_left(self, rate: float) -> float | None:
        """How long it would still take at that rate; None where nothing moves or the whole is not known."""
        return (self.total_bytes - self.done_bytes) / rate if rate and self.total_bytes else None
