"""The Cache tab in a browser: what a chat leaves there, acts on it, files of it, and what is left of it after a restart."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from mlx_harmony.cache_records import CacheRequest, Reuse
from mlx_harmony.shelf.bundle import read_bundle
from tests.browser.conftest import OFFLINE, WIDE, ScriptedApp
from tests.browser.visit import ANSWER_MS, Visit, a_word_of_its_own
from tests.fixtures.kept import STATE, large
from tests.fixtures.server import serving

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SOON_MS = 10_000
DROP = """(files) => {
    const carried = new DataTransfer();
    for (const [name, text] of files) carried.items.add(new File([text], name));
    document.querySelector("#cache-view").dispatchEvent(new DragEvent("drop", { dataTransfer: carried, bubbles: true, cancelable: true }));
}"""

DROP_PROMPT = """(text) => {
    const carried = new DataTransfer();
    carried.items.add(new File([text], "manual.txt"));
    const drop = new DragEvent("drop", { dataTransfer: carried, bubbles: true, cancelable: true });
    document.querySelector("#drop [data-drop=prompt]").dispatchEvent(drop);
}"""


def open_cache(visit: Visit) -> Locator:
    """The tab's tree, as soon as it is drawn."""
    visit.page.get_by_role("tab", name="Cache").click()
    expect(visit.page.locator("#cache-view .cache")).to_have_count(1)
    return visit.page.get_by_role("tree")


def figure(page: Page, name: str) -> Locator:
    return page.locator(".four > div", has_text=name).locator("dd").first


def answered(page: Page, name: str, button: str) -> None:
    """Press the button of the question of that name."""
    question = page.get_by_role("dialog", name=name)
    expect(question).to_contain_text("There is no way back")
    question.get_by_role("button", name=button).click()
    expect(question).to_be_hidden()


def chat_rows(tree: Locator, word: str) -> Locator:
    return tree.get_by_role("treeitem", name=re.compile(word))


@pytest.mark.timeout(400)
def test_a_chat_is_a_leaf_of_the_tree_and_its_cache_survives_a_restart(chromium: Browser, tmp_path: Path) -> None:
    word, home = a_word_of_its_own(), tmp_path / "home"
    with serving(home, environment=OFFLINE) as app, Visit.to(chromium, app.address, WIDE) as visit:
        page = visit.page
        tree = open_cache(visit)
        expect(page.locator("#cache-view .nothing")).to_contain_text("Nothing is kept of this model yet.")
        page.get_by_role("button", name="To the chat").click()
        visit.ask(f"{word}: what does the temperature slider do?")
        visit.ask("And what does the top p slider do?")
        chat = visit.chat_id
        open_cache(visit)
        expect(figure(page, "Hit rate")).to_contain_text("50 %")
        expect(page.locator(".prompt").first).to_contain_text("tokens reused")
        expect(page.locator(".prompt").first.get_by_role("link")).to_have_text(re.compile(word))
        leaf = chat_rows(tree, f"Chat {word}")
        expect(leaf).to_have_count(1)
        leaf.get_by_role("link").click()
        expect(visit.answers).to_have_count(2)
        assert visit.chat_id == chat
        # What is read is written behind the answer; the end of the program waits for it.
        visit.assert_quiet()
    with serving(home, environment=OFFLINE) as app, Visit.to(chromium, app.address, WIDE) as visit:
        page = visit.page
        tree = open_cache(visit)
        expect(page.locator(".of-model")).to_contain_text("asleep")
        expect(chat_rows(tree, f"Chat {word}")).to_have_count(1)
        expect(tree.locator(".node.disk").first).to_contain_text("on disk")
        page.evaluate(f"location.hash = 'chat={chat}'")
        expect(visit.answers).to_have_count(2)
        visit.ask("Thank you. And what does the seed do?")
        open_cache(visit)
        newest = page.locator(".prompt").first
        expect(newest.get_by_role("img")).to_have_attribute("aria-label", re.compile(r"[1-9]\d* from disk"))
        assert disk_tokens(newest) > 100
        visit.assert_quiet()


def disk_tokens(prompt: Locator) -> int:
    label = prompt.get_by_role("img").get_attribute("aria-label") or ""
    found = re.search(r"([\d,]+) from disk", label)
    return int(found[1].replace(",", "")) if found else 0


@pytest.mark.timeout(300)
def test_an_entry_is_pinned_saved_dropped_and_loaded_again(chromium: Browser, tmp_path: Path) -> None:
    word, kept = a_word_of_its_own(), tmp_path / "kept.kvcache"
    with serving(tmp_path / "home", environment=OFFLINE) as app, Visit.to(chromium, app.address, WIDE) as visit:
        page = visit.page
        visit.ask(f"{word}: what does the temperature slider do?")
        tree = open_cache(visit)
        rows = tree.locator(".node.run")
        expect(rows.first).to_be_visible()
        last = rows.last
        last.hover()
        last.get_by_role("button", name="Pin").click()
        expect(page.locator("#cache-say")).to_contain_text("Pinned")
        expect(last.get_by_role("button", name="Pin")).to_have_attribute("aria-pressed", "true")
        expect(last.locator(".pinned")).to_be_visible()

        with page.expect_download() as waiting:
            last.get_by_role("button", name="Save to a file").click()
        waiting.value.save_as(kept)
        assert re.fullmatch(r"starter-\d+-tokens\.kvcache", waiting.value.suggested_filename) and kept.stat().st_size > 10_000
        expect(page.locator("#cache-say")).to_contain_text("Saved")

        rows.first.focus()
        page.keyboard.press("Delete")
        question = page.get_by_role("dialog", name="Drop this entry?")
        expect(question).to_contain_text("This frees")
        page.keyboard.press("Escape")
        expect(rows.first).to_be_visible()
        page.keyboard.press("Delete")
        answered(page, "Drop this entry?", "Drop it")
        expect(page.locator("#cache-view .nothing")).to_be_visible()

        page.locator("#cache-file").set_input_files(kept)
        expect(page.locator("#cache-say")).to_contain_text("Loaded kept.kvcache", timeout=SOON_MS)
        expect(rows.first).to_be_visible(timeout=SOON_MS)
        page.get_by_role("button", name="Clear memory").click()
        answered(page, "Clear the memory?", "Clear it")
        expect(page.locator("#cache-say")).to_contain_text("The memory is cleared.")
        expect(page.get_by_role("button", name="Clear memory")).to_have_count(0)
        page.get_by_role("button", name="Clear disk").click()
        answered(page, "Clear the disk?", "Clear it")
        expect(page.get_by_role("button", name="Clear disk")).to_have_count(0)
        visit.assert_quiet()


def test_a_file_that_cannot_be_used_is_refused_with_the_reason(real_visit: Visit, tmp_path: Path) -> None:
    open_cache(real_visit)
    odd = tmp_path / "odd.kvcache"
    odd.write_bytes(b"no cache at all")
    real_visit.page.locator("#cache-file").set_input_files(odd)
    line = real_visit.page.locator("#cache-say")
    expect(line).to_contain_text("odd.kvcache was not loaded.", timeout=30_000)
    expect(line).to_have_attribute("data-tone", "bad")
    real_visit.complaints[:] = [each for each in real_visit.complaints if "status of 400" not in each]


@pytest.fixture
def told(visit: Visit, scripted_app: ScriptedApp) -> Iterator[Visit]:
    """A visitor of a model that tells of a made-up cache."""
    assert scripted_app.service
    scripted_app.do(scripted_app.service.load("starter"))
    scripted_app.provider.engine.kept = STATE
    yield visit
    scripted_app.provider.engine.kept = None
    scripted_app.do(scripted_app.service.unload("starter"))


def test_files_dropped_onto_the_tab_are_loaded_and_each_refusal_is_named(told: Visit) -> None:
    page = told.page
    open_cache(told)
    page.evaluate(DROP, [["good.kvcache", "root"], ["bad.kvcache", "no entry of this model"]])
    line = page.locator("#cache-say")
    expect(line).to_contain_text("bad.kvcache was not loaded. It was saved with another model.")
    expect(line).not_to_contain_text("good.kvcache")
    told.complaints[:] = [each for each in told.complaints if "status of 400" not in each]


def test_an_answer_leads_to_why_its_prompt_was_read(told: Visit, scripted_app: ScriptedApp) -> None:
    page, word = told.page, a_word_of_its_own()
    told.ask(f"{word} once")
    asked = CacheRequest(at=time.time(), reuse=Reuse(prompt=900, memory=40, reason="evicted"), chat=told.chat_id)
    scripted_app.provider.engine.kept = msgspec.structs.replace(STATE, recent=(*STATE.recent, asked))
    told.answers.last.hover()
    page.locator("[data-do=details]").last.click()
    page.get_by_role("button", name="Why some of the prompt was read").click()
    prompt = page.locator(".prompt.sought")
    expect(prompt).to_contain_text(f"{word} once")
    expect(prompt).to_be_in_viewport()
    expect(prompt.get_by_role("link", name=f"{word} once")).to_be_focused()


def test_the_tree_is_led_through_by_keys(told: Visit) -> None:
    page, tree = told.page, open_cache(told)
    rows = tree.get_by_role("treeitem")
    expect(rows).to_have_count(6)
    assert page.evaluate("[...document.querySelectorAll('.node')].filter((each) => each.tabIndex === 0).length") == 1
    rows.first.focus()
    page.keyboard.press("ArrowLeft")
    expect(rows.first).to_have_attribute("aria-expanded", "false")
    expect(tree.locator(".node:visible")).to_have_count(2)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(tree.locator(".node").nth(1)).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(tree.locator(".node").nth(2)).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(tree.locator(".node").nth(1)).to_be_focused()
    page.keyboard.press("End")
    expect(tree.locator(".node").nth(5)).to_be_focused()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowLeft")
    # What was folded stays so while the tab is kept true.
    page.wait_for_timeout(2500)
    expect(rows.first).to_be_focused()
    expect(tree.locator(".node:visible")).to_have_count(2)


def test_the_tab_is_kept_true_while_it_is_looked_at_and_asks_nothing_otherwise(told: Visit, scripted_app: ScriptedApp) -> None:
    engine, page = scripted_app.provider.engine, told.page
    open_cache(told)
    expect(figure(page, "Hit rate")).to_contain_text("86 %")
    engine.kept = large()
    expect(page.locator("[role=tree]")).to_have_attribute("data-folded", "yes", timeout=SOON_MS)
    page.get_by_role("tab", name="Chat").click()
    page.wait_for_timeout(500)
    asked = len(engine.acts)
    page.wait_for_timeout(4500)
    assert len(engine.acts) == asked


def test_a_tree_of_500_entries_stays_fast(told: Visit, scripted_app: ScriptedApp) -> None:
    scripted_app.provider.engine.kept = large()
    page, tree = told.page, open_cache(told)
    expect(tree).to_have_attribute("data-folded", "yes", timeout=SOON_MS)
    tree.get_by_role("treeitem").first.focus()
    took = page.evaluate(
        """() => {
            const began = performance.now();
            const press = (key) => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
            for (let at = 0; at < 10; at += 1) { press("ArrowLeft"); press("ArrowRight"); }
            document.body.getBoundingClientRect();
            return (performance.now() - began) / 20;
        }"""
    )
    assert took < 100, took


@pytest.mark.timeout(300)
def test_a_prompt_is_read_into_a_file_and_what_goes_wrong_loses_nothing(chromium: Browser, tmp_path: Path) -> None:
    text = f"{a_word_of_its_own()}: a long text that is read once. " * 12
    with serving(tmp_path / "home", environment=OFFLINE) as app, Visit.to(chromium, app.address, WIDE) as visit:
        page, file = visit.page, tmp_path / "home" / "prompts" / "manual.kv"
        open_cache(visit)
        page.get_by_role("button", name="Read a prompt…").click()
        form = page.get_by_role("region", name="Read a prompt into a file")
        expect(form.get_by_label("Model")).to_have_value("starter")
        form.get_by_role("button", name="Read it").click()
        expect(form.get_by_role("alert")).to_have_text("The prompt is empty. Paste a text, or drop a file.")
        page.evaluate(DROP_PROMPT, text)
        expect(form.get_by_label("Prompt", exact=True)).to_have_value(text)
        expect(form.get_by_label("Name of the file")).to_have_value("manual")
        form.get_by_role("button", name="Read it").click()
        expect(form.get_by_role("progressbar")).to_be_visible()
        done = form.get_by_role("status")
        expect(done).to_contain_text("tok/s", timeout=ANSWER_MS)
        expect(done).to_contain_text(str(file))
        expect(done.locator("div", has_text="Peak memory")).to_contain_text(re.compile(r"\d MB"))
        kept = read_bundle(file).run.end
        expect(done).to_contain_text(f"{kept:,}, ")

        form.get_by_role("button", name="Read it").click()
        expect(form.get_by_role("alert")).to_contain_text("A file of that name is there already.")
        expect(form.get_by_label("Prompt", exact=True)).to_have_value(text)
        form.get_by_label("Name of the file").fill("other")
        form.get_by_label("Prompt", exact=True).fill("something else that is longer. " * 300)
        form.get_by_role("button", name="Read it").click()
        form.get_by_role("button", name="Cancel").click()
        expect(form.get_by_role("alert")).to_have_text("Cancelled. Nothing was saved.")
        expect(form.get_by_label("Prompt", exact=True)).to_have_value(re.compile("something else"))
        assert not file.with_name("other.kv").exists()
        expect(page.get_by_role("tree")).to_contain_text("A prompt that was read into a file", timeout=SOON_MS)
        # Refusals are told by their status, which the browser notes by itself.
        visit.complaints = [each for each in visit.complaints if "400" not in each]
        visit.assert_quiet()
