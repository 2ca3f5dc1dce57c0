"""The door: what api, ui and cli may count on, over a scripted provider and a real store."""

import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from mlx_harmony.conversation.records import TurnOptions, TurnStarted
from mlx_harmony.errors import ChatNotFound, InvalidRequest, LoadFailed, ModelNotFound, SettingsError
from mlx_harmony.events import Failed, Finished, TextDelta
from mlx_harmony.library import Library
from mlx_harmony.records import ChatPrompt, GenerationRequest, Message, ModelEntry, Sampling, TextPrompt
from mlx_harmony.service import Service
from mlx_harmony.settings import Settings, load_settings
from tests.conversation.conftest import STARTER
from tests.fixtures.provider import ScriptedProvider


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    opened = await Service.open(Settings(home=str(tmp_path)), ScriptedProvider())
    yield opened
    await opened.close()


async def gather(stream: AsyncGenerator[Any, None]) -> list[Any]:
    async with aclosing(stream) as events:
        return [event async for event in events]


async def test_a_sent_message_is_answered_and_kept(service: Service) -> None:
    chat = await service.create_chat()
    events = await gather(service.send(chat.summary.id, "Hello", TurnOptions()))
    assert isinstance(events[0], TurnStarted) and isinstance(events[-1], Finished)
    kept = await service.read_chat(chat.summary.id)
    assert [message.content for message in kept.messages] == ["Hello", "You said: Hello"]
    assert kept.messages[1].reasoning == "They said something."
    assert kept.summary.title == "Hello"
    assert [each.id for each in await service.list_chats()] == [chat.summary.id]


async def test_a_title_is_one_short_line(service: Service) -> None:
    chat = await service.create_chat()
    await service.rename_chat(chat.summary.id, "  two\nlines ")
    assert (await service.read_chat(chat.summary.id)).summary.title == "two lines"
    for title in (" \n", "x" * 201, "\ud800"):
        with pytest.raises(InvalidRequest):
            await service.rename_chat(chat.summary.id, title)


async def test_a_deleted_chat_is_gone_until_it_is_restored(service: Service) -> None:
    chat = await service.create_chat()
    await service.delete_chat(chat.summary.id)
    assert await service.list_chats() == ()
    with pytest.raises(ChatNotFound):
        await service.read_chat(chat.summary.id)
    await service.restore_chat(chat.summary.id)
    assert (await service.read_chat(chat.summary.id)).summary.id == chat.summary.id


async def test_a_chat_that_is_not_kept_yet_is_measured_and_stays_unkept(service: Service) -> None:
    asleep = await service.context("", "one two three", TurnOptions())
    assert asleep is not None and asleep.counted == "estimate" and asleep.draft > 0
    await service.load("starter")
    awake = await service.context("", "one two three", TurnOptions(instructions="Be brief."))
    assert awake is not None and (awake.counted, awake.total, awake.draft) == ("now", 5, 3)
    assert await service.context("", " ", TurnOptions()) is None and await service.list_chats() == ()


async def test_an_unknown_model_is_named_with_the_known_ones(service: Service) -> None:
    with pytest.raises(ModelNotFound) as caught:
        service.find_model("nobody/nothing")
    assert "starter" in caught.value.hint and caught.value.param == "model"


async def test_looking_for_models_keeps_no_answer_waiting(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[bool] = []

    def usable(library: Library, model_id: str | None) -> ModelEntry:
        looked.append(threading.current_thread() is threading.main_thread())
        return STARTER

    monkeypatch.setattr(Library, "usable", usable)
    chat = await service.create_chat()
    await gather(service.send(chat.summary.id, "Hello", TurnOptions()))
    await service.context(chat.summary.id, "And now?", TurnOptions())
    await service.count_text("words", "starter")
    await gather(service.generate("starter", GenerationRequest(id="1", prompt=TextPrompt(text="Hello"))))
    await service.load("starter")
    assert len(looked) >= 5 and not any(looked)


async def test_generate_ends_a_bad_request_in_one_failed(service: Service) -> None:
    prompt = ChatPrompt(messages=(Message(role="user", content="Hi"),))
    bad = GenerationRequest(id="1", prompt=prompt, sampling=Sampling(top_p=float("nan")))
    (failed,) = await gather(service.generate(None, bad))
    assert isinstance(failed, Failed) and failed.param == "top_p" and "0 to 1" in failed.message
    good = await gather(service.generate(None, GenerationRequest(id="2", prompt=prompt)))
    assert isinstance(good[-1], Finished) and any(isinstance(event, TextDelta) for event in good)
    (missing,) = await gather(service.generate("nobody", GenerationRequest(id="3", prompt=prompt)))
    assert isinstance(missing, Failed) and missing.code == "model_not_found"


async def test_whitespace_is_refused_and_nothing_is_kept(service: Service) -> None:
    chat = await service.create_chat()
    (failed,) = await gather(service.send(chat.summary.id, " \n\t", TurnOptions()))
    assert isinstance(failed, Failed) and failed.message == "Type a message first."
    assert (await service.read_chat(chat.summary.id)).messages == ()
    (unknown,) = await gather(service.send("nothing", "Hi", TurnOptions()))
    assert isinstance(unknown, Failed) and unknown.code == "chat_not_found"


async def test_changed_settings_act_at_once_and_stay(service: Service, tmp_path: Path) -> None:
    models = tmp_path / "models"
    (models / "mine").mkdir(parents=True)
    (models / "mine" / "config.json").write_text('{"model_type": "llama"}')
    (models / "mine" / "model.safetensors").write_bytes(b"w")
    await service.change_settings(models_dirs=[str(models)], effort="high", instructions="Be brief.")
    assert service.find_model("mine").path == str(models / "mine")
    await service.change_settings(model="mine")
    assert service.find_model(None).id == "mine"
    assert (await service.create_chat()).options == TurnOptions(effort="high", instructions="Be brief.")
    kept = load_settings(home=tmp_path)
    assert kept.model == "mine" and kept.effort == "high"


async def test_settings_that_cannot_act_are_refused(service: Service, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no folder"):
        await service.change_settings(models_dirs=[str(tmp_path / "absent")])
    with pytest.raises(ModelNotFound):
        await service.change_settings(model="absent")
    assert service.settings.model == "starter" and not (tmp_path / "settings.json").exists()


async def test_a_model_known_to_be_broken_is_not_even_started(service: Service, tmp_path: Path) -> None:
    broken = tmp_path / "models" / "broken"
    broken.mkdir(parents=True)
    (broken / "config.json").write_text("{")
    await service.change_settings(models_dirs=[str(tmp_path / "models")])
    assert "damaged" in service.find_model("broken").problem
    with pytest.raises(LoadFailed, match="damaged"):
        await service.load("broken")
    chat = await service.create_chat()
    (failed,) = await gather(service.send(chat.summary.id, "Hi", TurnOptions(model="broken")))
    assert isinstance(failed, Failed) and failed.code == "load_failed" and failed.hint
    assert service.model_states() == ()


async def test_a_fork_holds_the_messages_up_to_there_and_goes_its_own_way(service: Service) -> None:
    chat = await service.create_chat(TurnOptions(effort="high"))
    for text in ("one", "two"):
        await gather(service.send(chat.summary.id, text, TurnOptions(effort="high")))
    original = await service.read_chat(chat.summary.id)
    fork = await service.fork(chat.summary.id, original.messages[1].id)
    assert [message.content for message in fork.messages] == ["one", "You said: one"]
    assert {message.id for message in fork.messages}.isdisjoint(message.id for message in original.messages)
    assert fork.messages[1].provenance == original.messages[1].provenance and fork.options.effort == "high"
    assert fork.summary.title == "one (fork)" and fork.summary.created_at == chat.summary.created_at
    await gather(service.send(fork.summary.id, "three", TurnOptions()))
    assert (await service.read_chat(chat.summary.id)).messages == original.messages
    assert [each.id for each in await service.list_chats()] == [fork.summary.id, chat.summary.id]
    with pytest.raises(ChatNotFound):
        await service.fork(fork.summary.id, original.messages[0].id)


async def test_deleted_messages_come_back_until_the_trash_is_emptied(service: Service) -> None:
    chat_id = (await service.create_chat()).summary.id
    await gather(service.send(chat_id, "one", TurnOptions()))
    whole = await service.read_chat(chat_id)
    token = await service.delete_message(chat_id, whole.messages[1].id)
    (item,) = await service.list_trash()
    assert (item.id, item.kind, item.excerpt) == (token, "message", "You said: one")
    await service.undo_delete(token)
    assert await service.read_chat(chat_id) == whole
    token = await service.delete_message(chat_id, whole.messages[0].id)
    await service.empty_trash()
    with pytest.raises(ChatNotFound, match="no longer in the trash"):
        await service.undo_delete(token)


async def test_changed_limits_reach_the_keeper_of_models_at_once(service: Service, tmp_path: Path) -> None:
    await service.change_settings(max_models=1, memory_budget_mb=5000, idle_minutes=2)
    limits = service._provider.limits  # type: ignore[attr-defined]
    assert (limits.models, limits.budget_bytes, limits.idle_s, limits.pinned) == (1, 5 * 10**9, 120.0, frozenset())
    for wrong in ({"max_models": 0}, {"memory_budget_mb": -1}, {"idle_minutes": "soon"}, {"pinned_models": [""]}):
        with pytest.raises(SettingsError):
            await service.change_settings(**wrong)
    assert service._provider.limits == limits  # type: ignore[attr-defined]


async def test_a_pin_is_kept_and_only_models_that_are_here_can_be_pinned(service: Service, tmp_path: Path) -> None:
    await service.pin("starter")
    await service.pin("starter")
    assert service._provider.limits.pinned == {"starter"}  # type: ignore[attr-defined]
    assert load_settings(home=tmp_path).pinned_models == ("starter",)
    with pytest.raises(ModelNotFound):
        await service.pin("nothing")
    await service.pin("starter", False)
    assert load_settings(home=tmp_path).pinned_models == ()


async def test_when_its_answers_are_ended_the_chats_can_still_be_read(tmp_path: Path) -> None:
    provider = ScriptedProvider()
    service = await Service.open(Settings(home=str(tmp_path)), provider)
    chat = await service.create_chat()
    await gather(service.send(chat.summary.id, "Hello", TurnOptions()))
    await service.end_answers()
    assert provider.closed
    assert len((await service.read_chat(chat.summary.id)).messages) == 2
    await service.close()
