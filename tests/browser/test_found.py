"""From a search to the message it found: outside the window, on another version, in an open chat, and gone meanwhile."""

import json
import re
import uuid
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.visit import Visit, a_word_of_its_own

pytestmark = pytest.mark.browser


def conversation(path: Path, word: str) -> Path:
    """A file with one chat of 160 messages: the word stands in the fifth, and in a version of the ninth that is not shown."""
    chat_id = uuid.uuid4().hex
    ids = [uuid.uuid4().hex for _ in range(160)]
    messages = []
    for at, message_id in enumerate(ids):
        role = "assistant" if at % 2 else "user"
        text = f"the {word} of the beginning" if at == 4 else f"message {at}"
        if at == 8:
            hidden = {"id": uuid.uuid4().hex, "parent_id": ids[7], "role": role, "content": f"another {word} hides here"}
            messages.append(hidden)
        messages.append({"id": message_id, "parent_id": ids[at - 1] if at else None, "role": role, "content": text})
    stamp = {"unix": 1_700_000_000.0, "iso": "2023-11-14T22:13:20Z"}
    chat = {"chat_id": chat_id, "metadata": {"chat_id": chat_id}, "messages": [{**each, "timestamp": stamp} for each in messages]}
    document = {"schema_version": 2, "chat_order": [chat_id], "active_chat_id": chat_id, "chats": {chat_id: chat}}
    path.write_text(json.dumps(document))
    return path


def test_a_hit_leads_to_its_message_wherever_it_stands(visit: Visit, tmp_path: Path) -> None:
    page = visit.page
    word = a_word_of_its_own()
    page.set_input_files("#import", conversation(tmp_path / "chats.json", word))
    expect(page.locator("#history .typed").last).to_have_text("message 158", timeout=20_000)
    expect(page.locator("#history .earlier")).to_be_visible()
    page.get_by_role("searchbox", name="Search chats").fill(word)
    expect(page.locator(".place")).to_have_count(2)

    page.locator(".place", has_text="of the beginning").click()
    sought = page.locator("article.sought")
    expect(sought).to_contain_text(f"the {word} of the beginning")
    expect(sought).to_be_in_viewport()
    expect(sought).to_be_focused()
    assert page.evaluate(
        "[...CSS.highlights.get('sought')].map((range) => range.startContainer.data.slice(range.startOffset, range.endOffset))"
    ) == [word]

    page.locator(".place", has_text="hides here").click()
    expect(sought).to_contain_text(f"another {word} hides here")
    expect(sought).to_be_in_viewport()
    expect(sought.locator(".versions span")).to_have_text(re.compile("of 2"))
    assert page.url.endswith(f"#chat={visit.chat_id}")


def test_a_message_that_is_gone_is_said(visit: Visit) -> None:
    page = visit.page
    word = a_word_of_its_own()
    visit.ask(f"a vanishing {word}")
    page.get_by_role("searchbox", name="Search chats").fill(word)
    place = page.locator(".place").first
    expect(place).to_be_visible()
    page.locator(".ask").hover()
    page.get_by_role("button", name="Delete this message and what follows").click()
    expect(page.locator(".ask")).to_have_count(0)
    page.evaluate("at => { location.hash = at }", f"#chat={visit.chat_id}&at={'0' * 32}")
    expect(page.locator("#say")).to_contain_text("That message is no longer in this chat.")
