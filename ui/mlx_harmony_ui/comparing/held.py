"""Comparisons as they are held for their pages: one outlives the page's reload, and one that nobody looks at any more is ended.

An id is known only to the page that began it. Knows neither Gradio nor HTML, nor what is drawn of a comparison.
"""

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from mlx_harmony.comparing import Comparison, SideEvent
from mlx_harmony_ui.comparing.sides import Asked, Pair, folded, nothing_yet
from mlx_harmony_ui.running import Running

UNSEEN_S = 30.0
"""So long a comparison goes on while no page looks at it: a reload takes a few seconds, on a busy machine more."""
MOST = 20


class Held(NamedTuple):
    """A comparison under its id, with what was asked."""

    id: str
    text: str
    comparison: Comparison
    running: Running[Pair, SideEvent]


class Shelf:
    """Comparisons that run, and the latest of those that are over."""

    def __init__(self, unseen_s: float = UNSEEN_S) -> None:
        self._unseen_s = unseen_s
        self._held: dict[str, Held] = {}
        self._looking: dict[str, Held] = {}
        self._ending: dict[str, asyncio.Task[None]] = {}

    def begin(self, comparison: Comparison, text: str, left: Asked, right: Asked) -> Held:
        """Let it run, and hold it."""
        held = Held(secrets.token_urlsafe(12), text, comparison, Running(nothing_yet(text, left, right), comparison.events(), folded))
        self._held[held.id] = held
        over = [each.id for each in self._held.values() if each.running.over]
        for old in over[: max(0, len(self._held) - MOST)]:
            del self._held[old]
        return held

    def of(self, held_id: str) -> Held | None:
        """The comparison of that id; None for one that is no longer held."""
        return self._held.get(held_id)

    def seen_by(self, session: str) -> Held | None:
        """The one that runs before the eyes of this browser tab."""
        held = self._looking.get(session)
        return None if held is None or held.running.over else held

    @contextmanager
    def looking(self, session: str, held: Held) -> Iterator[None]:
        """While this lasts the tab looks at it. Once nobody has for a while, what still runs of it is ended."""
        self._looking[session] = held
        if ending := self._ending.pop(held.id, None):
            ending.cancel()
        try:
            yield
        finally:
            if self._looking.get(session) is held:
                del self._looking[session]
            if held not in self._looking.values() and not held.running.over:
                self._ending[held.id] = asyncio.create_task(self._end_unseen(held))

    async def _end_unseen(self, held: Held) -> None:
        if not await held.running.wait(self._unseen_s):
            # Not the task that takes the events in: it is to see how both ended.
            await held.comparison.stop()
        self._ending.pop(held.id, None)
