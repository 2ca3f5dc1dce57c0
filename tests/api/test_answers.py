"""Events on their way to a client: silence is noticed, nobody is run ahead of, nothing is left behind; a piece costs no task or timer."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import pytest
from starlette.types import Message

from mlx_harmony.api.answers import StreamedReply
from mlx_harmony.api.line import Line, Pace
from mlx_harmony.api.openai_chat import ChunkedAnswer, Reply
from mlx_harmony.events import Event, Failed, Finished, Prefill, TextDelta, Trimmed
from mlx_harmony.records import Timings, Usage

REPLY = Reply(id="1", created=1, model="m")
TIMINGS = Timings(prompt_n=1, cached_n=0, prompt_ms=1.0, predicted_n=1, predicted_ms=1.0)
END = Finished(reason="stop", usage=Usage(prompt_tokens=1, completion_tokens=1), timings=TIMINGS)


def words(count: int) -> list[Event]:
    return [TextDelta(index=0, channel="final", text=str(at)) for at in range(count)]


class Source:
    """Events of a made-up answer, each after a pause; what became of it."""

    def __init__(self, *events: Event, pause_s: float = 0.0, error: Exception | None = None) -> None:
        self._events = events
        self._pause_s = pause_s
        self._error = error
        self.given = 0
        self.closed = False

    async def events(self) -> AsyncGenerator[Event, None]:
        try:
            for event in self._events:
                await asyncio.sleep(self._pause_s)
                self.given += 1
                yield event
            if self._error is not None:
                raise self._error
        finally:
            self.closed = True


class Client:
    """An ASGI server's side of one connection, whose client takes `takes` messages and then no more until it is `freed`."""

    def __init__(self, takes: int | None = None) -> None:
        self.messages: list[Message] = []
        self.freed = asyncio.Event()
        self.gone = asyncio.Event()
        self._takes = takes

    async def send(self, message: Message) -> None:
        if self._takes is not None and len(self.messages) >= self._takes:
            await self.freed.wait()
        self.messages.append(message)

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def hear(self, source: Source, pace: Pace = Pace()) -> None:  # noqa: B008
        """All of the answer, until it ends by itself or is ended."""
        reply = StreamedReply(source.events(), ChunkedAnswer(REPLY).chunks, pace)
        await asyncio.wait_for(reply({"type": "http"}, self.receive, self.send), 10.0)

    @property
    def bodies(self) -> list[bytes]:
        return [message["body"] for message in self.messages if message["type"] == "http.response.body"]

    @property
    def text(self) -> str:
        """What the chunks say."""
        lines = [line for line in b"".join(self.bodies).split(b"\n\n") if line.startswith(b"data: {")]
        deltas = [choice["delta"] for line in lines for choice in msgspec.json.decode(line[6:])["choices"]]
        return "".join(delta.get("content", "") for delta in deltas)


async def test_events_come_in_order_and_all_of_them() -> None:
    client = Client()
    await client.hear(Source(*words(500), END))
    assert client.text == "".join(map(str, range(500)))
    assert client.bodies[-1].endswith(b"data: [DONE]\n\n")
    assert client.messages[-1]["more_body"] is False


async def test_a_silence_is_told_and_loses_nothing() -> None:
    client = Client()
    await client.hear(Source(*words(2), END, pause_s=0.3), Pace(patience_s=0.0, comment_s=0.05))
    assert b": waiting\n\n" in client.bodies
    assert client.text == "01"


async def test_nothing_is_said_in_a_silence_before_patience_has_ended() -> None:
    client = Client()
    failed = Failed(code="load_failed", message="No.")
    await client.hear(Source(Prefill(done=1, total=2), failed, pause_s=0.2), Pace(patience_s=5.0, comment_s=0.05))
    assert client.messages[0]["status"] >= 400


async def test_the_first_event_that_decides_opens_the_answer_even_where_it_has_no_chunk() -> None:
    client = Client()
    await client.hear(Source(Trimmed(messages=(1,)), Failed(code="out_of_memory", message="Full.")))
    assert client.messages[0]["status"] == 200
    assert b"Full." in client.bodies[-1]


async def test_what_the_source_raises_comes_after_its_last_event() -> None:
    client = Client()
    with pytest.raises(ValueError, match="broken"):
        await client.hear(Source(*words(3), error=ValueError("broken")))
    assert client.text == "012"


async def test_a_client_that_takes_no_more_is_waited_for_and_nothing_is_made_ahead_of_it() -> None:
    client, source = Client(takes=4), Source(*words(100), END)
    hearing = asyncio.create_task(client.hear(source))
    await asyncio.sleep(0.05)
    assert source.given <= 4
    client.freed.set()
    await hearing
    assert client.text == "".join(map(str, range(100)))


async def test_a_client_that_takes_nothing_for_too_long_ends_the_answer() -> None:
    client, source = Client(takes=4), Source(*words(100), END)
    await client.hear(source, Pace(stalled_s=0.1))
    assert source.closed
    assert len(client.messages) == 4


async def test_a_client_that_takes_no_comment_for_too_long_ends_the_answer() -> None:
    client, source = Client(takes=0), Source(*words(1), pause_s=60.0)
    await client.hear(source, Pace(patience_s=0.0, comment_s=0.05, stalled_s=0.1))
    assert source.closed


async def test_a_client_that_takes_its_time_for_each_piece_is_not_given_up() -> None:
    class Slow(Client):
        async def send(self, message: Message) -> None:
            await asyncio.sleep(0.1)
            await super().send(message)

    client = Slow()
    await client.hear(Source(*words(5), END), Pace(stalled_s=0.3))
    assert client.text == "01234"


async def test_a_client_that_hangs_up_closes_the_source_at_once() -> None:
    client, source = Client(), Source(*words(1), pause_s=60.0)
    hearing = asyncio.create_task(client.hear(source))
    await asyncio.sleep(0.02)
    client.gone.set()
    await hearing
    assert source.closed


async def test_an_answer_costs_the_same_tasks_and_timers_however_many_events_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, made = asyncio.get_running_loop(), list[object]()

    def counting(loop: asyncio.AbstractEventLoop, work: Any, **fields: Any) -> asyncio.Task[Any]:
        made.append(work)
        return asyncio.Task(work, loop=loop, **fields)

    def timed(*args: Any, **fields: Any) -> asyncio.TimerHandle:
        made.append(args)
        return original(*args, **fields)

    original = loop.call_at
    monkeypatch.setattr(loop, "call_at", timed)
    loop.set_task_factory(counting)
    try:
        counts = []
        for count in (1, 200):
            made.clear()
            await Client().hear(Source(*words(count), END))
            counts.append(len(made))
    finally:
        loop.set_task_factory(None)
    assert counts[0] == counts[1]


class Looked(Line):
    """Counts how often it looks after its client."""

    looks = 0

    def _until_next_look(self) -> float:
        self.looks += 1
        return super()._until_next_look()


async def test_a_line_that_was_left_is_not_looked_after_again_and_again() -> None:
    async def send(_message: Message) -> None:
        pass

    line = Looked(send, Pace(comment_s=0.001, stalled_s=5.0))
    line.leave()
    await asyncio.sleep(0.01)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(line.mind(b": waiting\n\n"), 0.05)
    assert line.looks == 1
