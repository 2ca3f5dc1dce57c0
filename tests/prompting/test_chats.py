"""Chats that begin with a profile or a prompt config, through the service's door: what is shown, kept and told to the model."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mlx_harmony.conversation.records import TurnOptions
from mlx_harmony.errors import ModelNotFound, SettingsError
from mlx_harmony.prompting.records import ChatSetup
from mlx_harmony.records import ChatPrompt, GenerationRequest
from mlx_harmony.service import Service
from mlx_harmony.settings import Settings
from tests.fixtures.provider import ScriptedProvider

CONFIG = {
    "system_model_identity": "You are {assistant}.",
    "developer_instructions": "Call the user {user}. It is <|DATE|>.",
    "assistant_greeting": "Hello {user}, it is <|DATE|>.",
    "conversation_start_date": "<|DATE|>",
    "knowledge_cutoff": "2030-01",
    "example_dialogues": [[{"role": "user", "content": "Who is {user}?"}, {"role": "assistant", "content": "You, {user}."}]],
    "placeholders": {"user": "Sam", "assistant": "Ada"},
    "deterministic_time_enabled": True,
    "deterministic_time_iso": "2026-01-27T12:00:00",
    "seed": 7,
    "max_tokens": 50,
    "max_context_tokens": 400,
    "max_context_tokens_margin": 20,
    "end_token_strings": ["END"],
}
PROFILES = {"ada": {"model": "starter", "prompt_config": "ada.json"}, "gone": {"model": "nobody/nothing"}}
Open = Callable[..., Awaitable[tuple[Service, ScriptedProvider]]]


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Open]:
    (tmp_path / "ada.json").write_text(json.dumps(CONFIG))
    (tmp_path / "profiles.json").write_text(json.dumps(PROFILES))
    services: list[Service] = []

    async def open_service(**settings: Any) -> tuple[Service, ScriptedProvider]:
        provider = ScriptedProvider()
        services.append(await Service.open(Settings(home=str(tmp_path), **settings), provider))
        return services[-1], provider

    yield open_service
    for service in services:
        await service.close()


async def gather(stream: AsyncGenerator[Any, None]) -> list[Any]:
    async with aclosing(stream) as events:
        return [event async for event in events]


def told(request: GenerationRequest) -> ChatPrompt:
    assert isinstance(request.prompt, ChatPrompt)
    return request.prompt


async def test_a_greeting_is_the_first_message_and_the_model_is_told_all_of_it_expanded(opened: Open) -> None:
    service, provider = await opened()
    chat = await service.create_chat(service.apply_profile("ada"))
    assert [(message.role, message.content) for message in chat.messages] == [("assistant", "Hello Sam, it is 2026-01-27.")]
    await gather(service.send(chat.summary.id, "I am {user}, on <|DATE|>; {nobody}.", TurnOptions()))
    (request,) = provider.engine.requests
    prompt = told(request)
    assert [message.content for message in prompt.messages] == [
        "Who is Sam?",
        "You, Sam.",
        "Hello Sam, it is 2026-01-27.",
        "I am Sam, on 2026-01-27; {nobody}.",
    ]
    assert (prompt.start_date, prompt.knowledge_cutoff) == ("2026-01-27", "2030-01")
    assert (request.max_context_tokens, request.context_margin) == (400, 20)
    kept = await service.read_chat(chat.summary.id)
    assert kept.messages[1].content == "I am {user}, on <|DATE|>; {nobody}." and kept.summary.title.startswith("I am")


async def test_the_chats_own_options_act_and_what_the_page_does_not_know_of_stays(opened: Open) -> None:
    service, provider = await opened()
    options = service.apply_profile("ada")
    chat = await service.create_chat(options)
    await gather(service.send(chat.summary.id, "one", options))
    await service.save_options(chat.summary.id, msgspec.structs.replace(options, setup=None, max_tokens=9))
    again = (await service.read_chat(chat.summary.id)).options
    assert again == msgspec.structs.replace(options, max_tokens=9)
    await gather(service.send(chat.summary.id, "two", again))
    first, second = provider.engine.requests
    assert (first.max_tokens, first.stop, second.max_tokens) == (50, ("END",), 9)
    assert told(first).identity == told(second).identity == "You are Ada."
    before = told(first).messages
    assert told(second).messages[: len(before)] == before
    assert before[0].content == "Call the user Sam. It is 2026-01-27."


async def test_a_chosen_seed_is_that_of_every_turn_unless_each_has_its_own(opened: Open) -> None:
    service, provider = await opened()
    options = service.apply_profile("ada")
    chat = await service.create_chat(options)
    for text in ("one", "two"):
        await gather(service.send(chat.summary.id, text, options))
    anew = msgspec.structs.replace(options, setup=msgspec.structs.replace(options.setup or ChatSetup(), reseed_each_turn=True))
    await gather(service.send(chat.summary.id, "three", anew))
    last = (await service.read_chat(chat.summary.id)).messages[-1]
    await gather(service.regenerate(chat.summary.id, last.id, anew))
    assert last.provenance and last.provenance.sampling.seed == 9, "what it was drawn with is kept"
    chosen = msgspec.structs.replace(anew, reseed_each_turn=False)
    await gather(service.send(chat.summary.id, "four", chosen))
    assert [request.sampling.seed for request in provider.engine.requests] == [7, 7, 9, 9, 7]


async def test_a_run_given_a_prompt_config_begins_every_chat_with_it(opened: Open) -> None:
    service, _ = await opened(profile="ada")
    assert service.default_options().max_tokens == 50
    assert service.prompt_config_path is not None and service.prompt_config_path.endswith("ada.json")
    assert json.loads(await service.export_json((await service.create_chat()).summary.id))["chats"].popitem()[1]["metadata"][
        "prompt_config_path"
    ] == str(service.prompt_config_path)
    chat = await service.create_chat(TurnOptions(max_tokens=3))
    assert chat.messages[0].content.startswith("Hello Sam") and chat.options.max_tokens == 3


async def test_without_either_a_chat_is_empty_and_built_in_placeholders_still_expand(opened: Open) -> None:
    service, provider = await opened()
    chat = await service.create_chat()
    assert chat.messages == () and chat.options.setup is None
    await gather(service.send(chat.summary.id, "<|TIMEU|>", TurnOptions()))
    assert told(provider.engine.requests[0]).messages[-1].content.endswith(" UTC")


async def test_profiles_are_listed_with_what_is_wrong_with_them(opened: Open) -> None:
    service, _ = await opened()
    rows = {row.name: row.problem for row in service.profiles()}
    assert rows["ada"] == "" and "nobody/nothing" in rows["gone"]
    with pytest.raises(ModelNotFound):
        service.apply_profile("gone")
    with pytest.raises(SettingsError) as caught:
        service.apply_profile("adda")
    assert "ada, gone" in caught.value.hint
    assert service.apply_profile("ada").model == "starter"


async def test_a_run_given_an_unknown_profile_does_not_start(opened: Open) -> None:
    with pytest.raises(SettingsError, match="no profile"):
        await opened(profile="nobody")


async def test_options_of_an_older_release_still_read() -> None:
    old = b'{"model":null,"sampling":{},"max_tokens":null,"stop":[],"effort":"high","identity":null,"instructions":"x","tools":[]}'
    assert msgspec.json.decode(old, type=TurnOptions) == TurnOptions(effort="high", instructions="x")


@pytest.mark.parametrize("setup", [{"clock": "soon"}, {"max_context_tokens": 0}, {"max_context_tokens_margin": -1}])
def test_a_setup_that_makes_no_prompt_is_not_read(setup: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"setup": setup}, TurnOptions)
