"""Answers that are being written: one task each takes the service's events in, whoever draws looks at what has come so far.

The page can never slow the model: events are folded as they come, drawing happens at its own pace. Knows neither Gradio nor HTML.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Generic, TypeVar

from mlx_harmony.conversation.records import TurnEvent
from mlx_harmony.events import Failed
from mlx_harmony_ui.live import LiveTurn, fold

FRAME_S = 0.06
SLOWEST_FRAME_S = 0.6
REST = 3.0
"""How much longer than drawing the rest after it is, so that a page which is slow to draw leaves the model its time."""


T = TypeVar("T")
E = TypeVar("E")


class Running(Generic[T, E]):
    """What is shown of a stream of events. `shown` is what has come so far; `stop` leaves the service's stream, which cancels it."""

    def __init__(self, shown: T, events: AsyncGenerator[E, None], folded: Callable[[T, E, float], T]) -> None:
        self.shown = shown
        self._events = events
        self._folded = folded
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self._gather())

    async def frames(self) -> AsyncGenerator[T, None]:
        """What is shown each time it has changed, at most once a frame, the last state for certain; slow drawing is asked for less."""
        while not self._task.done():
            await self._changed.wait()
            self._changed.clear()
            began = time.monotonic()
            yield self.shown
            drawing_s = time.monotonic() - began
            await asyncio.wait([self._task], timeout=min(max(FRAME_S - drawing_s, REST * drawing_s), SLOWEST_FRAME_S))
        if not self._task.cancelled():
            self._task.result()
        yield self.shown

    @property
    def over(self) -> bool:
        """Whether nothing more comes."""
        return self._task.done()

    async def wait(self, seconds: float) -> bool:
        """Wait until it is over, at most so long; whether it is."""
        await asyncio.wait([self._task], timeout=seconds)
        return self.over

    async def stop(self) -> None:
        """End it now and wait until the service has kept what was written."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _gather(self) -> None:
        try:
            async with aclosing(self._events) as events:
                async for event in events:
                    self.shown = self._folded(self.shown, event, time.monotonic())
                    self._changed.set()
        finally:
            self._changed.set()


class RunningTurn(Running[LiveTurn, TurnEvent]):
    """One answer being written."""

    def __init__(self, turn: LiveTurn, events: AsyncGenerator[TurnEvent, None]) -> None:
        super().__init__(turn, events, fold)

    @property
    def turn(self) -> LiveTurn:
        """The answer so far."""
        return self.shown


class Desk:
    """Which browser tab has which answer being written; a tab has one at a time. Keys are Gradio's session hashes."""

    def __init__(self) -> None:
        self._running: dict[str, RunningTurn] = {}

    def start(self, session: str, turn: LiveTurn, events: AsyncGenerator[TurnEvent, None]) -> RunningTurn:
        self._running[session] = running = RunningTurn(turn, events)
        return running

    def of(self, session: str) -> RunningTurn | None:
        return self._running.get(session)

    async def stop(self, session: str) -> None:
        if running := self._running.get(session):
            await running.stop()

    async def leave(self, session: str, running: RunningTurn) -> None:
        """The tab is done with this answer, whether it ended, was stopped or the tab went away."""
        await running.stop()
        if self._running.get(session) is running:
            del self._running[session]


def unkept(turn: LiveTurn) -> Failed | None:
    """The failure that came before anything was kept: what was typed must go back into the box."""
    return turn.failed if not turn.started else None
