"""What became of the requests of one model, counted for as long as the program runs. It knows no engines, no texts and no chats."""

from collections import Counter

from mlx_harmony.events import Event, Failed, Finished, Loading, Queued
from mlx_harmony.records import Record

FAILED, REFUSED, LEFT = "failed", "refused", "cancelled"


class Counts(Record):
    """The counts at one moment. `outcomes` are by the reason for which answers ended, `failed` for an error, `refused` for a full queue.

    Tokens are those of answers that came to their end: read, reused, and written by the model. `waiting` requests have not begun to be
    read; `restarts` are loads after the model's process had died.
    """

    waiting: int = 0
    running: int = 0
    outcomes: dict[str, int] = {}
    tokens_read: int = 0
    tokens_reused: int = 0
    tokens_written: int = 0
    loads: int = 0
    restarts: int = 0


class Tally:
    """Told of every request and event of one model."""

    def __init__(self) -> None:
        self._under_way: dict[str, bool] = {}
        self._outcomes: Counter[str] = Counter()
        self._read = self._reused = self._written = 0
        self._loads = self._restarts = 0

    def began(self, request_id: str) -> None:
        """A request came in; it waits until an event says otherwise."""
        self._under_way[request_id] = False

    def note(self, request_id: str, event: Event) -> None:
        """Take notice of what happened to it."""
        match event:
            case Queued() | Loading():
                self._under_way[request_id] = False
            case Finished(reason=reason, timings=timings):
                self._read += timings.prompt_n
                self._reused += timings.cached_n
                self._written += timings.predicted_n
                self._end(request_id, reason)
            case Failed():
                self._end(request_id, FAILED)
            case _:
                self._under_way[request_id] = True

    def left(self, request_id: str) -> None:
        """Nobody waits for it any more; before its end that is cancelling."""
        if request_id in self._under_way:
            self._end(request_id, LEFT)

    def refused(self) -> None:
        """A request found the queue full."""
        self._outcomes[REFUSED] += 1

    def loaded(self, *, again: bool) -> None:
        """The model was loaded; `again`: because its process had died."""
        self._loads += 1
        self._restarts += again

    def counts(self) -> Counts:
        running = sum(self._under_way.values())
        return Counts(
            waiting=len(self._under_way) - running,
            running=running,
            outcomes=dict(self._outcomes),
            tokens_read=self._read,
            tokens_reused=self._reused,
            tokens_written=self._written,
            loads=self._loads,
            restarts=self._restarts,
        )

    def _end(self, request_id: str, outcome: str) -> None:
        self._under_way.pop(request_id, None)
        self._outcomes[outcome] += 1
