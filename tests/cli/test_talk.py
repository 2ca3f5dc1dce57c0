r"""A chat in the terminal: messages, commands, failures."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec
import pytest

from mlx_harmony.cache_records import CacheRequest, CacheState, Reuse
from mlx_harmony.cli.talk import Talk
from mlx_harmony.errors import ChatNotFound, InvalidRequest
from mlx_harmony.events import Event, Failed, Finished
from mlx_harmony.records import GenerationRequest
from mlx_harmony.service import Service
from mlx_harmony.settings import Settings
from tests.cli.conftest import Recorded
from tests.fixtures.provider import ScriptedProvider
from tests.fixtures.scripted import call, say


@pytest.fixture
def provider() -> ScriptedProvider:
    return ScriptedProvider()


@pytest.fixture
async def service(tmp_path: Path, provider: ScriptedProvider) -> AsyncIterator[Service]:
    opened = await Service.open(Settings(home=str(tmp_path)), provider=provider)
    yield opened
    await opened.close()


async def test_a_message_is_answered_and_kept(service: Service, pipe: Recorded) -> None:
    talk = Talk(service, pipe, {})
    assert await talk.take("good morning") == 0
    assert await talk.take("and again") == 0
    assert pipe.out.getvalue() == "You said: good morning\nYou said: and again\n"
    (chat,) = await service.list_chats()
    assert [message.content for message in (await service.read_chat(chat.id)).messages][::2] == ["good morning", "and again"]


async def test_a_person_sees_the_thinking_apart_from_the_answer(service: Service, screen: Recorded) -> None:
    await Talk(service, screen, {}).take("hello")
    shown = screen.out.getvalue()
    assert "\x1b[2mThey" in shown
    assert shown.endswith("\nYou said: hello\n")


async def test_set_changes_the_next_answer(service: Service, provider: ScriptedProvider, pipe: Recorded) -> None:
    talk = Talk(service, pipe, {})
    assert await talk.take(r"\set temperature=0.25") == 0
    assert "temperature  0.25" in pipe.out.getvalue()
    await talk.take("hello")
    assert provider.engine.requests[-1].sampling.temperature == 0.25


@pytest.mark.parametrize(("text", "expected"), [(r"\help", "name=value"), ("/list", "top_p"), ("/show", "effort"), ("/models", "starter")])
async def test_commands_answer_on_stdout(service: Service, pipe: Recorded, text: str, expected: str) -> None:
    assert await Talk(service, pipe, {}).take(text) == 0
    assert expected in pipe.out.getvalue()
    assert await service.list_chats() == ()


async def test_an_unknown_command_lists_the_known_ones(service: Service, pipe: Recorded) -> None:
    assert await Talk(service, pipe, {}).take("/bogus") == 2
    assert "bogus" in pipe.err.getvalue()
    assert r"\help" in pipe.out.getvalue()


async def test_a_bad_value_changes_nothing(service: Service, provider: ScriptedProvider, pipe: Recorded) -> None:
    talk = Talk(service, pipe, {})
    with pytest.raises(InvalidRequest):
        await talk.take("/set temperature=99")
    await talk.take("hello")
    assert provider.engine.requests[-1].sampling.temperature == 1.0


async def test_a_failure_is_told_and_the_next_message_works(service: Service, provider: ScriptedProvider, pipe: Recorded) -> None:
    answers: list[Sequence[Event]] = [[Failed(code="engine_crashed", message="It died.", hint="Send it again.")], say("Here I am.")]

    def script(_request: GenerationRequest) -> Sequence[Event]:
        return answers.pop(0)

    provider.engine.script = script
    talk = Talk(service, pipe, {})
    assert await talk.take("hello") == 1
    assert "It died.\nSend it again." in pipe.err.getvalue()
    assert await talk.take("hello") == 0
    assert pipe.out.getvalue() == "Here I am.\n"


async def test_a_tool_call_is_shown_beside_the_data(service: Service, provider: ScriptedProvider, pipe: Recorded) -> None:
    provider.engine.script = lambda _request: call("python", "python", '{"code": "1+1"}')
    await Talk(service, pipe, {}).take("What is 1+1?")
    assert pipe.out.getvalue() == ""
    assert '[python] {"code": "1+1"}' in pipe.err.getvalue()


async def test_what_came_attached_on_the_page_is_named(service: Service, pipe: Recorded) -> None:
    chat = await service.create_chat()
    notes = await service.attach("notes.txt", b"text")
    async for _ in service.send(chat.summary.id, "Read it", chat.options, (notes.id,)):
        pass
    await Talk(service, pipe, {}).resume(chat.summary.id)
    assert pipe.out.getvalue().startswith("user: Read it\n  (with notes.txt)\n")


async def test_a_kept_chat_goes_on(service: Service, provider: ScriptedProvider, pipe: Recorded) -> None:
    await Talk(service, pipe, {}).take("my name is Ada")
    (chat,) = await service.list_chats()
    again = Talk(service, pipe, {})
    await again.resume(chat.id)
    assert "user: my name is Ada" in pipe.out.getvalue()
    await again.take("what is it?")
    assert provider.engine.requests[-1].prompt.messages[0].content == "my name is Ada"  # type: ignore[union-attr]
    with pytest.raises(ChatNotFound):
        await Talk(service, pipe, {}).resume("nothing")


async def test_leaving_in_the_middle_stops_the_answer(service: Service, provider: ScriptedProvider, pipe: Recorded) -> None:
    provider.engine.pause_s = 0.05
    taking = asyncio.create_task(Talk(service, pipe, {}).take("hello"))
    while not provider.engine.requests:
        await asyncio.sleep(0.01)
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert len(provider.engine.cancelled) == 1


async def test_what_was_said_elsewhere_meanwhile_is_shown_before_more_is_sent(service: Service, pipe: Recorded) -> None:
    talk = Talk(service, pipe, {})
    await talk.take("one")
    (chat,) = await service.list_chats()
    async for _ in service.send(chat.id, "elsewhere", service.default_options()):
        pass
    assert await talk.take("two") != 0
    assert "Nothing was sent" in pipe.err.getvalue()
    assert pipe.out.getvalue().endswith("user: elsewhere\nassistant: You said: elsewhere\n")
    assert await talk.take("two") == 0
    asked = [message.content for message in (await service.read_chat(chat.id)).messages][::2]
    assert asked == ["one", "elsewhere", "two"]


async def test_what_had_to_be_read_again_is_told_beside_the_answer(tmp_path: Path, pipe: Recorded) -> None:
    reuse = Reuse(prompt=1300, memory=57, matched=57, reason="differs", position=57)

    def script(request: GenerationRequest) -> Sequence[Event]:
        recent = (
            CacheRequest(at=2.0, reuse=reuse, chat="another", place="the tool declarations"),
            CacheRequest(at=1.0, reuse=reuse, chat=request.chat, place="the system message", kept_text="21", asked_text="22"),
        )
        provider.engine.kept = CacheState(recent=recent)
        *events, end = say("Yes.")
        assert isinstance(end, Finished)
        return [*events, msgspec.structs.replace(end, reuse=reuse)]

    provider = ScriptedProvider(script)
    service = await Service.open(Settings(home=str(tmp_path)), provider=provider)
    assert await Talk(service, pipe, {}).take("hello") == 0
    assert pipe.out.getvalue() == "Yes.\n"
    assert "1,243 tokens were read: the system message changed at token 57; it was “21”, now it is “22”." in pipe.err.getvalue()
    await service.close()
