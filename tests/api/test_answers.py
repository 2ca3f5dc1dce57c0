"""Events on their way to a client: silence is noticed, nobody is run ahead of, nothing is left behind, and it costs one task in all."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest

from mlx_harmony.api.answers import HEARD_AHEAD, paced
from mlx_harmony.events import Event, TextDelta


class Source:
    """Events of a made-up answer; what became of it."""

    def __init__(self, count: int, pause_s: float = 0.0, error: Exception | None = None) -> None:
        self._count = count
        self._pause_s = pause_s
        self._error = error
        self.given = 0
        self.closed = False

    async def events(self) -> AsyncGenerator[Event, None]:
        try:
            for at in range(self._count):
                await asyncio.sleep(self._pause_s)
                self.given += 1
                yield TextDelta(index=0, channel="final", text=str(at))
            if self._error is not None:
                raise self._error
        finally:
            self.closed = True


def text(event: Event | None) -> str:
    return event.text if isinstance(event, TextDelta) else ""


async def test_events_come_in_order_and_all_of_them() -> None:
    heard = [text(event) async for event in paced(Source(500).events(), 5.0)]
    assert heard == [str(at) for at in range(500)]


async def test_each_silence_is_told_and_loses_nothing() -> None:
    heard = [event async for event in paced(Source(2, pause_s=0.2).events(), 0.05)]
    assert heard.count(None) >= 4
    assert [text(event) for event in heard if event is not None] == ["0", "1"]


async def test_what_the_source_raises_comes_after_its_last_event() -> None:
    heard = []
    with pytest.raises(ValueError, match="broken"):
        async for event in paced(Source(3, error=ValueError("broken")).events(), 5.0):
            heard.append(text(event))
    assert heard == ["0", "1", "2"]


@pytest.mark.parametrize("taken", [1, HEARD_AHEAD + 10])
async def test_a_client_that_takes_no_more_is_waited_for_and_can_be_left(taken: int) -> None:
    source = Source(1000)
    async with asyncio.timeout(5.0), aclosing(source.events()) as events, aclosing(paced(events, 5.0)) as heard:
        for _ in range(taken):
            await anext(heard)
        await asyncio.sleep(0.05)
        assert source.given <= taken + HEARD_AHEAD + 1
    assert source.closed


async def test_an_answer_costs_one_task_however_many_events_it_has() -> None:
    made: list[object] = []

    def counting(loop: asyncio.AbstractEventLoop, work: Any, **fields: Any) -> asyncio.Task[Any]:
        made.append(work)
        return asyncio.Task(work, loop=loop, **fields)

    loop = asyncio.get_running_loop()
    loop.set_task_factory(counting)
    try:
        assert len([event async for event in paced(Source(200).events(), 5.0)]) == 200
    finally:
        loop.set_task_factory(None)
    assert len(made) == 1
