"""Requests on their way to the loop: first come, first served. The only queue of the worker, and the only thing two threads share.

The thread that reads the socket puts and cancels; the thread that owns mlx takes. It knows no mlx and no sockets.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from mlx_harmony.events import Event, Finished, Queued
from mlx_harmony.records import GenerationRequest, Timings, Usage

Emit = Callable[[str, Event], None]
"""Sends one event of one request; may be called from either thread."""


class Outlet(Protocol):
    """Sends several events in one piece. `pack` makes one ready, and raises where it cannot travel; `send` takes what was packed."""

    def pack(self, request_id: str, event: Event) -> Any: ...

    def send(self, packed: Sequence[Any]) -> None: ...


class Ticket(NamedTuple):
    """A request that was taken, and when it came (perf_counter). `counting`: only its prompt's length is asked for."""

    request: GenerationRequest
    asked_at: float
    counting: bool = False


Errand = Callable[[], None]
"""Something else that needs the thread that owns mlx for a moment; it raises nothing."""


class Inbox:
    """Waiting requests and cancelled ids. At most `seats` requests are under way at once; the others wait.

    A request that is cancelled while it waits ends at once, without the loop. Without an `outlet` events are sent one by one.
    """

    def __init__(self, emit: Emit, seats: int = 1, outlet: Outlet | None = None) -> None:
        self.emit = emit
        self.seats = seats
        self.outlet = outlet or _OneByOne(self)
        self._changed = threading.Condition()
        self._waiting: deque[Ticket] = deque()
        self._errands: deque[Errand] = deque()
        self._running: set[str] = set()
        self._cancelled: set[str] = set()
        self._told: dict[str, int] = {}
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether nothing more is to be done."""
        return self._closed

    def put(self, request: GenerationRequest) -> None:
        """Add a request; it hears its place in the queue while it has to wait."""
        with self._changed:
            self._waiting.append(Ticket(request, time.perf_counter()))
            self._tell_places()
            self._changed.notify()

    def put_count(self, request: GenerationRequest) -> None:
        """Add a question for a prompt's length; it goes before all that wait and needs no seat, because it takes no time."""
        with self._changed:
            self._waiting.appendleft(Ticket(request, time.perf_counter(), counting=True))
            self._changed.notify()

    def put_errand(self, errand: Errand) -> None:
        """Add something that the loop does between two steps, before anything else that waits."""
        with self._changed:
            self._errands.append(errand)
            self._changed.notify()

    def take_errands(self) -> list[Errand]:
        """What is to be done now."""
        with self._changed:
            errands, self._errands = list(self._errands), deque()
            return errands

    def cancel(self, request_id: str) -> None:
        """End a request: at once while it waits, before its next step while it runs. Unknown ids are ignored."""
        with self._changed:
            if request_id in self._running:
                self._cancelled.add(request_id)
            for ticket in self._waiting:
                if ticket.request.id == request_id:
                    self._waiting.remove(ticket)
                    self.emit(request_id, _never_started(ticket))
                    self._tell_places()
                    return

    def take(self, wait: bool = True) -> Ticket | None:
        """The next request there is a seat for, which it holds until it is `done`; `wait` blocks until there is one.

        None where there is none, where an errand came, or once the inbox is closed.
        """
        with self._changed:
            if wait:
                self._changed.wait_for(lambda: self._closed or self._errands or self._next() is not None)
            ticket = self._next()
            if self._closed or ticket is None:
                return None
            self._waiting.popleft()
            if not ticket.counting:
                self._running.add(ticket.request.id)
                self._tell_places()
            return ticket

    def done(self, request_id: str) -> None:
        """Free a request's seat."""
        with self._changed:
            self._running.discard(request_id)
            self._cancelled.discard(request_id)

    def cancelled(self, request_id: str) -> bool:
        """Whether a running request should end. Cheap: asked before every step."""
        return self._closed or request_id in self._cancelled

    def close(self) -> None:
        """Let the loop end; the running requests are cancelled."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _next(self) -> Ticket | None:
        if self._waiting and (self._waiting[0].counting or len(self._running) < self.seats):
            return self._waiting[0]
        return None

    def _tell_places(self) -> None:
        """Tell everyone for whom no seat is free their place, where it has changed."""
        free = self.seats - len(self._running)
        waiting = [ticket.request.id for ticket in self._waiting if not ticket.counting]
        before, self._told = self._told, {name: place for place, name in enumerate(waiting[max(0, free) :], 1)}
        for name, place in self._told.items():
            if before.get(name) != place:
                self.emit(name, Queued(position=place))


class _OneByOne:
    """An Outlet that sends as the inbox does."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    def pack(self, request_id: str, event: Event) -> tuple[str, Event]:
        return request_id, event

    def send(self, packed: Sequence[tuple[str, Event]]) -> None:
        for request_id, event in packed:
            self._inbox.emit(request_id, event)


def _never_started(ticket: Ticket) -> Finished:
    waited_ms = (time.perf_counter() - ticket.asked_at) * 1000
    return Finished(
        reason="cancelled",
        usage=Usage(prompt_tokens=0, completion_tokens=0),
        timings=Timings(prompt_n=0, cached_n=0, prompt_ms=0.0, predicted_n=0, predicted_ms=0.0, queued_ms=waited_ms),
    )
