"""The loop: seats requests as they come and brings them on together, step by step. One thread, which owns mlx. It knows no transport.

A round answers questions for counts, seats who may come in, reads a prompt on for one step, or several where they are short, and draws
one token of every answer. So an answer waits no longer than for one step of somebody else's prompt, and a cancel for at most one
round. What a round's answers have to say goes out at once, so that whoever hears it wakes once.
"""

import time
from collections.abc import Collection
from contextlib import nullcontext
from functools import partial
from typing import Any

import mlx.core as mx

from mlx_harmony.errors import GenerationFailed
from mlx_harmony.events import Counted, Event
from mlx_harmony.records import GenerationRequest
from mlx_harmony.worker.batch import Batch
from mlx_harmony.worker.decode import Drawing, Row
from mlx_harmony.worker.generation import Desk, Generation, RenderGuard, Steps, Wait, count_prompt
from mlx_harmony.worker.guard import guarded
from mlx_harmony.worker.inbox import Inbox, Ticket
from mlx_harmony.worker.kv_caches import KvCaches
from mlx_harmony.worker.load import LoadedModel
from mlx_harmony.worker.padding import free_on
from mlx_harmony.worker.prompt_cache import PromptCache
from mlx_harmony.worker.reading import Reading
from mlx_harmony.worker.rendering import Rendering, beside, is_long
from mlx_harmony.worker.speculation.drafts import Guessing
from mlx_harmony.worker.speculation.gain import Gain
from mlx_harmony.worker.turns import Turn

__all__ = ["SEATS", "Loop", "guarded"]

Kept = PromptCache | KvCaches
"""What was read before: in the plain form of KV, or in all of them."""

SEATS = 16
"""How many requests are under way at once. Devices gain little beyond eight rows; a few more keep them full while some read."""
ADMITTING_S = 0.01
"""How long a round goes on seating requests where answers are being written, since rendering their prompts takes time."""
MOMENT_S = 0.05
"""How long a file or a process is waited for, where there is nothing else to do, before it is seen who came and who left."""


class _Seat:
    """A request under way and what it waits for."""

    def __init__(self, request_id: str, steps: Steps) -> None:
        self.id = request_id
        self.steps = steps
        self.waits: Wait | None = None


class Loop:
    """Answers the inbox's requests until it is closed. A request that fails, fails alone."""

    def __init__(
        self,
        loaded: LoadedModel,
        inbox: Inbox,
        guard: RenderGuard = nullcontext,
        cache: Kept | None = None,
        guessing: Guessing | None = None,
    ) -> None:
        gain, drafts = guessing or Guessing(Gain())
        caches = cache if isinstance(cache, KvCaches) else KvCaches(loaded.model, PromptCache() if cache is None else cache)
        self._desk = Desk(loaded, caches.plain, loaded.new_pace(), guard, drafts, caches)
        self._batch = Batch(loaded.model, gain, free_on(loaded.card.device))
        self._inbox = inbox
        self._set_seats()
        self._seats: list[_Seat] = []
        self._packed: list[Any] = []
        self._gathers = False
        self._steps = 0
        self._settled_s = 0.0

    def run(self) -> None:
        """Blocks while there is nothing to do."""
        while self._seats or not self._inbox.closed:
            self._set_seats()
            if not self._renders():
                self._admit()
                for errand in self._inbox.take_errands():
                    errand()
                self._fetch()
                self._read()
            self._write()

    def _set_seats(self) -> None:
        self._inbox.seats = SEATS if self._batch.together else 1

    def _renders(self) -> bool:
        """Whether a long prompt is being rendered: until that is over only answers go on, since a tokenizer serves one at a time."""
        for seat in self._seats:
            if isinstance(seat.waits, Rendering):
                if not len(self._batch):
                    seat.waits.wait()
                if seat.waits.over:
                    self._go_on(seat)
                return True
        return False

    def _admit(self) -> None:
        """Take what waits; where answers are being written not for long."""
        until = time.perf_counter() + ADMITTING_S
        while (ticket := self._inbox.take(wait=not self._seats)) is not None:
            if ticket.counting:
                self._count(ticket)
                if self._seats and isinstance(self._seats[-1].waits, Rendering):
                    return
                continue
            cancelled = partial(self._inbox.cancelled, ticket.request.id)
            seat = _Seat(ticket.request.id, Generation(self._desk, ticket.request, cancelled, ticket.asked_at).steps(self._batch))
            self._seats.append(seat)
            self._go_on(seat)
            if isinstance(seat.waits, Rendering) or (len(self._batch) and time.perf_counter() >= until):
                return

    def _count(self, ticket: Ticket) -> None:
        if len(self._batch) and is_long(ticket.request.prompt):
            self._seats.append(_Seat(ticket.request.id, self._counting(ticket.request)))
            self._go_on(self._seats[-1])
            return

        def count() -> None:
            self._inbox.emit(ticket.request.id, Counted(count=count_prompt(self._desk, ticket.request)))

        if (failed := guarded(count, GenerationFailed)) is not None:
            self._inbox.emit(ticket.request.id, failed)

    def _counting(self, request: GenerationRequest) -> Steps:
        """A long prompt's count, rendered beside the answers."""
        count = yield from beside(request.prompt, lambda: count_prompt(self._desk, request), busy=True)
        yield Counted(count=count)

    def _fetch(self) -> None:
        """A turn of what is fetched for requests: draft models."""
        for seat in list(self._seats):
            if isinstance(seat.waits, Turn) and (not seat.waits.waits or self._inbox.cancelled(seat.id)):
                self._batch.settle()
                self._go_on(seat)

    def _read(self) -> None:
        """One step of one prompt, or of as many as one step has time for; who was cancelled meanwhile ends here."""
        for seat in self._readers():
            if self._inbox.cancelled(seat.id):
                self._go_on(seat)
        shared, began, had = len(self._batch) > 0, time.perf_counter(), set[_Seat]()
        while (following := self._next_reader(had)) is not None:
            seat, reading = following
            if had and not self._desk.pace.fits(reading.left, time.perf_counter() - began):
                break
            had.add(seat)
            self._steps += 1
            self._settle()
            self._desk.pace.shared = shared
            self._go_on(seat)
        if not had and not shared:
            self._wait_a_moment()

    def _settle(self) -> None:
        """Wait for the answers' step under way, so that what comes next is timed by itself."""
        began = time.perf_counter()
        self._batch.settle()
        self._settled_s += time.perf_counter() - began

    def _wait_a_moment(self) -> None:
        """Where all that can be done is to wait for what is read from the disk, or looked at beside."""
        waits = [seat.waits for seat in self._seats if isinstance(seat.waits, Reading | Turn)]
        if any(isinstance(each, Turn) and not each.waits for each in waits):
            return
        if (waiting := next((each for each in waits if each.waits), None)) is not None:
            waiting.wait(MOMENT_S)

    def _write(self) -> None:
        """One token of every answer."""
        if not len(self._batch):
            return
        writers = {seat.waits: seat for seat in self._seats if isinstance(seat.waits, Row)}
        began = time.perf_counter()
        drawn = self._batch.step()
        self._desk.pace.answer_s, self._settled_s = self._settled_s + time.perf_counter() - began, 0.0
        self._gathers = True
        for row, drawing in drawn:
            if (writer := writers.get(row)) is not None:
                self._go_on(writer, drawing)
        self._gathers = False
        self._send()

    def _readers(self) -> list[_Seat]:
        return [seat for seat in self._seats if isinstance(seat.waits, Reading)]

    def _next_reader(self, had: Collection[_Seat]) -> tuple[_Seat, Reading] | None:
        """By turns the one that came first and the one with the least to read, so that neither a long nor a short prompt starves.

        One whose beginning somebody else is reading waits for that, and one whose beginning is on the disk until it was read from there.
        Who `had` a step in this round waits for the next one.
        """
        readings = [(seat, seat.waits) for seat in self._readers() if isinstance(seat.waits, Reading)]
        under_way = [reading for _, reading in readings if reading.under_way]
        ready = [
            (seat, reading)
            for seat, reading in readings
            if not reading.waits and (reading.under_way or not [other for other in under_way if other.serves(reading)]) and seat not in had
        ]
        if not ready:
            return None
        return min(ready, key=lambda pair: pair[1].left) if self._steps % 2 else ready[0]

    def _go_on(self, seat: _Seat, drawing: Drawing | None = None) -> None:
        """Send a request's events until it waits again, or has ended."""
        failed = guarded(lambda: self._advance(seat, drawing), GenerationFailed)
        if failed is not None:
            self._tell(seat, failed)
            seat.waits = None
        if seat.waits is None:
            self._seats.remove(seat)
            self._inbox.done(seat.id)
            mx.clear_cache()

    def _tell(self, seat: _Seat, event: Event) -> None:
        self._packed.append(self._inbox.outlet.pack(seat.id, event))
        if not self._gathers:
            self._send()

    def _send(self) -> None:
        packed, self._packed = self._packed, []
        if packed:
            self._inbox.outlet.send(packed)

    def _advance(self, seat: _Seat, drawing: Drawing | None) -> None:
        seat.waits = None
        try:
            step = seat.steps.send(drawing)
            while not isinstance(step, Rendering | Turn | Reading | Row):
                self._tell(seat, step)
                step = next(seat.steps)
            seat.waits = step
        except StopIteration:
            return
