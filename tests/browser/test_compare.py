"""Compare in a browser: two models answer one prompt side by side, one answer is kept; every state of the part is within reach."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect

from tests.browser.conftest import OFFLINE, WIDE, ScriptedApp
from tests.browser.test_hostile import TRAP, assert_harmless
from tests.browser.test_reach import NARROW, Inspection
from tests.browser.visit import ANSWER_MS, Scheme, Visit, a_word_of_its_own
from tests.fixtures.server import Running, serving
from tests.ui.hostile import CLASSES, SNIPPETS

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# `together`: both sides were seen to hold text while both were still being written; `done`: the answers that came to their end.
WATCH = """() => { Object.assign(window, { together: false, done: new Set() }); new MutationObserver(() => {
    const answers = (busy) => [...document.querySelectorAll(`.compare-side .answer[aria-busy=${busy}]`)];
    window.together ||= answers(true).filter((each) => each.querySelector(".md")).length === 2;
    for (const each of answers(false)) window.done.add(each.dataset.key);
}).observe(document.body, { childList: true, subtree: true, attributes: true, characterData: true }); }"""
ODD_NAME = "\"><img src=x onerror='window.pwned=1'> ${1} {{2}}"


@pytest.fixture(scope="module")
def two_models(tmp_path_factory: pytest.TempPathFactory, fx1: Path) -> Iterator[Running]:
    """`mlx-harmony serve` with the Starter and a tiny Llama."""
    folder = tmp_path_factory.mktemp("compare")
    shutil.copytree(fx1, folder / "models" / "tiny-llama")
    with serving(folder / "home", "--models-dir", str(folder / "models"), environment=OFFLINE) as server:
        yield server


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, fx1: Path) -> Iterator[ScriptedApp]:
    """One whose second model has a hostile name."""
    folder = tmp_path_factory.mktemp("compare")
    shutil.copytree(fx1, folder / "models" / ODD_NAME)
    made = ScriptedApp(folder / "home").start()
    assert made.service
    made.do(made.service.change_settings(models_dirs=(str(folder / "models"),)))
    yield made
    made.stop()


def open_compare(page: Page) -> None:
    page.get_by_role("tab", name="Models", exact=True).click()
    page.get_by_role("tab", name="Compare", exact=True).click()
    expect(page.get_by_label("First model", exact=True)).to_have_value("starter")


def side(page: Page, name: str) -> Locator:
    return page.locator(f"#compare-{name} .compare-side")


def compare(page: Page, text: str) -> None:
    page.get_by_label("Prompt for both models").fill(text)
    page.keyboard.press("Enter")
    expect(page.locator(".compare-prompt")).to_have_text(text)


def seen_together(page: Page, text: str) -> None:
    """Compare until both were seen growing at once: the first time one has answered while the other is still being loaded."""
    page.evaluate(WATCH)
    for times in range(1, 11):
        compare(page, text)
        page.wait_for_function(f"window.done.size === {2 * times}", timeout=ANSWER_MS)
        if page.evaluate("window.together"):
            return
    raise AssertionError("the two sides were never written at the same time")


def test_two_models_answer_side_by_side_and_one_answer_is_kept(chromium: Browser, two_models: Running) -> None:
    word = a_word_of_its_own()
    prompt = f"My cat is called {word}. Please remember that."
    with Visit.to(chromium, two_models.address, WIDE) as visit:
        page = visit.page
        open_compare(page)
        expect(page.locator("#compare-asked .nothing")).to_contain_text("One prompt, two answers")
        expect(page.get_by_label("Second model", exact=True)).to_have_value("tiny-llama")
        page.get_by_label("Temperature, first model").fill("0")
        page.get_by_label("Seed, second model").fill("7")
        page.get_by_label("Longest answer, second model").fill("600")
        seen_together(page, prompt)
        for name, told in (
            ("left", "Temperature 0 · medium effort"),
            ("right", "Temperature 1 · seed 7 · medium effort · at most 600 tokens"),
        ):
            expect(side(page, name).locator(".figures")).to_contain_text("tok/s", timeout=ANSWER_MS)
            expect(side(page, name).locator(".figures")).to_contain_text("first token")
            expect(side(page, name).locator("header + p")).to_have_text(told)
        expect(page.locator("#compare-go")).to_be_visible()

        said = side(page, "left").locator(".answer-text").inner_text()
        side(page, "left").get_by_role("button", name="Keep this answer of Starter").click()
        expect(page.locator("#history .ask .typed")).to_have_text(prompt)
        assert visit.finished(1).locator(".answer-text").inner_text() == said
        expect(page.locator("[data-chat-row]").filter(has_text=word)).to_have_count(1)
        visit.ask("What is my cat called?")

        page.get_by_role("tab", name="Models", exact=True).click()
        side(page, "left").get_by_role("button", name="Kept: open the chat").click()
        expect(page.locator("#history .ask")).to_have_count(2)
        page.get_by_role("button", name="Trash", exact=True).click()
        expect(page.locator("#trash-view")).to_contain_text(word)
        visit.assert_quiet()


def test_a_side_and_then_both_are_stopped_and_a_bad_number_is_refused(chromium: Browser, app: ScriptedApp) -> None:
    with Visit.to(chromium, app.address, WIDE) as visit:
        page = visit.page
        open_compare(page)
        compare(page, "long one")
        expect(side(page, "right").locator(".answer-text")).to_be_visible()
        side(page, "right").get_by_role("button", name=re.compile("^Stop")).click()
        expect(side(page, "right").locator(".notice")).to_have_text("Stopped")
        expect(side(page, "left").locator(".answer[aria-busy=true]")).to_be_visible()
        page.keyboard.press("Escape")
        expect(side(page, "left").locator(".notice")).to_have_text("Stopped")
        expect(page.locator("#compare-go")).to_be_visible()

        page.get_by_label("Temperature, second model").fill("9")
        page.get_by_role("button", name="Compare", exact=True).click()
        expect(page.locator("#models-say")).to_contain_text("temperature must be 0 to 2")
        expect(page.get_by_label("Prompt for both models")).to_have_value("long one")
        visit.assert_quiet()


def test_a_comparison_goes_on_over_a_reload_and_stands_there_when_it_is_done(chromium: Browser, app: ScriptedApp) -> None:
    with Visit.to(chromium, app.address, WIDE) as visit:
        page = visit.page
        open_compare(page)
        page.get_by_label("Seed, second model").fill("7")
        compare(page, "long one")
        for name in ("left", "right"):
            expect(side(page, name).locator(".answer-text")).to_be_visible()
        visit.reload()
        expect(page.locator(".compare-prompt")).to_have_text("long one")
        expect(page.get_by_label("Seed, second model")).to_have_value("7")
        expect(side(page, "left").locator(".answer[aria-busy=true]")).to_be_visible()
        side(page, "left").get_by_role("button", name=re.compile("^Stop")).click()
        expect(side(page, "left").locator(".notice")).to_have_text("Stopped")
        expect(side(page, "right").get_by_role("button", name=re.compile("^Keep this answer"))).to_be_visible(timeout=ANSWER_MS)
        expect(side(page, "right").locator(".notice")).to_have_count(0)

        side(page, "right").get_by_role("button", name=re.compile("^Keep this answer")).click()
        expect(page.locator("#history .ask .typed")).to_have_text("long one")
        page.get_by_role("tab", name="Models", exact=True).click()
        visit.reload()
        page.get_by_role("tab", name="Compare", exact=True).click()
        expect(side(page, "left").get_by_role("button", name=re.compile("^Keep this answer"))).to_be_visible()
        # A program that was started anew knows only what the chats hold.
        page.evaluate("sessionStorage.setItem('compare-id', 'of another program')")
        visit.reload()
        expect(page.locator(".compare-prompt")).to_have_text("long one")
        expect(side(page, "left").locator(".notice")).to_have_text("Stopped")
        side(page, "right").get_by_role("button", name="Kept: open the chat").click()
        expect(page.locator("#history .ask .typed")).to_have_text("long one")
        visit.assert_quiet()


def test_what_models_say_and_are_called_stays_text(chromium: Browser, app: ScriptedApp) -> None:
    with Visit.to(chromium, app.address, WIDE, first=TRAP) as visit:
        open_compare(visit.page)
        expect(visit.page.get_by_label("Second model", exact=True)).to_have_value(ODD_NAME)
        for snippets in list(CLASSES.values())[::3]:
            compare(visit.page, f"hostile {SNIPPETS.index(snippets[0])}")
            expect(visit.page.locator(".compare-side .answer[aria-busy=false]")).to_have_count(2)
        assert_harmless(visit)
        expect(side(visit.page, "right").locator("h2")).to_contain_text("<img src=x")
        compare(visit.page, SNIPPETS[0])
        assert_harmless(visit)


@pytest.mark.parametrize(("scheme", "size"), [("light", WIDE), ("dark", NARROW)], ids=["light", "dark and narrow"])
def test_no_state_of_the_part_has_a_serious_fault(chromium: Browser, app: ScriptedApp, scheme: Scheme, size: ViewportSize) -> None:
    with Visit.to(chromium, app.address, size, scheme) as visit:
        page, round_ = visit.page, Inspection(visit, size["width"])
        open_compare(page)
        round_.look("nothing compared")
        states = {"loading": ".progress progress", "voices": ".figures dd", "crash": ".notice.warn", "long one": ".answer-text"}
        for words, state in states.items():
            compare(page, words)
            expect(page.locator(f".compare-side {state}").first).to_be_visible()
            round_.look(words)
            # What is over by now, on a busy machine, is left as it is.
            page.keyboard.press("Escape")
            expect(page.locator("#compare-go")).to_be_visible()
        round_.look("stopped")
        assert round_.found == []
        visit.assert_quiet()
