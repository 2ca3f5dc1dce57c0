"""Two answers to one prompt: both at once, neither end touching the other, nothing in the list of chats but what is kept."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, closing
from pathlib import Path

import pytest

from mlx_harmony.comparing import Comparison, SideEvent
from mlx_harmony.conversation.records import TurnOptions, TurnStarted
from mlx_harmony.errors import ChatNotFound, GenerationFailed
from mlx_harmony.events import Event, Failed, Finished, MessageStarted, TextDelta
from mlx_harmony.records import GenerationRequest, Sampling
from mlx_harmony.service import Service
from mlx_harmony.settings import Settings
from tests.fixtures.provider import ScriptedProvider
from tests.fixtures.scripted import finished

LEFT = TurnOptions(sampling=Sampling(temperature=0.0, seed=1), max_tokens=11)
RIGHT = TurnOptions(sampling=Sampling(temperature=0.7, seed=2), effort="high")


def by_temperature(request: GenerationRequest) -> Sequence[Event]:
    """The left side says little, the right one goes on for long."""
    words = 3 if request.sampling.temperature == 0 else 400
    deltas = (TextDelta(index=0, channel="final", text=f"{number} ") for number in range(words))
    return [MessageStarted(index=0, channel="final"), *deltas, finished("stop")]


@pytest.fixture
async def provider() -> ScriptedProvider:
    return ScriptedProvider(by_temperature, 0.002)


@pytest.fixture
async def service(tmp_path: Path, provider: ScriptedProvider) -> AsyncIterator[Service]:
    opened = await Service.open(Settings(home=str(tmp_path)), provider)
    yield opened
    await opened.close()


async def gathered(comparison: Comparison) -> list[SideEvent]:
    async with aclosing(comparison.events()) as events:
        return [each async for each in events]


def started(events: list[SideEvent]) -> dict[str, TurnStarted]:
    return {side: event for side, event in events if isinstance(event, TurnStarted)}


def ends(events: list[SideEvent]) -> list[SideEvent]:
    return [(side, event) for side, event in events if isinstance(event, Finished | Failed)]


async def test_both_sides_come_at_once_each_with_its_own_settings(service: Service, provider: ScriptedProvider) -> None:
    events = await gathered(service.comparing.begin("Hello", LEFT, RIGHT))
    assert set(started(events)) == {"left", "right"} and len(ends(events)) == 2
    first_end = events.index(ends(events)[0])
    assert {side for side, event in events[:first_end] if isinstance(event, TextDelta)} == {"left", "right"}
    asked = {request.sampling.temperature: request for request in provider.engine.requests}
    assert (asked[0.0].max_tokens, asked[0.0].sampling.seed, asked[0.7].sampling.seed) == (11, 1, 2)
    texts = {side: "".join(event.text for at, event in events if at == side and isinstance(event, TextDelta)) for side in ("left", "right")}
    assert texts["left"] == "0 1 2 " and texts["right"].endswith("399 ")


async def test_what_is_kept_is_a_chat_like_any_other_and_what_is_not_lies_in_the_trash(service: Service) -> None:
    sides = started(await gathered(service.comparing.begin("What is   a fugue?", LEFT, RIGHT)))
    assert await service.list_chats() == ()
    aside = await service.list_trash()
    assert {item.chat_id for item in aside} == {each.chat_id for each in sides.values()}
    assert {item.title for item in aside} == {"What is a fugue? (starter)"}

    chat = await service.comparing.keep(sides["left"].chat_id)
    assert [(each.role, each.content, each.state) for each in chat.messages] == [
        ("user", "What is   a fugue?", "complete"),
        ("assistant", "0 1 2 ", "complete"),
    ]
    assert (chat.summary.title, chat.options.max_tokens, chat.options.sampling) == ("What is a fugue?", 11, LEFT.sampling)
    assert [row.id for row in await service.list_chats()] == [sides["left"].chat_id]
    assert await service.comparing.keep(chat.summary.id) == chat, "keeping it again changes nothing"
    assert [item.chat_id for item in await service.list_trash()] == [sides["right"].chat_id]

    await service.restore_chat(sides["right"].chat_id)
    await service.rename_chat(sides["right"].chat_id, "Fugues")
    assert (await service.comparing.keep(sides["right"].chat_id)).summary.title == "Fugues"
    await service.delete_chat(sides["right"].chat_id)

    async with aclosing(service.send(chat.summary.id, "Go on", chat.options)) as turn:
        assert isinstance([event async for event in turn][-1], Finished)
    await service.empty_trash()
    with pytest.raises(ChatNotFound, match="no longer there"):
        await service.comparing.keep(sides["right"].chat_id)


async def test_one_side_that_fails_or_is_stopped_leaves_the_other_alone(service: Service) -> None:
    nobody = TurnOptions(model="nobody/has-this")
    failed, done = ends(await gathered(service.comparing.begin("Hello", nobody, LEFT)))
    assert failed[0] == "left" and isinstance(failed[1], Failed) and failed[1].code == "model_not_found"
    assert done[0] == "right" and isinstance(done[1], Finished) and done[1].reason == "stop"
    assert len(await service.list_trash()) == 1, "of what could not begin nothing is kept"

    comparison = service.comparing.begin("Hello", RIGHT, RIGHT)
    seen: list[SideEvent] = []
    async with aclosing(comparison.events()) as events:
        async for side, event in events:
            seen.append((side, event))
            if len(seen) == 20:
                await comparison.stop("left")
    reasons = {side: event.reason for side, event in ends(seen) if isinstance(event, Finished)}
    assert reasons == {"left": "cancelled", "right": "stop"}
    assert (await service.comparing.keep(started(seen)["left"].chat_id)).messages[-1].state == "cancelled"


@pytest.mark.parametrize("late", [False, True], ids=["before it said anything", "in the middle of its answer"])
async def test_a_side_that_fails_leaves_no_empty_chat(tmp_path: Path, late: bool) -> None:
    def script(request: GenerationRequest) -> Sequence[Event]:
        if request.sampling.temperature == 0:
            return by_temperature(request)
        begun = [MessageStarted(index=0, channel="final"), *([TextDelta(index=0, channel="final", text="Well,")] if late else [])]
        return [*begun, Failed.of(GenerationFailed("A step raised."))]

    provider = ScriptedProvider(script, 0.002)
    service = await Service.open(Settings(home=str(tmp_path)), provider)
    events = await gathered(service.comparing.begin("Hello", RIGHT, LEFT))
    assert sorted(type(event).__name__ for _, event in ends(events)) == ["Failed", "Finished"]
    sides = started(events)
    kept = {sides["right"].chat_id} | ({sides["left"].chat_id} if late else set())
    assert {item.chat_id for item in await service.list_trash()} == kept
    assert provider.engine.forgotten == (() if late else (sides["left"].chat_id,))
    await service.close()


async def test_a_side_that_was_taken_out_of_the_trash_meanwhile_stays(service: Service) -> None:
    comparison = service.comparing.begin("Hello", RIGHT, LEFT)
    async with aclosing(comparison.events()) as events:
        async for side, event in events:
            if side == "left" and isinstance(event, TurnStarted):
                await service.restore_chat(event.chat_id)
                await comparison.stop("left")
                kept = event.chat_id
    assert [row.id for row in await service.list_chats()] == [kept]


async def test_leaving_ends_both_and_what_was_written_is_kept(service: Service, provider: ScriptedProvider) -> None:
    seen: list[SideEvent] = []
    async with aclosing(service.comparing.begin("Hello", RIGHT, RIGHT).events()) as events:
        async for each in events:
            seen.append(each)
            if {side for side, event in seen if isinstance(event, TextDelta)} == {"left", "right"}:
                break
    assert len(provider.engine.cancelled) == 2
    for each in started(seen).values():
        answer = (await service.comparing.keep(each.chat_id)).messages[-1]
        assert answer.state == "cancelled" and answer.content.startswith("0 ")


async def test_a_side_stopped_before_it_began_ends_too(service: Service) -> None:
    comparison = service.comparing.begin("Hello", RIGHT, LEFT)
    gathering = asyncio.create_task(gathered(comparison))
    await asyncio.sleep(0)
    await comparison.stop("left")
    found = {side: event.reason for side, event in ends(await gathering) if isinstance(event, Finished)}
    assert found == {"left": "cancelled", "right": "stop"}


def as_a_kill_leaves_it(home: Path, copy: Path) -> None:
    """The chat file as it stands this moment, under no lock, in another home."""
    copy.mkdir()
    with closing(sqlite3.connect(home / "chats.sqlite3")) as here, closing(sqlite3.connect(copy / "chats.sqlite3")) as there:
        here.backup(there)


@pytest.mark.parametrize("killed", [False, True], ids=["closed", "killed"])
async def test_a_program_that_ends_in_the_middle_loses_neither_answer(tmp_path: Path, killed: bool) -> None:
    settings = Settings(home=str(tmp_path / "home"))
    service = await Service.open(settings, ScriptedProvider(by_temperature, 0.005))
    gathering = asyncio.create_task(gathered(service.comparing.begin("Hello", RIGHT, RIGHT)))
    while len(await service.list_trash()) < 2:
        await asyncio.sleep(0.01)
    # The growing text is saved twice a second.
    await asyncio.sleep(0.6 if killed else 0.1)
    if killed:
        as_a_kill_leaves_it(tmp_path / "home", tmp_path / "copy")
        settings = Settings(home=str(tmp_path / "copy"))
    await service.close()
    assert len(ends(await gathering)) == 2

    again = await Service.open(settings, ScriptedProvider())
    assert await again.list_chats() == ()
    for item in await again.list_trash():
        answer = (await again.comparing.keep(item.chat_id)).messages[-1]
        assert answer.state == "interrupted" and answer.content.startswith("0 ")
    assert len(await again.list_chats()) == 2
    await again.close()
