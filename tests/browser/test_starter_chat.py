"""What people expect of a chat, done with the Starter as the model: every act on messages and chats, read off the page."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.visit import ANSWER_MS, Visit, a_word_of_its_own

pytestmark = [pytest.mark.browser, pytest.mark.integration]


@pytest.fixture
def starter(real_visit: Visit) -> Visit:
    """A visitor of a new chat whose answers do not depend on chance, with the Tuning panel open."""
    real_visit.page.locator(".panel-open").click()
    exact(real_visit, "Temperature").fill("0")
    return real_visit


def exact(visit: Visit, field: str) -> Locator:
    return visit.page.get_by_label(f"{field}, exact")


def text(answer: Locator) -> Locator:
    return answer.locator(".answer-text").last


def test_a_conversation_is_corrected_forked_and_found_again(starter: Visit) -> None:
    visit, page = starter, starter.page
    visit.ask("My name is Mira. Please remember that.")
    expect(text(visit.ask("What is my name?"))).to_contain_text("Mira")
    chat_id = visit.chat_id

    page.get_by_role("button", name="Edit this message").first.click()
    box = page.get_by_role("textbox", name="Edit your message")
    box.fill("My name is Otto. Please remember that.")
    box.press("Enter")
    expect(page.locator(".ask")).to_have_count(1)
    expect(page.locator(".ask .versions span")).to_have_text("2 of 2", timeout=ANSWER_MS)
    visit.finished(1)
    expect(text(visit.ask("What is my name?"))).to_contain_text("Otto")
    page.locator(".ask").first.get_by_role("button", name="Earlier version").click()
    expect(text(visit.answers.last)).to_contain_text("Mira")

    visit.answers.last.get_by_role("button", name="Answer again").click()
    expect(visit.answers.last.locator(".versions span")).to_have_text("2 of 2", timeout=ANSWER_MS)
    page.locator("#message").press("ArrowLeft")
    expect(visit.answers.last.locator(".versions span")).to_have_text("1 of 2")

    page.locator(".ask").last.hover()
    page.get_by_role("button", name="Delete this message and what follows").last.click()
    expect(page.locator(".ask")).to_have_count(1)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".ask")).to_have_count(2)

    visit.answers.first.hover()
    page.get_by_role("button", name="Fork from here").first.click()
    expect(page).not_to_have_url(re.compile(chat_id))
    expect(text(visit.ask("What is my name?"))).to_contain_text("Mira")

    page.get_by_role("searchbox", name="Search chats").fill("Otto")
    expect(page.locator(".place mark").first).to_have_text("Otto")
    page.locator(".place").first.click()
    expect(page.locator(".ask .typed").first).to_have_text("My name is Otto. Please remember that.")


def test_an_answer_that_was_cut_goes_on_where_it_ended(starter: Visit) -> None:
    visit = starter
    exact(visit, "Longest answer").fill("40")
    cut = visit.ask("Count from 1 to 40.")
    expect(cut.get_by_role("button", name="Continue")).to_be_visible()
    before = cut.inner_text()
    visit.page.get_by_role("button", name="Reset Longest answer").click()
    visit.page.get_by_role("button", name="Continue").click()
    expect(text(visit.answers.last)).to_contain_text("39", timeout=ANSWER_MS)
    whole = visit.finished(1)
    assert whole.inner_text() != before
    expect(whole.get_by_role("button", name="Continue")).to_have_count(0)


def test_figures_meter_attachments_commands_and_files_work_with_the_real_model(starter: Visit, tmp_path: Path) -> None:
    visit, page = starter, starter.page
    visit.ask("Hello!")
    for figure in ("first token", "tok/s", "prompt", "cached", "new"):
        expect(visit.answers.last.locator(".figures")).to_contain_text(figure)
    expect(page.locator("#meter .meter")).to_contain_text(re.compile(r"^\d+ of 3,072 tokens"))

    page.fill("#message", "/set min_p=0.1")
    page.press("#message", "Enter")
    expect(exact(visit, "Min P")).to_have_value("0.1")

    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Attach text files").click()
    notes = tmp_path / "notes.txt"
    notes.write_text("The meeting is on Friday.\n", "utf-8")
    chooser.value.set_files(notes)
    expect(page.locator("#tray .chip")).to_contain_text(re.compile(r"notes\.txt.*\d+ tokens", re.DOTALL))
    visit.ask("Thanks!")
    page.locator(".ask details.attached summary").click()
    expect(page.locator(".ask details.attached pre")).to_have_text("The meeting is on Friday.\n")

    with page.expect_download() as download:
        page.get_by_role("button", name="Export and import").click()
        page.get_by_role("menuitem", name="Export this chat as JSON").click()
    (chat,) = json.loads(Path(download.value.path()).read_text("utf-8"))["chats"].values()
    assert [message["role"] for message in chat["messages"]] == ["user", "assistant", "user", "assistant"]


def test_thinking_stays_as_it_was_left_and_stop_keeps_what_was_said(starter: Visit) -> None:
    visit, page = starter, starter.page
    page.get_by_role("radio", name="High").click()
    thought = visit.ask("What does the temperature slider do?").locator(".thinking")
    expect(thought.locator("summary")).to_contain_text(re.compile(r"Thought for \d+\.\d s"))
    expect(thought).not_to_have_attribute("open", "")
    thought.locator("summary").click()
    page.get_by_role("radio", name="Low").click()
    visit.send("Count from 1 to 60.")
    expect(visit.live.locator(".answer-text")).to_contain_text("3", timeout=ANSWER_MS)
    page.keyboard.press("Escape")
    stopped = visit.finished(2)
    expect(stopped.locator(".notice")).to_contain_text("Stopped")
    expect(text(stopped)).to_contain_text("1, 2, 3")
    visit.reload()
    expect(visit.answers.first.locator(".thinking")).to_have_attribute("open", "")
    expect(text(visit.answers.last)).to_contain_text("1, 2, 3")
    visit.answers.last.get_by_role("button", name="Show the answer as plain text").click()
    expect(visit.answers.last.locator(".as-text")).to_contain_text("1, 2, 3")


def test_a_chat_is_named_given_out_taken_in_and_thrown_away(starter: Visit, tmp_path: Path) -> None:
    visit, page, name = starter, starter.page, a_word_of_its_own()
    page.locator("#panel-prompt").click()
    page.get_by_label("Instructions").fill("Answer in short sentences.")
    said = text(visit.ask("Hello!")).inner_text()
    row = page.locator(f"[data-chat-row='{visit.chat_id}']")
    row.hover()
    row.get_by_role("button", name="Rename").click()
    page.get_by_role("textbox", name="New title").fill(name)
    page.keyboard.press("Enter")
    expect(row).to_contain_text(name)

    for kind, holds in (("Markdown", f"# {name}"), ("JSON", said)):
        page.get_by_role("button", name="Export and import").click()
        with page.expect_download() as download:
            page.get_by_role("menuitem", name=f"Export this chat as {kind}").click()
        kept = Path(download.value.path())
        assert download.value.suggested_filename.startswith(name) and holds in kept.read_text("utf-8")
    first = visit.chat_id
    row.hover()
    row.get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)
    page.locator("#import").set_input_files({"name": "chat.json", "mimeType": "application/json", "buffer": kept.read_bytes()})
    expect(page.locator("#say")).to_contain_text(f"Imported “{name}”")
    expect(text(visit.answers.first)).to_have_text(said)
    assert visit.chat_id != first
    expect(page.get_by_label("Instructions")).to_have_value("Answer in short sentences.")
    visit.ask("Thanks!")
