"""The line to one client that is streamed to: its silences are filled, and a client that takes nothing any more is given up.

It knows no events and no wire format. A piece costs neither a task nor a timer: a model writes hundreds a second, on the processor that
the server has, too.
"""

import asyncio

from starlette.types import Message, Send

from mlx_harmony.records import Record

SSE_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]
COMMENT_EVERY_S = 1.0


class Pace(Record):
    """`patience_s`: how long the status is held back for an error to show; `comment_s`: the longest silence on an open stream.

    `stalled_s`: a client that takes nothing for this long counts as gone, or it would hold its slot for ever.
    """

    patience_s: float = 5.0
    comment_s: float = 5.0
    stalled_s: float = 60.0


class Line:
    """One task says the answer over it, another one minds it. `opened`: the status is sent, so that nothing else can be answered."""

    def __init__(self, send: Send, pace: Pace) -> None:
        self._send = send
        self._pace = pace
        self._now = asyncio.get_running_loop().time
        self._began = self._commented = self._heard = self._now()
        self._giving_since: float | None = None
        self._one_says = asyncio.Lock()
        self._over = False
        self.opened = False

    def hear(self) -> None:
        """Something came from the model: it is no silence."""
        self._heard = self._now()

    async def say(self, body: bytes, *, last: bool = False) -> None:
        """Send a piece, the status before the first one, which may be empty. Waits for a client that takes nothing at this moment."""
        async with self._one_says:
            self._over = last
            if not self.opened:
                self.opened = True
                await self._give({"type": "http.response.start", "status": 200, "headers": SSE_HEADERS})
            if body or last:
                await self._give({"type": "http.response.body", "body": body, "more_body": not last})

    async def comment(self, body: bytes) -> None:
        """Say what clients ignore, where patience has ended and nothing of the kind was said just now."""
        now = self._now()
        if now - self._began >= self._pace.patience_s and not (self.opened and now - self._commented < COMMENT_EVERY_S):
            self._commented = now
            await self.say(body)

    def leave(self) -> None:
        """Nothing more is said over it; something else is answered, or nothing."""
        self._over = True

    async def mind(self, waiting: bytes) -> None:
        """Comment on long silences with `waiting`. Ends once the client has taken nothing for too long."""
        while not self._stalled():
            await asyncio.sleep(self._until_next_look())
            if self._silent() and not await self._filled(waiting):
                return

    async def _give(self, message: Message) -> None:
        self._giving_since = self._now()
        await self._send(message)
        self._giving_since = None

    def _stalled(self) -> bool:
        return self._giving_since is not None and self._now() - self._giving_since >= self._pace.stalled_s

    def _silent(self) -> bool:
        return not self._over and self._giving_since is None and self._now() - self._heard >= self._pace.comment_s

    def _until_next_look(self) -> float:
        now = self._now()
        if self._over and self._giving_since is None:
            return self._pace.stalled_s
        if self._giving_since is not None:
            return max(0.0, self._giving_since + self._pace.stalled_s - now)
        return min(max(0.0, self._heard + self._pace.comment_s - now), self._pace.stalled_s)

    async def _filled(self, waiting: bytes) -> bool:
        """Whether the client took the comment."""
        self.hear()
        try:
            async with asyncio.timeout(self._pace.stalled_s):
                await self.comment(waiting)
        except TimeoutError:
            return False
        return True
