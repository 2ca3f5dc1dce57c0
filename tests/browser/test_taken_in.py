"""What the Starter does not say, brought into the real app as files: every voice and mark drawn, and files of other releases mended."""

import json
import time
from collections.abc import Sequence
from typing import Any

import pytest
from playwright.sync_api import FilePayload, expect

from mlx_harmony.conversation.interchange import export
from mlx_harmony.conversation.records import Chat, ChatMessage, ChatSummary, Lane, WholeChat
from tests.browser.test_attaching import drag
from tests.browser.visit import Visit, a_word_of_its_own

pytestmark = [pytest.mark.browser, pytest.mark.integration]

CODE = 'def moons(planet: str) -> int:  # how many\n    return {"Mars": 2}.get(planet, 0)\n'
ANSWER = f"""Inline \\(x^2\\) and on its own:

\\[
y_1 = \\frac{{1}}{{2}}
\\]

| Planet | Moons |
|---|---:|
| Mars | 2 |

```python
{CODE}```
"""
FACES = """(table) => [...table.querySelectorAll('th, td')].map((cell) =>
  [cell.tagName, cell.textContent.trim(), getComputedStyle(cell).textAlign, cell.getBoundingClientRect().width > 0])"""


def answered(title: str) -> bytes:
    """A file with one question and an answer that speaks before it answers."""
    now = time.time() - 100
    lanes = (
        Lane(channel="analysis", text="Let me think.", stop_token="<|end|>"),
        Lane(channel="commentary", text="I will look at the **moons** first.", stop_token="<|end|>"),
        Lane(channel="final", text=ANSWER, stop_token="<|return|>"),
    )
    asked = ChatMessage(id=f"{title}a", chat_id=title, role="user", content="How many?", created_at=now, parent_id=None)
    answer = ChatMessage(
        id=f"{title}b",
        chat_id=title,
        role="assistant",
        content=ANSWER,
        created_at=now + 1,
        parent_id=asked.id,
        reasoning="Let me think.",
        lanes=lanes,
    )
    summary = ChatSummary(id=title, title=title, created_at=now, updated_at=now)
    return export.as_json([WholeChat(chat=Chat(summary=summary, messages=(asked, answer)), positions=(0, 0))])


def message(identity: str, parent: str | None, content: str) -> dict[str, Any]:
    return {"id": identity, "parent_id": parent, "role": "user", "content": content, "timestamp": {"unix": 1_700_000_000.0}}


def version_2(identity: str, messages: Sequence[dict[str, Any]], version: int = 2) -> str:
    chats = {identity: {"chat_id": identity, "metadata": {}, "messages": messages}}
    return json.dumps({"schema_version": version, "chat_order": [identity], "active_chat_id": identity, "chats": chats})


def test_speech_formulas_tables_and_code_are_drawn_and_code_is_copied(real_visit: Visit) -> None:
    page = real_visit.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=real_visit.address)
    page.locator("#import").set_input_files(FilePayload(name="a.json", mimeType="application/json", buffer=answered(a_word_of_its_own())))
    answer = real_visit.answers
    expect(answer).to_have_count(1)
    expect(answer.locator(".aside")).to_have_text("I will look at the moons first.")
    expect(answer.locator(".aside strong")).to_be_visible()
    expect(answer.locator(".thinking")).not_to_contain_text("moons")

    expect(answer.locator(".answer-text math")).to_have_count(2)
    assert answer.locator(".answer-text math").evaluate_all("each => each.map((e) => getComputedStyle(e).display.startsWith('block'))") == [
        False,
        True,
    ]
    expect(answer.locator(".answer-text div.formula mfrac")).to_be_visible()

    cells = answer.locator(".answer-text table").evaluate(FACES)
    assert [cell[:2] for cell in cells] == [["TH", "Planet"], ["TH", "Moons"], ["TD", "Mars"], ["TD", "2"]]
    assert all(cell[3] for cell in cells) and cells[3][2] in ("right", "end") and cells[2][2] not in ("right", "end")

    code = answer.locator(".answer-text figure code")
    expect(code).to_contain_text("def moons")
    colours = "code => new Set([code, ...code.querySelectorAll('span')].map((e) => getComputedStyle(e).color)).size"
    assert code.evaluate(colours) >= 4
    answer.get_by_role("button", name="Copy", exact=True).click()
    expect(answer.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()").rstrip("\n") == CODE.rstrip("\n")


def test_files_of_other_releases_come_in_mended_and_one_from_the_future_is_named(real_visit: Visit) -> None:
    page, word = real_visit.page, a_word_of_its_own()
    old = {
        "metadata": {"model": "nowhere/model", "hyperparameters": {"seed": 7}, "created_at": "2024-05-01T10:00:00"},
        "messages": [
            {"role": "user", "content": f"{word} old", "timestamp": "2024-05-01T10:00:01"},
            {"role": "assistant", "content": "Of version 1.", "timestamp": "2024-05-01 10:00:02"},
        ],
    }
    circle = [message("a", "c", f"{word} circle"), message("b", "a", "second"), message("b", "b", "twin"), message("c", "b", "last")]
    half = version_2(f"{word}h", [message("h1", None, f"{word} half"), message("h2", "h1", "whole"), message("h3", "h2", "cut off")])
    files = {
        "old.json": json.dumps(old),
        "circle.json": version_2(f"{word}c", circle),
        "half.json": half[: half.index("cut off") + 3],
        "future.json": version_2(f"{word}f", [message("a", None, f"{word} future")], version=9),
    }
    drag(real_visit, ".drop-zone[data-drop=chats]", ["dragenter", "drop"], *files.items())
    said = page.locator("#say")
    expect(said).to_contain_text("Imported 3 chats.", timeout=20_000)
    for part in ("in a circle", "share one id", "damaged or cut off", "“future.json” could not be imported. The file is of version 9"):
        expect(said).to_contain_text(part)
    real_visit.complaints[:] = [each for each in real_visit.complaints if "status of 400" not in each]

    page.get_by_role("button", name="Close what is said").click()
    shown = {"old": [f"{word} old"], "circle": [f"{word} circle", "second", "twin", "last"], "half": [f"{word} half", "whole"]}
    for name, texts in shown.items():
        page.locator("[data-chat-row] > a:first-of-type", has_text=f"{word} {name}").first.click()
        expect(page.locator("#history .ask .typed")).to_have_text(texts)
    page.locator("[data-chat-row] > a:first-of-type", has_text=f"{word} old").first.click()
    expect(real_visit.answers.locator(".answer-text")).to_have_text("Of version 1.")
    expect(page.locator("[data-chat-row] > a:first-of-type", has_text=f"{word} future")).to_have_count(0)
