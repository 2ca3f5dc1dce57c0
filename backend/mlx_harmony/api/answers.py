"""How an iterator of events becomes an HTTP answer: whole or as server-sent events, and ended the moment the client hangs up.

Knows no wire format: what a body or a chunk looks like comes from the adapter it is given.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, Protocol

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mlx_harmony.api.errors import error_envelope, error_response
from mlx_harmony.api.line import Line, Pace
from mlx_harmony.errors import EngineCrashed, HarmonyError
from mlx_harmony.events import Event, Failed, Finished, Loading, Prefill, Queued, Routed

DONE = b"data: [DONE]\n\n"


class Gathering(Protocol):
    """An adapter for a whole answer."""

    def add(self, event: Event) -> None: ...

    def body(self, end: Finished) -> dict[str, Any]: ...


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

    def __init__(self, events: AsyncGenerator[Event, None], chunks: Callable[[Event], list[Any]], pace: Pace) -> None:
        super().__init__()
        self._events = events
        self._chunks = chunks
        self._pace = pace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        line = Line(send, self._pace)

        async def answer() -> None:
            error = await self._stream(line)
            if error is None:
                return
            if line.opened:
                await line.say(_data(error_envelope(error)), last=True)
            else:
                line.leave()
                await error_response(error)(scope, receive, send)

        await unless_gone(receive, answer(), line.mind(comment(None)))

    async def _stream(self, line: Line) -> HarmonyError | None:
        """Send the turn; returns the error that ended it, if one did."""
        async with aclosing(self._events) as events:
            async for event in events:
                line.hear()
                match event:
                    case Failed():
                        return event.error()
                    case Routed():
                        # It says who answers, and nothing of whether they can.
                        self._chunks(event)
                        await line.comment(comment(event))
                    case Finished():
                        await line.say(self._told(event) + DONE, last=True)
                        return None
                    case Queued() | Loading() | Prefill():
                        await line.comment(comment(event))
                    case _:
                        await line.say(self._told(event))
        return ended_early()

    def _told(self, event: Event) -> bytes:
        return b"".join([_data(chunk) for chunk in self._chunks(event)])


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


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, None], beside: Coroutine[Any, Any, None] | None = None) -> None:
    """Run `work`, cancelled as soon as the client hangs up, or what runs `beside` it ends."""
    works = [asyncio.create_task(each) for each in (work, beside) if each is not None]
    tasks = {*works, asyncio.create_task(_hung_up(receive))}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in works:
        if not task.cancelled() and (failure := task.exception()) is not None:
            raise failure


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _data(value: Any) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"
