"""Files spoilt in thousands of ways: a named error or an import that can be used, never a trace, and nothing that is here changes."""

import json
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mlx_harmony.conversation.records import Chat, TurnOptions
from mlx_harmony.errors import InvalidRequest
from mlx_harmony.prompting.records import ChatSetup
from mlx_harmony.records import Message, Sampling, Tool
from mlx_harmony.service import Service
from mlx_harmony.settings import Settings
from tests.conversation.conftest import gather
from tests.conversation.interchange.mutations import spoilt
from tests.fixtures.provider import ScriptedProvider
from tests.fixtures.scripted import say

OPTIONS = TurnOptions(
    model="starter",
    sampling=Sampling(temperature=0.5, top_k=40, seed=7, logit_bias={5: -1.0}),
    instructions="Be kind.",
    identity="You are Ada.",
    tools=(Tool(kind="python"),),
    setup=ChatSetup(greeting="Hello!", examples=((Message(role="user", content="Hi"), Message(role="assistant", content="Yes?")),)),
)


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    provider = ScriptedProvider(lambda request: say("An answer.", thinking="Hm."))
    opened = await Service.open(Settings(home=str(tmp_path)), provider)
    yield opened
    await opened.close()


async def kept(service: Service) -> Chat:
    """A chat that is here already: versions, thinking, a deleted end."""
    chat_id = (await service.create_chat(OPTIONS)).summary.id
    await gather(service.send(chat_id, "One", OPTIONS))
    _, user, answer = (await service.read_chat(chat_id)).messages
    await gather(service.regenerate(chat_id, answer.id, OPTIONS))
    await gather(service.edit(chat_id, user.id, "One, again", OPTIONS))
    await gather(service.send(chat_id, "Two", OPTIONS))
    return await service.read_chat(chat_id)


async def check_usable(service: Service, chat_id: str) -> None:
    """That an imported chat opens, goes out again, and says what it says."""
    chat = await service.read_chat(chat_id)
    document = json.loads(await service.export_json(chat_id))
    assert len(document["chats"][chat_id]["messages"]) >= len(chat.messages)
    assert await service.export_markdown(chat_id)
    assert all(message.state != "streaming" for message in chat.messages)


async def spoil_often(service: Service, rounds: int, seed: int) -> int:
    """How many of the spoilt files still brought something."""
    chance = random.Random(seed)
    here = await kept(service)
    document = json.loads(await service.export_json())
    brought = 0
    for number in range(rounds):
        data = spoilt(document, chance)
        try:
            report = await service.import_chats(data)
        except InvalidRequest as error:
            assert error.param == "file" and error.message and error.hint
            assert error.message.encode()
        else:
            assert all(warning.encode() for warning in report.warnings)
            for chat_id in report.imported:
                await check_usable(service, chat_id)
            brought += bool(report.imported)
        if not number % 50:
            assert await service.read_chat(here.summary.id) == here
    assert await service.read_chat(here.summary.id) == here
    assert await service.search("answer")
    return brought


async def test_spoilt_files_are_refused_by_name_or_imported_as_far_as_they_are_whole(service: Service) -> None:
    assert await spoil_often(service, 200, seed=1) > 100


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 6))
async def test_so_are_hundreds_more(service: Service, seed: int) -> None:
    assert await spoil_often(service, 400, seed) > 200
