"""Chats as files: exported by the browser, taken in again, and a file that cannot be used."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.visit import Visit

pytestmark = [pytest.mark.browser, pytest.mark.integration]
# Notes how long each timer from now on waits.
TIMERS = """() => {
  const real = setTimeout;
  window.waits = [];
  window.setTimeout = (act, ms, ...more) => (waits.push(ms), real(act, ms, ...more));
}"""


def choose(visit: Visit, name: str) -> None:
    visit.page.get_by_role("button", name="Export and import").click()
    visit.page.get_by_role("menuitem", name=name).click()


def test_a_chat_goes_out_as_a_file_and_comes_back_as_a_new_chat(real_visit: Visit, tmp_path: Path) -> None:
    visit = real_visit
    said = visit.ask("hello file").locator(".answer-text").last.inner_text()
    first = visit.chat_id
    with visit.page.expect_download() as waiting:
        choose(visit, "Export this chat as Markdown")
    assert waiting.value.suggested_filename == "hello-file.md"
    assert said.split()[0] in Path(waiting.value.path()).read_text(encoding="utf-8")
    with visit.page.expect_download() as waiting:
        choose(visit, "Export this chat as JSON")
    kept = tmp_path / "chat.json"
    waiting.value.save_as(kept)
    visit.page.locator("#import").set_input_files(kept)
    expect(visit.page.locator("#say")).to_contain_text("Imported “hello file”.")
    expect(visit.answers.locator(".answer-text")).to_have_text(said, use_inner_text=True)
    assert visit.chat_id != first


def test_a_file_that_holds_no_chat_is_named_and_changes_nothing(visit: Visit, tmp_path: Path) -> None:
    visit.ask("hello")
    broken = tmp_path / "broken.json"
    broken.write_text("{ this is no chat", encoding="utf-8")
    visit.page.evaluate(TIMERS)
    visit.page.locator("#import").set_input_files(broken)
    said = visit.page.locator("#say")
    expect(said).to_contain_text("“broken.json” could not be imported.")
    expect(said).to_have_attribute("data-tone", "bad")
    # "Importing…" would have gone by itself, this does not.
    assert [ms for ms in visit.page.evaluate("window.waits") if ms >= 12_000] == [12_000]
    expect(visit.page.locator(".ask")).to_have_count(1)
    visit.page.get_by_role("button", name="Close what is said").click()
    expect(said).to_be_empty()
    visit.complaints[:] = [each for each in visit.complaints if "status of 400" not in each]
