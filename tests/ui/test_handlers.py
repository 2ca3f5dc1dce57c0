"""What the page's events do, called as Gradio calls them: refusals give the text back, failures are said, nothing raises."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from mlx_harmony.conversation.records import Chat, TurnEvent, TurnOptions
from mlx_harmony.errors import StorageError
from mlx_harmony.events import Failed
from mlx_harmony.service import Service
from mlx_harmony.settings import Settings
from mlx_harmony_ui.running import Desk
from mlx_harmony_ui.tabs.chats import Chats
from mlx_harmony_ui.tabs.messages import Messages
from mlx_harmony_ui.tabs.models import Models
from mlx_harmony_ui.tabs.settings import SettingsTab
from mlx_harmony_ui.tabs.talk import Talk
from tests.fixtures.provider import ScriptedProvider

TAB: Any = SimpleNamespace(session_hash="tab")
FULL = Failed(code="storage", message="The disk is full.", hint="Free some space.")


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    opened = await Service.open(Settings(home=str(tmp_path)), ScriptedProvider())
    yield opened
    await opened.close()


def sent(**data: object) -> gr.EventData:
    return gr.EventData(None, data)


def commands(drawn: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(str(drawn))
    return found


async def all_of(frames: AsyncGenerator[tuple[Any, ...], None]) -> list[tuple[Any, ...]]:
    return [frame async for frame in frames]


async def test_a_message_makes_a_chat_and_its_answer_ends_in_the_history(service: Service) -> None:
    frames = await all_of(Talk(service, Desk()).send(sent(chat="", text="Hello", options={}), TAB))
    assert "You said: Hello" in frames[-1][1]
    said = [command["do"] for command in commands(frames[-1][-1])]
    assert said == ["chat", "accepted", "list", "list"]
    assert len(await service.list_chats()) == 1


async def test_a_new_chat_s_greeting_stands_there_before_and_while_its_first_answer_comes(service: Service, tmp_path: Path) -> None:
    (tmp_path / "profiles.json").write_text('{"kind": {"model": "starter", "prompt_config": "kind.json"}}', "utf-8")
    (tmp_path / "kind.json").write_text('{"assistant_greeting": "Good day."}', "utf-8")
    frames = await all_of(Talk(service, Desk()).send(sent(chat="", text="Hello", options={"profile": "kind"}), TAB))
    drawn = [frame[1] for frame in frames if "Good day." in str(frame[1])]
    assert len(drawn) == 2 and "You said: Hello" not in drawn[0] and "You said: Hello" in drawn[1]


async def test_a_chat_deleted_elsewhere_as_its_answer_begins_ends_in_words(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    await all_of(Talk(service, Desk()).send(sent(chat="", text="Hello", options={}), TAB))
    chat = await service.read_chat((await service.list_chats())[0].id)
    read, asked = service.read_chat, []

    async def deleted_meanwhile(chat_id: str) -> Chat:
        asked.append(chat_id)
        if len(asked) == 2:
            await service.delete_chat(chat_id)
        return await read(chat_id)

    monkeypatch.setattr(service, "read_chat", deleted_meanwhile)
    desk = Desk()
    frames = await all_of(Talk(service, desk).regenerate(sent(chat=chat.summary.id, message=chat.messages[-1].id, options={}), TAB))
    assert "gone" in [command["do"] for command in commands(frames[-1][-1])] and desk.of("tab") is None


async def test_a_full_disk_gives_the_text_back(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(chat_id: str, text: str, options: TurnOptions, *more: object, **also: object) -> AsyncGenerator[TurnEvent, None]:
        yield FULL

    chat = await service.create_chat()
    monkeypatch.setattr(service, "send", refuse)
    desk = Desk()
    frames = await all_of(Talk(service, desk).send(sent(chat=chat.summary.id, text="Precious", options={}), TAB))
    last = commands(frames[-1][-1])[-1]
    assert (last["do"], last["text"]) == ("refused", "Precious")
    assert "Free some space." in last["say"]
    assert desk.of("tab") is None


async def test_a_chat_that_cannot_be_made_gives_the_text_back(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(options: TurnOptions) -> Chat:
        raise StorageError("The disk is full.")

    monkeypatch.setattr(service, "create_chat", refuse)
    frames = await all_of(Talk(service, Desk()).send(sent(chat="", text="Precious", options={}), TAB))
    assert [command["do"] for command in commands(frames[-1][-1])] == ["refused"]


@pytest.mark.parametrize(
    "data", [{}, {"text": 7}, {"text": " \n"}, {"text": "x", "options": {"effort": "huge"}}, {"text": None, "chat": []}]
)
async def test_odd_messages_are_refused_in_words(service: Service, data: dict[str, object]) -> None:
    frames = await all_of(Talk(service, Desk()).send(sent(**data), TAB))
    assert commands(frames[-1][-1])[-1]["do"] == "refused"
    assert await service.list_chats() == ()


async def test_an_event_without_data_raises_nothing(service: Service) -> None:
    nothing = gr.EventData(None, None)
    frames = await all_of(Talk(service, Desk()).send(nothing, TAB))
    assert commands(frames[-1][-1])[-1]["do"] == "refused"
    assert len(await Chats(service, Desk()).open(nothing, TAB)) == 7


async def test_a_chat_that_is_gone_takes_no_message(service: Service) -> None:
    frames = await all_of(Talk(service, Desk()).send(sent(chat="f" * 32, text="Hello", options={}), TAB))
    assert commands(frames[-1][-1])[-1]["text"] == "Hello"
    again = await all_of(Talk(service, Desk()).regenerate(sent(chat="f" * 32, message="x", options={}), TAB))
    assert commands(again[-1][-1])[-1]["do"] == "refused"


async def test_one_tab_writes_one_answer_at_a_time(tmp_path: Path) -> None:
    service = await Service.open(Settings(home=str(tmp_path)), ScriptedProvider(pause_s=0.05))
    desk = Desk()
    talk = Talk(service, desk)
    first = talk.send(sent(chat="", text="One", options={}), TAB)
    await anext(first)
    second = await all_of(talk.send(sent(chat="", text="Two", options={}), TAB))
    assert commands(second[-1][-1])[-1]["text"] == "Two"
    await first.aclose()
    assert desk.of("tab") is None
    await service.close()


async def test_unknown_ids_open_a_new_chat_and_draw_no_details(service: Service) -> None:
    chats = Chats(service, Desk())
    drawn = await chats.open(sent(chat="0" * 32), TAB)
    assert "gone" in [command["do"] for command in commands(drawn[-1])]
    assert "Choose" in await chats.details(sent(chat="0" * 32, message="x"))
    assert commands(await chats.copy(sent(chat="", message="x"))) == []
    version = await Messages(service).version(sent(chat="0" * 32, message="x"))
    assert commands(version[-1])[-1]["do"] == "say"


async def test_a_store_that_cannot_be_read_is_said(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail() -> tuple[()]:
        raise StorageError("The chat file cannot be read.", hint="Look at the disk.")

    monkeypatch.setattr(service, "list_chats", fail)
    drawn = await Chats(service, Desk()).open(sent(chat=""), TAB)
    assert "cannot be read" in commands(drawn[-1])[-1]["text"]


@pytest.mark.parametrize("act", ["search", "rename", "remove", "undo"])
async def test_a_list_that_cannot_be_read_stays_and_that_is_said(service: Service, act: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chat = await service.create_chat()

    async def fail() -> tuple[()]:
        raise StorageError("The chat file cannot be read.")

    monkeypatch.setattr(service, "list_chats", fail)
    drawn, said = await getattr(Chats(service, Desk()), act)(sent(chat=chat.summary.id, title="New"))
    assert drawn == gr.skip() and "cannot be read" in commands(said)[-1]["text"]


async def test_an_answer_that_cannot_be_read_is_said_and_not_copied(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(chat_id: str) -> Chat:
        raise StorageError("A message of this chat is damaged.")

    monkeypatch.setattr(service, "read_chat", fail)
    for act in (Chats(service, Desk()).copy, Chats(service, Desk()).as_text):
        assert [command["do"] for command in commands(await act(sent(chat="c", message="m")))] == ["say"]


@pytest.mark.parametrize("act", ["rename", "remove", "undo"])
async def test_acting_on_a_chat_that_is_gone_is_said(service: Service, act: str) -> None:
    drawn = await getattr(Chats(service, Desk()), act)(sent(chat="0" * 32, title="New"))
    assert [command["do"] for command in commands(drawn[1])] == ["say"]


async def test_copying_gives_the_text_as_the_model_wrote_it(service: Service) -> None:
    await all_of(Talk(service, Desk()).send(sent(chat="", text="**x**", options={}), TAB))
    chat = await service.read_chat((await service.list_chats())[0].id)
    drawn = await Chats(service, Desk()).copy(sent(chat=chat.summary.id, message=chat.messages[-1].id))
    assert commands(drawn)[0]["text"] == "You said: **x**"


async def test_a_model_that_is_not_there_is_told_above_the_list(service: Service) -> None:
    frames = await all_of(Models(service).load(sent(model="no-such-model")))
    assert "No model 'no-such-model' on this machine" in str(frames[-1][1])
    _, said = await Models(service).unload(sent(model="no-such-model"))
    assert "No model 'no-such-model' on this machine" in said


async def test_a_load_can_be_left(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    async def forever(model_id: str, *, force: bool = False) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(service, "load", forever)
    models = Models(service)
    loading = models.load(sent(model="starter"))
    await anext(loading)
    await models.unload(sent(model="starter"))
    assert len(await all_of(loading)) <= 2


async def test_a_setting_that_cannot_be_used_changes_nothing(service: Service) -> None:
    tab = SettingsTab(service)
    html, said = await tab.change(sent(name="port", value="many"))
    assert "must be a whole number" in html
    assert commands(said)[0]["do"] == "say"
    html, said = await tab.change(sent(name="instructions", value="Be brief."))
    assert commands(said) == []
    assert service.settings.instructions == "Be brief."
