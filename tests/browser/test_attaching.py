"""Texts that come with a message: dropped, chosen and pasted; kept over a reload, sent, read again; and files that cannot be used."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import FilePayload, expect

from tests.browser.axe import faults
from tests.browser.visit import Visit, a_word_of_its_own

pytestmark = [pytest.mark.browser, pytest.mark.integration]

DROP = """([place, kinds, files]) => {
  const carried = new DataTransfer();
  for (const [name, text] of files) carried.items.add(new File([text], name));
  for (const kind of kinds) {
    document.querySelector(place).dispatchEvent(new DragEvent(kind, { dataTransfer: carried, bubbles: true, cancelable: true }));
  }
}"""
PASTE = """(text) => {
  const carried = new DataTransfer();
  carried.setData("text/plain", text);
  const pasted = new ClipboardEvent("paste", { clipboardData: carried, bubbles: true, cancelable: true });
  document.querySelector("#message").dispatchEvent(pasted);
}"""
NOTES = "# Notes\n\nThe zebra sleeps.\n```\n<script>alert(1)</script> <|end|>\n"


def drag(visit: Visit, place: str, kinds: list[str], *files: tuple[str, str]) -> None:
    visit.page.evaluate(DROP, [place, kinds, [list(each) for each in files]])


def file(name: str, data: bytes) -> FilePayload:
    return FilePayload(name=name, mimeType="application/octet-stream", buffer=data)


def refusals(visit: Visit) -> int:
    """How many files the server refused, which the browser notes in its console; they are taken off the visit's complaints."""
    noted = [each for each in visit.complaints if "status of 400" in each]
    for each in noted:
        visit.complaints.remove(each)
    return len(noted)


def test_texts_are_attached_in_every_way_and_go_with_the_message(real_visit: Visit) -> None:
    visit, page, chips = real_visit, real_visit.page, real_visit.page.locator("#tray .chip")
    drag(visit, "#middle", ["dragenter", "dragover"], ("notes.md", NOTES))
    expect(page.locator(".drop-zone[data-drop=attach]")).to_have_attribute("data-over", "yes")
    expect(page.locator(".drop-zone[data-drop=chats]")).to_be_visible()
    drag(visit, ".drop-zone[data-drop=attach]", ["drop"], ("notes.md", NOTES))
    expect(page.locator(".drop")).to_be_hidden()
    expect(chips).to_have_count(1)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Attach text files").click()
    chooser.value.set_files([file("café.csv", "a;é\n".encode("latin-1")), file("odd.bin", b"\x00\x01"), file("empty.txt", b"")])
    expect(chips).to_have_count(2)
    expect(page.locator("#say")).to_contain_text("odd.bin is no text.")
    expect(page.locator("#say")).to_contain_text("empty.txt is empty.")
    expect(chips.nth(1)).to_contain_text("read as Latin-1")
    assert refusals(visit) == 2
    page.fill("#message", "What sleeps?")
    visit.reload()
    expect(page.locator("#message")).to_have_value("What sleeps?")
    expect(chips).to_have_count(2)
    assert faults(page, "attachments") == []
    expect(chips.first).to_contain_text(re.compile(r"notes\.md.*\d+ tokens", re.DOTALL))
    page.press("#message", "Enter")
    visit.finished(1)
    expect(chips).to_have_count(0)
    cards = page.locator("#history .ask details.attached")
    expect(cards).to_have_count(2)
    cards.first.locator("summary").click()
    expect(cards.first.locator("pre")).to_have_text(NOTES)
    assert faults(page, "an open card") == []
    visit.ask("and again")
    expect(cards.first.locator("pre")).to_have_text(NOTES)
    visit.reload()
    expect(page.locator("#message")).to_have_value("")
    expect(cards).to_have_count(2)
    page.fill("#search", "zebra")
    expect(page.locator("#chats")).to_contain_text("zebra")


def test_chips_are_taken_off_by_mouse_and_key_and_a_file_too_large_stays_out(real_visit: Visit) -> None:
    visit, page, chips = real_visit, real_visit.page, real_visit.page.locator("#tray .chip")
    page.locator("#attach").set_input_files([file(f"{at}.txt", b"text") for at in range(3)] + [file("big.log", b"x" * 1_100_000)])
    expect(chips).to_have_count(3)
    expect(page.locator("#say")).to_have_text("big.log is larger than 1 MB, the most that can be attached.")
    page.get_by_role("button", name="Remove 0.txt").click()
    expect(chips).to_have_count(2)
    expect(page.get_by_role("button", name="Remove 1.txt")).to_be_focused()
    page.keyboard.press("Delete")
    expect(page.get_by_role("button", name="Remove 2.txt")).to_be_focused()
    page.keyboard.press("Enter")
    expect(chips).to_have_count(0)
    expect(page.locator("#message")).to_be_focused()
    drag(visit, "#middle", ["dragenter", "dragover", "dragleave"], ("away.txt", "text"))
    expect(page.locator(".drop")).to_be_hidden()
    page.locator("#attach").set_input_files([file("<img src=x onerror=alert(1)>.txt", b"<script>alert(1)</script>")])
    expect(chips.locator(".chip-name")).to_have_text("<img src=x onerror=alert(1)>.txt")
    page.locator("#attach").set_input_files([file("only.txt", b"only this")])
    expect(chips).to_have_count(2)
    page.press("#message", "Enter")
    visit.finished(1)
    card = page.locator("#history .ask details.attached").last
    card.locator("summary").click()
    expect(card.locator("pre")).to_have_text("only this")
    expect(page.locator("#chats")).to_contain_text("only.txt")
    expect(page.locator("#history .attached .chip-name").first).to_have_text("<img src=x onerror=alert(1)>.txt")


def test_a_long_paste_becomes_an_attachment_and_can_go_back_into_the_text(real_visit: Visit) -> None:
    visit, page, chips = real_visit, real_visit.page, real_visit.page.locator("#tray .chip")
    page.fill("#message", "Look: ")
    page.evaluate(PASTE, "line\n" * 60)
    expect(chips).to_have_count(1)
    expect(chips).to_contain_text(re.compile(r"Pasted text.*\b1\d\d tokens", re.DOTALL))
    page.evaluate(PASTE, "w" * 2001)
    expect(chips).to_have_count(2)
    expect(chips.nth(1)).to_contain_text("Pasted text 2")
    page.get_by_role("button", name="Put Pasted text into the message").click()
    expect(chips).to_have_count(1)
    expect(page.locator("#message")).to_have_value("Look: " + "line\n" * 60)
    page.route("**/files/attachments*", lambda route: route.abort())
    page.fill("#message", "")
    page.evaluate(PASTE, "kept\n" * 60)
    expect(page.locator("#message")).to_have_value("kept\n" * 60)
    expect(page.locator("#say")).to_contain_text("did not answer")
    visit.complaints[:] = [each for each in visit.complaints if "ERR_FAILED" not in each]


def test_a_message_that_is_refused_gives_its_attachments_back(real_visit: Visit) -> None:
    visit, page, chips = real_visit, real_visit.page, real_visit.page.locator("#tray .chip")
    visit.ask("hello")
    page.locator("#attach").set_input_files([file("kept.txt", b"kept")])
    expect(chips).to_have_count(1)
    page.evaluate("document.querySelector('#tuning [data-field=temperature]').value = '99'")
    page.fill("#message", "Read it")
    page.press("#message", "Enter")
    expect(page.locator("#say")).to_contain_text("0 to 2")
    expect(page.locator("#message")).to_have_value("Read it")
    expect(chips).to_have_count(1)


def test_exports_that_are_dropped_come_in_and_broken_ones_are_named(real_visit: Visit, tmp_path: Path) -> None:
    visit, page = real_visit, real_visit.page
    word = a_word_of_its_own()
    said = visit.ask(f"hello {word}").locator(".answer-text").last.inner_text()
    first = visit.chat_id
    page.get_by_role("button", name="Export and import").click()
    with page.expect_download() as waiting:
        page.get_by_role("menuitem", name="Export this chat as JSON").click()
    text = Path(waiting.value.path()).read_text(encoding="utf-8")
    drag(visit, ".drop-zone[data-drop=chats]", ["dragenter", "drop"], ("chat.json", text), ("broken.json", "{ no chat"))
    expect(page.locator("#say")).to_contain_text(f"Imported “hello {word}”.")
    expect(page.locator("#say")).to_contain_text("“broken.json” could not be imported.")
    expect(visit.answers.locator(".answer-text")).to_have_text(said, use_inner_text=True)
    assert visit.chat_id != first and refusals(visit) == 1
    page.get_by_role("tab", name="Models").click()
    drag(visit, "body", ["dragenter", "dragover"], ("chat.json", text))
    expect(page.locator(".drop-zone[data-drop=attach]")).to_be_hidden()
    drag(visit, "body", ["drop"], ("chat.json", text))
    expect(page.locator("body")).to_have_attribute("data-view", "chat")
