"""Chats with an alias: who answered is kept with each answer, and goes on with it. Models are scripted."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from mlx_harmony.conversation.records import ChatMessage, TurnOptions
from mlx_harmony.errors import InvalidRequest, LoadFailed
from mlx_harmony.events import Event, Failed, Finished, Routed
from mlx_harmony.records import ModelEntry
from mlx_harmony.service import Service
from mlx_harmony.settings import Settings
from tests.fixtures.provider import ScriptedProvider
from tests.fixtures.scripted import finished, say

BOTH = TurnOptions(model="both")


@pytest.fixture
async def service(tmp_path: Path, fx2: Path) -> AsyncIterator[Service]:
    (tmp_path / "aliases.json").write_text('{"both": {"models": ["starter", "tiny-windowed"]}, "lost": {"models": ["gone"]}}')

    def cut(_request: object) -> list[Event]:
        return [*say("Half an")[:-2], finished("length")]

    opened = await Service.open(Settings(home=str(tmp_path), models_dirs=(str(fx2),)), ScriptedProvider(cut))
    yield opened
    await opened.close()


async def gather(stream: AsyncGenerator[Any, None]) -> list[Any]:
    async with aclosing(stream) as events:
        return [event async for event in events]


async def answers(service: Service, chat_id: str) -> list[ChatMessage]:
    return [message for message in (await service.read_chat(chat_id)).messages if message.role == "assistant"]


def maker(message: ChatMessage) -> str:
    assert message.provenance is not None
    return message.provenance.model


async def test_each_answer_keeps_who_gave_it_and_the_chat_keeps_the_alias(service: Service) -> None:
    chat_id = (await service.create_chat(BOTH)).summary.id
    for text in ("One", "Two"):
        events = await gather(service.send(chat_id, text, BOTH))
        assert sum(isinstance(event, Routed) for event in events) == 1
    first, second = await answers(service, chat_id)
    assert (maker(first), maker(second)) == ("starter", "tiny-windowed")
    assert second.note == "tiny-windowed answered for both: its models take turns." and second.provenance
    assert second.provenance.fingerprint == "scripted"
    assert (await service.read_options(chat_id)).model == "both"
    assert (await service.replay_options(chat_id, first.id)).model == "starter"


async def test_an_answer_that_was_cut_goes_on_with_whoever_began_it_and_takes_no_turn(service: Service) -> None:
    chat_id = (await service.create_chat(BOTH)).summary.id
    await gather(service.send(chat_id, "One", BOTH))
    (cut,) = await answers(service, chat_id)
    events = await gather(service.continue_answer(chat_id, cut.id, BOTH))
    assert isinstance(events[-1], Finished) and not any(isinstance(event, Routed) for event in events)
    assert [maker(message) for message in await answers(service, chat_id)] == ["starter"]
    assert (await service.read_options(chat_id)).model == "both"
    await gather(service.send(chat_id, "Two", BOTH))
    assert maker((await answers(service, chat_id))[-1]) == "tiny-windowed"


async def test_measuring_takes_no_turn_and_asks_whoever_is_awake(service: Service) -> None:
    assert (use := await service.context("", "one two", BOTH)) is not None and use.counted == "estimate"
    await service.load("tiny-windowed")
    for _ in range(3):
        assert (use := await service.context("", "one two", BOTH)) is not None and use.counted == "now"
    assert await service.count_text("one two", "both") == 0
    chat_id = (await service.create_chat(BOTH)).summary.id
    await gather(service.send(chat_id, "One", BOTH))
    assert [maker(message) for message in await answers(service, chat_id)] == ["starter"]


async def test_an_alias_that_leads_nowhere_keeps_nothing(service: Service) -> None:
    chat_id = (await service.create_chat(BOTH)).summary.id
    (failed,) = await gather(service.send(chat_id, "One", TurnOptions(model="lost")))
    assert isinstance(failed, Failed) and failed.code == LoadFailed.code and "names no model" in failed.message
    assert await answers(service, chat_id) == []


async def test_what_is_done_to_single_models_is_refused_for_an_alias(service: Service, tmp_path: Path) -> None:
    for act in (service.load("both"), service.unload("both"), service.pin("both"), service.caches.look("both")):
        with pytest.raises(InvalidRequest, match="both is an alias"):
            await act
    await service.change_settings(model="both")
    assert service.find_model(None) == service.find_model("both") and service.settings.pinned_models == ()


async def test_the_aliases_are_listed_as_models_beside_the_models(service: Service, tmp_path: Path) -> None:
    listed = service.routing.entries()
    assert [(entry.id, entry.source, bool(entry.problem)) for entry in listed] == [("both", "alias", False), ("lost", "alias", True)]
    assert all(isinstance(entry, ModelEntry) and entry not in service.models() for entry in listed)
    (tmp_path / "aliases.json").write_text("[")
    assert service.routing.entries() == ()


async def test_exported_chats_with_an_alias_come_back_with_it(service: Service) -> None:
    chat_id = (await service.create_chat(BOTH)).summary.id
    await gather(service.send(chat_id, "One", BOTH))
    report = await service.import_chats(await service.export_json(chat_id))
    assert await service.read_options(report.imported[0]) == await service.read_options(chat_id)
