"""Answers being written: drawn at their own pace, ended by Stop or by leaving, one a tab."""

import asyncio
import time
from collections.abc import AsyncGenerator
from itertools import pairwise

from mlx_harmony.conversation.records import TurnEvent, TurnStarted
from mlx_harmony.events import Failed, MessageStarted, TextDelta
from mlx_harmony_ui.live import LiveTurn
from mlx_harmony_ui.running import REST, Desk, unkept

STARTED = TurnStarted(chat_id="c", user_message_id="u", assistant_message_id="a", model="starter")
TURN = LiveTurn(chat_id="c", user_text="Hi")


class Source:
    """An answer of many small pieces that never ends by itself; tells whether it was left."""

    def __init__(self, pieces: int = 1_000_000, pause_s: float = 0.0) -> None:
        self.pieces = pieces
        self.pause_s = pause_s
        self.given = 0
        self.closed = False

    async def events(self) -> AsyncGenerator[TurnEvent, None]:
        try:
            yield STARTED
            yield MessageStarted(index=0, channel="final")
            for _ in range(self.pieces):
                self.given += 1
                yield TextDelta(index=0, channel="final", text="x")
                await asyncio.sleep(self.pause_s)
        finally:
            self.closed = True


async def test_drawing_slowly_does_not_slow_the_model() -> None:
    source = Source(pieces=500)
    running = Desk().start("tab", TURN, source.events())
    frames = 0
    async for _ in running.frames():
        frames += 1
        await asyncio.sleep(0.05)
    assert source.given == 500
    assert running.turn.voices[0].text == "x" * 500
    assert frames < 20


async def test_slow_drawing_is_asked_for_less_often() -> None:
    running = Desk().start("tab", TURN, Source(pieces=400, pause_s=0.002).events())
    drawn_at: list[float] = []
    async for _ in running.frames():
        drawn_at.append(time.monotonic())
        await asyncio.sleep(0.1)
    between = [later - earlier for earlier, later in pairwise(drawn_at[:-1])]
    assert between and min(between) >= 0.1 * (1 + REST)


async def test_the_last_state_is_always_drawn() -> None:
    running = Desk().start("tab", TURN, Source(pieces=3).events())
    last = [turn async for turn in running.frames()][-1]
    assert last.voices[0].text == "xxx"


async def test_stop_leaves_the_stream_and_ends_the_frames() -> None:
    source = Source(pause_s=0.01)
    desk = Desk()
    running = desk.start("tab", TURN, source.events())
    frames = running.frames()
    await anext(frames)
    await desk.stop("tab")
    assert source.closed
    rest = await asyncio.wait_for(_drain(frames), 1)
    assert rest[-1].started


async def test_leaving_cancels_and_frees_the_tab() -> None:
    source = Source(pause_s=0.01)
    desk = Desk()
    running = desk.start("tab", TURN, source.events())
    await asyncio.sleep(0.02)
    assert desk.of("tab") is running
    await desk.leave("tab", running)
    assert desk.of("tab") is None
    assert source.closed


async def test_stopping_a_tab_that_is_not_answering_does_nothing() -> None:
    await Desk().stop("nobody")


def test_only_what_was_never_kept_goes_back_into_the_box() -> None:
    failed = Failed(code="storage", message="The disk is full.")
    assert unkept(LiveTurn(chat_id="c", user_text="Hi", failed=failed)) is failed
    assert unkept(LiveTurn(chat_id="c", user_text="Hi", answer_id="a", failed=failed)) is None


async def _drain(frames: AsyncGenerator[LiveTurn, None]) -> list[LiveTurn]:
    return [turn async for turn in frames]
