"""How an iterator of events becomes an HTTP answer: whole or as server-sent events, and ended the moment the client hangs up.

Knows no wire format: what a body or a chunk looks like comes from the adapter it is given.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, Protocol

import msgspec
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from mlx_harmony.api.errors import error_envelope, error_response
from mlx_harmony.errors import EngineCrashed, HarmonyError
from mlx_harmony.events import Event, Failed, Finished, Loading, Prefill, Queued, Routed

SSE_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]

HEARD_AHEAD = 64
"""So many events may have come that the client has not taken yet; then the answer waits for it."""


class Gathering(Protocol):
    """An adapter for a whole answer."""

    def add(self, event: Event) -> None: ...

    def body(self, end: Finished) -> dict[str, Any]: ...


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """`patience_s`: how long the status is held back for an error to show; `comment_s`: the longest silence on an open stream.

    `stalled_s`: a client that takes nothing for this long counts as gone, or it would hold its slot for ever.
    """

    patience_s: float = 5.0
    comment_s: float = 5.0
    stalled_s: float = 60.0


class WholeReply(Response):
    """Answers once the turn has ended: 200 with the adapter's body, or the error's own status."""

    def __init__(self, events: AsyncGenerator[Event, None], gathering: Gathering) -> None:
        super().__init__()
        self._events = events
        self._gathering = gathering

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def answer() -> None:
            response = await self._response()
            await response(scope, receive, send)

        await unless_gone(receive, answer())

    async def _response(self) -> Response:
        async with aclosing(self._events) as events:
            async for event in events:
                match event:
                    case Finished():
                        return Response(msgspec.json.encode(self._gathering.body(event)), media_type="application/json")
                    case Failed():
                        return error_response(event.error())
                    case _:
                        self._gathering.add(event)
        return error_response(ended_early())


class StreamedReply(Response):
    """Server-sent events. The status waits for the first event that decides it, but no longer than the pace's patience."""

    def __init__(self, events: AsyncGenerator[Event, None], chunks: Callable[[Event], list[dict[str, Any]]], pace: Pace) -> None:
        super().__init__()
        self._events = events
        self._chunks = chunks
        self._pace = pace
        self._open = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def limited(message: Message) -> None:
            async with asyncio.timeout(self._pace.stalled_s):
                await send(message)

        async def answer() -> None:
            error = await self._stream(limited)
            if error is not None and not self._open:
                await error_response(error)(scope, receive, send)
            elif error is not None:
                await limited(_body(_data(error_envelope(error)), more=False))

        await unless_gone(receive, answer())

    async def _stream(self, send: Send) -> HarmonyError | None:
        """Send the turn; returns the error that ended it, if one did."""
        loop = asyncio.get_running_loop()
        started = commented = loop.time()
        async with aclosing(self._events) as source, aclosing(paced(source, self._pace.comment_s)) as events:
            async for event in events:
                if isinstance(event, Failed):
                    return event.error()
                if isinstance(event, Routed):
                    # It says who answers, and nothing of whether they can.
                    self._chunks(event)
                now = loop.time()
                if event is not None and decides(event):
                    await self._start(send)
                    if await self._tell(event, send):
                        return None
                elif now - started >= self._pace.patience_s and (not self._open or now - commented >= 1.0):
                    await self._start(send)
                    await send(_body(comment(event)))
                    commented = now
        return ended_early()

    async def _start(self, send: Send) -> None:
        if not self._open:
            await send({"type": "http.response.start", "status": 200, "headers": SSE_HEADERS})
            self._open = True

    async def _tell(self, event: Event, send: Send) -> bool:
        ended = isinstance(event, Finished)
        frames = b"".join(_data(chunk) for chunk in self._chunks(event))
        if frames or ended:
            await send(_body(frames + (b"data: [DONE]\n\n" if ended else b""), more=not ended))
        return ended


def decides(event: Event) -> bool:
    """Whether the answer's status is known by now: waiting, loading and reading the prompt leave it open."""
    return not isinstance(event, Queued | Loading | Routed | Prefill)


def comment(event: Event | None) -> bytes:
    """A line that clients ignore and that keeps the connection warm."""
    match event:
        case Queued(position=position):
            return b": queued %d\n\n" % position
        case Loading(fraction=fraction):
            return b": loading %d%%\n\n" % (fraction * 100)
        case Prefill(done=done, total=total):
            return b": prefill %d/%d\n\n" % (done, total)
        case _:
            return b": waiting\n\n"


def ended_early() -> EngineCrashed:
    """What an iterator without an end means."""
    return EngineCrashed("The answer broke off.", hint="Send the request again.")


async def paced(events: AsyncGenerator[Event, None], silence_s: float) -> AsyncGenerator[Event | None, None]:
    """The events as they come, and None each time `silence_s` passed without one."""
    heard: asyncio.Queue[Event | None] = asyncio.Queue(HEARD_AHEAD)
    # One task for all events: a task for each would cost more than all else that is done with a token here.
    listening = asyncio.create_task(_listen(events, heard))
    try:
        while True:
            try:
                async with asyncio.timeout(silence_s):
                    event = await heard.get()
            except TimeoutError:
                yield None
                continue
            if event is None:
                break
            yield event
        await listening
    finally:
        listening.cancel()
        while not heard.empty():
            # Its last word finds room.
            heard.get_nowait()
        await asyncio.wait({listening})


async def _listen(events: AsyncGenerator[Event, None], heard: asyncio.Queue[Event | None]) -> None:
    """Gather the events, and None after the last."""
    try:
        async for event in events:
            await heard.put(event)
    finally:
        await heard.put(None)


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    """Run `work`, cancelled as soon as the client hangs up or takes nothing any more."""
    working = asyncio.create_task(work)
    watching = asyncio.create_task(_hung_up(receive))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        tasks = {working, watching}
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    if not working.cancelled():
        failure = working.exception()
        if failure is not None and not isinstance(failure, TimeoutError):
            raise failure


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _data(value: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"


def _body(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}
