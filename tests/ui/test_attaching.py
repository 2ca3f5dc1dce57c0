"""Attachments on the page: chips with their tokens, what the page's events do with them, and files of chats that came in."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from mlx_harmony.conversation.attachments import attachment
from mlx_harmony.conversation.records import TurnOptions
from mlx_harmony.service import Service
from mlx_harmony.settings import Settings
from mlx_harmony_ui.attached import card, chip
from mlx_harmony_ui.render import render
from mlx_harmony_ui.running import Desk
from mlx_harmony_ui.tabs.attaching import Attaching
from mlx_harmony_ui.tabs.files import Files, refusals, remarks
from mlx_harmony_ui.tabs.talk import Talk
from tests.fixtures.provider import ScriptedProvider
from tests.ui.test_handlers import TAB, all_of, commands, sent


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    opened = await Service.open(Settings(home=str(tmp_path)), ScriptedProvider())
    yield opened
    await opened.close()


def test_a_chip_says_whether_its_tokens_are_counted_or_guessed() -> None:
    notes = attachment("n" * 40 + ".txt", "x" * 4000, 4000, encoding="latin-1")
    guessed, counted = chip(notes, None), chip(notes, 1)
    assert (guessed.tokens, guessed.exact) == ("about 1,000 tokens", False)
    assert (counted.tokens, counted.exact) == ("1 token", True)
    assert guessed.size == "4.0 kB" and guessed.read_as == "read as Latin-1"
    assert "…" in guessed.name and guessed.name.endswith(".txt") and guessed.whole_name == notes.name
    assert card(attachment("a.txt", "x", 1)).read_as == "" and card(notes).tokens == ""


def test_only_a_paste_can_be_put_into_the_text() -> None:
    file, paste = attachment('<b>"a"</b>.txt', "x", 1), attachment("Pasted text", "x", 1, pasted=True)
    html = render("tray", chips=[chip(file, 1), chip(paste, None)])
    assert html.count('data-do="into-text"') == 1 and html.count('data-do="detach"') == 2
    assert "<b>" not in html and "its tokenizer counts them" in html


async def test_the_tray_shows_what_still_waits(service: Service) -> None:
    notes = await service.attach("notes.txt", b"one two three")
    attaching = Attaching(service)
    [told] = commands(await attaching.tray(sent(attached=[notes.id, "unknown", 7], ask=3)))
    assert (told["do"], told["ask"], told["ids"]) == ("tray", 3, [notes.id])
    assert "notes.txt" in told["html"] and "about 3 tokens" in told["html"]
    await service.load("starter")
    [again] = commands(await attaching.tray(sent(attached=[notes.id], ask=4)))
    assert "about" not in again["html"]
    await attaching.detach(sent(attachment=notes.id))
    [left] = commands(await attaching.tray(sent(attached=[notes.id], ask=5)))
    assert left["ids"] == []


async def test_odd_requests_for_attachments_raise_nothing(service: Service) -> None:
    attaching = Attaching(service)
    for odd in (gr.EventData(None, None), sent(attached="x", ask="y", attachment=[], message={}, chat=4)):
        assert commands(await attaching.tray(odd))[-1]["ids"] == []
        assert commands(await attaching.into_text(odd)) == []
        assert commands(await attaching.attachment(odd))[-1]["do"] == "say"
        await attaching.detach(odd)
    assert commands(await attaching.tray(sent(model="no-such-model")))[-1]["do"] == "say"


async def test_a_text_goes_with_its_message_and_is_read_from_its_card(service: Service) -> None:
    notes = await service.attach("notes.txt", b"one two three")
    attaching = Attaching(service)
    [text] = commands(await attaching.into_text(sent(attachment=notes.id)))
    assert (text["do"], text["text"]) == ("insert", "one two three")
    [waiting] = commands(await attaching.attachment(sent(attachment=notes.id, message="")))
    assert waiting["text"] == "one two three"
    frames = await all_of(Talk(service, Desk()).send(sent(chat="", text="", options={}, attached=[notes.id]), TAB))
    assert (
        "notes.txt" in frames[0][0] and 'class="attached"' in frames[-1][1] and "one two three" not in frames[-1][1].split("</article>")[0]
    )
    chat = await service.read_chat((await service.list_chats())[0].id)
    [kept] = commands(await attaching.attachment(sent(chat=chat.summary.id, message=chat.messages[0].id, attachment=notes.id)))
    assert (kept["do"], kept["text"]) == ("attachment", "one two three")


async def test_a_message_whose_attachment_is_gone_comes_back(service: Service) -> None:
    chat = await service.create_chat(TurnOptions())
    frames = await all_of(Talk(service, Desk()).send(sent(chat=chat.summary.id, text="Read it", options={}, attached=["gone"]), TAB))
    last = commands(frames[-1][-1])[-1]
    assert last["do"] == "refused" and last["text"] == "Read it" and "Attach it again" in last["say"]


async def test_what_came_in_is_said_and_a_single_chat_is_opened(service: Service) -> None:
    chat = await service.create_chat(TurnOptions())
    await service.rename_chat(chat.summary.id, "Trip to Rome")
    files = Files(service)
    listed, said = await files.imported(sent(imported=[chat.summary.id], warnings=["It was mended."], refused={}))
    assert "Trip to Rome" in listed
    assert [each["do"] for each in commands(said)] == ["go", "say"]
    assert (commands(said)[-1]["text"], commands(said)[-1]["tone"]) == ("Imported “Trip to Rome”. It was mended.", "")
    _, many = await files.imported(sent(imported=["a", "b"], warnings=[], refused={"c.json": "The file is damaged."}))
    assert commands(many)[-1]["text"] == "Imported 2 chats. “c.json” could not be imported. The file is damaged."
    _, none = await files.imported(sent(refused={"c.json": "The file is damaged."}))
    assert (commands(none)[-1]["text"], commands(none)[-1]["tone"]) == ("“c.json” could not be imported. The file is damaged.", "bad")
    _, odd = await files.imported(sent(imported="x", warnings=7, refused=[1]))
    assert commands(odd)[-1]["text"] == "Imported 0 chats."
    _, gone = await files.imported(sent(imported=["0" * 32]))
    assert commands(gone)[-1]["do"] == "say"


def test_many_remarks_are_counted_and_odd_refusals_passed_over() -> None:
    assert remarks(tuple("abcdef")) == ["a", "b", "c", "d", "And 2 more remarks."] and remarks(("a",)) == ["a"]
    odd: dict[str, Any] = {"a": 1, "b.json": "No."}
    assert refusals(odd) == ["“b.json” could not be imported. No."]
