r"""Commands typed into the page: the same words as in the terminal, and what they change is kept with the chat at once."""

from collections.abc import AsyncIterator
from pathlib import Path

import gradio as gr
import pytest

from mlx_harmony.conversation.commands import Unknown, parse_command, suggestions
from mlx_harmony.conversation.records import TurnOptions
from mlx_harmony.service import Service
from mlx_harmony.settings import Settings
from mlx_harmony_ui.tabs.commanding import Commanding
from tests.fixtures.provider import ScriptedProvider
from tests.ui.test_handlers import commands, sent


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    opened = await Service.open(Settings(home=str(tmp_path)), ScriptedProvider())
    yield opened
    await opened.close()


@pytest.mark.parametrize(
    ("text", "shown"),
    [(r"\help", "this list"), ("/list", "temperature"), (r"\show", "high"), ("/models", "starter"), (r"\bogus", "no command “bogus”")],
)
async def test_lists_are_shown_above_the_box(service: Service, text: str, shown: str) -> None:
    options = {"effort": "high"}
    drawn, said = await Commanding(service).command(sent(text=text, chat="", options=options))
    [note] = commands(said)
    assert note["do"] == "note" and shown in note["html"]
    assert note["text"] == ("" if "bogus" in text else text) and drawn == gr.skip()
    assert ("send-plain" in note["html"]) is ("bogus" in text)


async def test_a_setting_is_changed_kept_drawn_and_said(service: Service) -> None:
    chat = await service.create_chat(TurnOptions(instructions="Be brief."))
    event = sent(text="/set temperature=0.25", chat=chat.summary.id, ask=7, options={"instructions": "Be brief.", "numbers": {"top_k": 5}})
    tuning, said = await Commanding(service).command(event)
    assert [each["do"] for each in commands(said)] == ["obeyed", "say"] and "temperature is 0.25" in commands(said)[1]["text"]
    kept = (await service.read_chat(chat.summary.id)).options
    assert (kept.sampling.temperature, kept.sampling.top_k, kept.instructions) == (0.25, 5, "Be brief.")
    assert 'data-ask="7"' in tuning and 'value="0.25"' in tuning


async def test_before_the_first_message_a_setting_is_the_panels(service: Service) -> None:
    tuning, said = await Commanding(service).command(sent(text=r"\set max-tokens=64", chat="", ask=1, options={}))
    assert 'value="64"' in tuning and "max_tokens is 64" in commands(said)[1]["text"]
    assert await service.list_chats() == ()


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "3", "warm", ""])
async def test_what_cannot_be_set_changes_nothing_and_stays_in_the_box(service: Service, value: str) -> None:
    chat = await service.create_chat(TurnOptions())
    drawn, said = await Commanding(service).command(sent(text=rf"\set temperature={value}", chat=chat.summary.id, options={}))
    [told] = commands(said)
    assert told["do"] == "say" and drawn == gr.skip()
    assert "0 to 2" in told["text"] or "name=value" in told["text"]
    assert (await service.read_chat(chat.summary.id)).options == chat.options


async def test_a_message_that_begins_like_a_path_is_a_message(service: Service) -> None:
    _, said = await Commanding(service).command(sent(text="/usr/bin/python?", chat="", options={}))
    assert commands(said)[0]["do"] == "plain"
    _, gone = await Commanding(service).command(sent(text=r"\set top_k=1", chat="0" * 32, options={}))
    assert commands(gone)[0]["do"] == "say"


@pytest.mark.parametrize("each", suggestions(), ids=lambda each: each.text)
def test_every_suggestion_is_a_command_once_it_is_whole(each: object) -> None:
    text, whole = each.text, each.whole  # type: ignore[attr-defined]
    finished = text if whole else f"{text.rstrip()} temperature=1" if "=" not in text else f"{text}1"
    assert parse_command(finished) is not None and not isinstance(parse_command(finished), Unknown)
