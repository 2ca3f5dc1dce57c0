"""What the events of Compare do, called as Gradio calls them: columns drawn apart, refusals said, what is kept opened."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from mlx_harmony.service import Service
from mlx_harmony.settings import Settings
from mlx_harmony_ui.comparing.held import MOST, Shelf
from mlx_harmony_ui.tabs.comparing import Compare
from tests.browser.scripts import script
from tests.fixtures.provider import ScriptedProvider

TAB: Any = SimpleNamespace(session_hash="tab")
OTHER_TAB: Any = SimpleNamespace(session_hash="other tab")
SIDE = {"model": "starter", "temperature": 0, "seed": -1, "max_tokens": None, "effort": "medium"}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    opened = await Service.open(Settings(home=str(tmp_path)), ScriptedProvider(script, 0.001))
    yield opened
    await opened.close()


@pytest.fixture
def part(service: Service) -> Compare:
    return Compare(service)


def sent(**data: object) -> gr.EventData:
    return gr.EventData(None, data)


def said(drawn: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(str(drawn))
    return found


def skipped(drawn: object) -> bool:
    return isinstance(drawn, dict)


async def all_of(frames: AsyncGenerator[tuple[Any, ...], None]) -> list[tuple[Any, ...]]:
    async with aclosing(frames) as drawn:
        return [frame async for frame in drawn]


async def test_both_columns_are_drawn_and_a_kept_answer_is_opened(part: Compare, service: Service) -> None:
    frames = await all_of(part.compare(sent(text="Hello", left=SIDE, right={**SIDE, "temperature": 1}), TAB))
    assert "Hello" in frames[0][0] and all(skipped(frame[0]) for frame in frames[1:])
    last = [next(frame[at] for frame in reversed(frames) if not skipped(frame[at])) for at in (1, 2)]
    assert all("You said: Hello" in html and "tok/s" in html and "Keep this answer" in html for html in last)
    assert "Temperature 0 ·" in last[0] and "Temperature 1 ·" in last[1]
    assert await service.list_chats() == ()

    chat_id = last[0].split('data-do="compare-keep" data-kind="')[1].split('"')[0]
    chats, commands = await part.keep(sent(chat=chat_id))
    assert "Hello" in str(chats)
    assert [(command["do"], command["id"]) for command in said(commands)] == [("compare_kept", chat_id), ("go", chat_id)]
    assert [row.id for row in await service.list_chats()] == [chat_id]
    chats, commands = await part.keep(sent(chat="nobody"))
    assert skipped(chats) and "no longer there" in said(commands)[0]["text"]


async def test_a_side_that_is_over_is_not_drawn_again_while_the_other_goes_on(part: Compare) -> None:
    frames = await all_of(part.compare(sent(text="long one", left={**SIDE, "model": "nobody/has-this"}, right=SIDE), TAB))
    drawn = [[not skipped(frame[at]) for frame in frames] for at in (1, 2)]
    assert sum(drawn[0]) <= 3 < sum(drawn[1])


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"text": 7},
        {"text": " \n", "left": SIDE, "right": SIDE},
        {"text": "x", "left": SIDE},
        {"text": "x", "left": SIDE, "right": {**SIDE, "temperature": 9}},
        {"text": "x", "left": [], "right": "starter"},
    ],
)
async def test_what_cannot_be_compared_is_said_and_nothing_is_drawn_or_kept(
    part: Compare, service: Service, data: dict[str, object]
) -> None:
    (frame,) = await all_of(part.compare(sent(**data), TAB))
    assert all(skipped(each) for each in frame[:3])
    assert [command["do"] for command in said(frame[3])] == ["compare_refused"]
    assert await service.list_trash() == ()


async def test_a_tab_compares_one_prompt_at_a_time_and_stops_it(part: Compare) -> None:
    running = asyncio.create_task(all_of(part.compare(sent(text="long one", left=SIDE, right=SIDE), TAB)))
    await asyncio.sleep(0.1)
    (frame,) = await all_of(part.compare(sent(text="Again", left=SIDE, right=SIDE), TAB))
    assert "running here" in said(frame[3])[0]["text"]
    await part.stop(sent(side="left"), TAB)
    assert not running.done()
    await part.stop(sent(), TAB)
    frames = await asyncio.wait_for(running, 5)
    assert "Stopped" in frames[-1][2] or "Stopped" in frames[-2][2]
    await part.stop(sent(), TAB)
    assert len(await all_of(part.compare(sent(text="Hello", left=SIDE, right=SIDE), TAB))) > 1


async def until_both_are_writing(frames: AsyncGenerator[tuple[Any, ...], None]) -> str:
    """The id under which the comparison can be found again, once a word of each side is drawn."""
    held, drawn = "", set()
    async for frame in frames:
        held = held or said(frame[3])[0]["id"]
        drawn |= {at for at in (1, 2) if not skipped(frame[at]) and "answer-text" in frame[at]}
        if drawn == {1, 2}:
            return held
    raise AssertionError("they never did")


async def test_a_page_that_was_loaded_anew_finds_its_comparison_going_on_and_then_done(part: Compare, service: Service) -> None:
    async with aclosing(part.compare(sent(text="long one", left=SIDE, right=SIDE), TAB)) as frames:
        held = await until_both_are_writing(frames)
    again = await all_of(part.back(sent(id=held), OTHER_TAB))
    assert len(again) > 3 and "long one" in again[0][0], "it is still being written"
    (frame, *_) = await all_of(part.back(sent(id=held), TAB))
    for side in (1, 2):
        assert "Keep this answer" in frame[side] and "Stopped" not in frame[side]
    assert len(await service.list_trash()) == 2


async def test_what_nobody_looks_at_any_more_is_ended_and_what_is_not_known_is_said(service: Service) -> None:
    part = Compare(service, Shelf(unseen_s=0.05))
    async with aclosing(part.compare(sent(text="long one", left=SIDE, right=SIDE), TAB)) as frames:
        held = await until_both_are_writing(frames)
    await asyncio.sleep(0.5)
    frame = (await all_of(part.back(sent(id=held), TAB)))[0]
    assert "Stopped" in frame[1] and "Stopped" in frame[2] and "Keep this answer" in frame[1]
    for data in ({"id": "nobody"}, {"id": 7}, {}):
        (frame,) = await all_of(part.back(sent(**data), TAB))
        assert [command["do"] for command in said(frame[3])] == ["compare_gone"]


async def test_after_a_restart_both_are_drawn_as_their_chats_hold_them(part: Compare, service: Service) -> None:
    frames = await all_of(part.compare(sent(text="Hello", left={**SIDE, "max_tokens": 9}, right={**SIDE, "model": "nobody/has-this"}), TAB))
    async with aclosing(part.compare(sent(text="long one", left=SIDE, right={**SIDE, "temperature": 1, "seed": 5}), TAB)) as running:
        await until_both_are_writing(running)
        cut = [item.chat_id for item in await service.list_trash() if item.title.startswith("long one")]
        await part.stop(sent(), TAB)
    before = next(frame[1] for frame in reversed(frames) if not skipped(frame[1]))
    kept = before.split('data-kind="')[1].split('"')[0]
    again = Compare(service)
    ((asked, left, right, commands),) = await all_of(again.back(sent(id="gone", left=kept, right=""), TAB))
    assert "Hello" in asked and "You said: Hello" in left and "Temperature 0" in left and "at most 9 tokens" in left
    assert "tok/s" in left and "Keep this answer" in left and "Regenerate" not in left and right == "" and skipped(commands)
    ((_, left, right, _),) = await all_of(again.back(sent(id="gone", left=cut[0], right=cut[1]), TAB))
    assert "Stopped" in left and "Stopped" in right and "Keep this answer" in left
    assert ("seed 5" in left) != ("seed 5" in right)
    await service.empty_trash()
    (frame,) = await all_of(again.back(sent(id="gone", left=kept, right=cut[1]), TAB))
    assert said(frame[3])[0]["do"] == "compare_gone"


async def test_one_that_is_looked_at_in_time_is_not_ended(service: Service) -> None:
    part = Compare(service, Shelf(unseen_s=0.3))
    async with aclosing(part.compare(sent(text="long one", left=SIDE, right=SIDE), TAB)) as frames:
        held = await until_both_are_writing(frames)
    frames = part.back(sent(id=held), OTHER_TAB)
    began = time.monotonic()
    async with aclosing(frames):
        async for frame in frames:
            assert "Stopped" not in str(frame[1])
            if time.monotonic() - began > 0.6:
                break
    await part.stop(sent(), OTHER_TAB)


async def test_only_the_latest_that_are_over_are_held(part: Compare) -> None:
    ids = []
    for _ in range(MOST + 2):
        frames = await all_of(part.compare(sent(text="Hello", left=SIDE, right=SIDE), TAB))
        ids.append(said(frames[0][3])[0]["id"])
    known = [each for each in ids if len(await all_of(part.back(sent(id=each), TAB))) > 1]
    assert known == ids[-MOST:]


async def test_the_settings_are_drawn_once_as_the_page_has_them(part: Compare) -> None:
    html = str(await part.look(sent()))
    assert 'data-compare-side="left"' in html and "only one model here" in html
    mark = html.split('data-mark="')[1].split('"')[0]
    assert skipped(await part.look(sent(mark=mark)))
    again = str(await part.look(sent(left={**SIDE, "seed": 77}, right={"model": 3})))
    assert 'value="77"' in again
