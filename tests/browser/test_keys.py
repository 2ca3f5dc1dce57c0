"""Everything by keys: the sheet of shortcuts, menus, lists and choices; where the focus is after each; what a screen reader hears."""

import re

import pytest
from playwright.sync_api import Browser, Locator, ViewportSize, expect

from mlx_harmony_ui.shortcuts import GROUPS
from tests.browser.conftest import WIDE, ScriptedApp
from tests.browser.visit import Visit
from tests.fixtures.server import Running

pytestmark = [pytest.mark.browser, pytest.mark.integration]

NARROW = ViewportSize(width=390, height=844)


def chats(visit: Visit, *texts: str) -> None:
    for text in texts:
        visit.page.keyboard.press("Control+Shift+o")
        visit.ask(text)


def link(visit: Visit, title: str) -> Locator:
    return visit.page.locator("[data-chat-row] > a:first-of-type", has_text=re.compile(f"^{title}$")).first


def test_the_sheet_of_shortcuts_keeps_the_focus_and_gives_it_back(real_visit: Visit) -> None:
    page = real_visit.page
    sheet = page.get_by_role("dialog", name="Keyboard shortcuts")
    page.locator("#message").press("Control+/")
    expect(sheet).to_be_visible()
    for group in GROUPS:
        expect(sheet.get_by_role("heading", name=group.name)).to_be_visible()
    assert sheet.locator("dt").all_inner_texts() == [shortcut.does for group in GROUPS for shortcut in group.shortcuts]
    for _ in range(4):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || Boolean(document.activeElement.closest('dialog'))")
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    expect(page.locator("#message")).to_be_focused()
    button = page.get_by_role("button", name="Keyboard shortcuts")
    button.press("Enter")
    page.get_by_role("button", name="Close").press("Enter")
    expect(button).to_be_focused()
    button.press("?")
    expect(sheet).to_be_visible()
    page.keyboard.press("Control+/")
    expect(sheet).to_be_hidden()
    page.locator("#message").press("?")
    expect(sheet).to_be_hidden()


def test_keys_of_the_browser_stay_the_browsers(real_visit: Visit) -> None:
    visit = real_visit
    visit.page.evaluate("addEventListener('keydown', (event) => { window.taken = event.defaultPrevented; })")
    for key in ("n", "r", "t", "w"):
        visit.page.evaluate(
            "(key) => document.querySelector('#message').dispatchEvent(new KeyboardEvent('keydown', "
            "{ key, ctrlKey: true, bubbles: true, cancelable: true }))",
            key,
        )
        assert visit.page.evaluate("window.taken") is False


def test_menus_are_led_through_by_arrows_and_give_the_focus_back(real_visit: Visit) -> None:
    page = real_visit.page
    more = page.get_by_role("button", name="Export and import")
    more.press("Enter")
    expect(more).to_have_attribute("aria-expanded", "true")
    expect(page.get_by_role("menuitem", name="Export this chat as Markdown")).to_be_focused()
    page.keyboard.press("End")
    expect(page.get_by_role("menuitem", name="Import chats")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("menuitem", name="Export this chat as JSON")).to_be_focused()
    page.keyboard.press("i")
    expect(page.get_by_role("menuitem", name="Import chats")).to_be_focused()
    page.keyboard.press("Escape")
    expect(more).to_be_focused()
    expect(page.get_by_role("menu")).to_have_count(0)
    pill = page.locator(".pill-face")
    pill.press("ArrowDown")
    expect(page.get_by_role("menuitemradio", name="Starter")).to_be_focused()
    page.keyboard.press("Tab")
    expect(pill).to_have_attribute("aria-expanded", "false")


def test_the_list_of_chats_works_by_keys_and_the_focus_stays_in_it(real_visit: Visit) -> None:
    visit, page = real_visit, real_visit.page
    chats(visit, "keys one", "keys two", "keys three")
    page.keyboard.press("Control+k")
    page.keyboard.type("keys")
    expect(page.locator(".chats.found")).to_be_visible()
    page.fill("#search", "")
    expect(page.locator(".chats.found")).to_have_count(0)
    page.keyboard.press("ArrowDown")
    expect(link(visit, "keys three")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(link(visit, "keys two")).to_be_focused()
    page.keyboard.press("F2")
    page.keyboard.type("Renamed")
    page.keyboard.press("Enter")
    expect(link(visit, "Renamed")).to_be_focused()
    page.keyboard.press("Delete")
    expect(link(visit, "Renamed")).to_have_count(0)
    expect(link(visit, "keys one")).to_be_focused()
    page.keyboard.press("Control+z")
    expect(link(visit, "Renamed")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator(".ask .typed")).to_have_text("keys one")
    assert page.evaluate("[...document.querySelectorAll('[data-chat-row] > a')].filter((each) => each.tabIndex === 0).length") == 1


def test_of_each_group_one_choice_is_in_the_tab_order(real_visit: Visit) -> None:
    page = real_visit.page
    page.locator(".panel-open").click()
    stops = """(role) => [...document.querySelectorAll(`#app [role=${role}]`)]
        .map((group) => group.querySelectorAll('[role=tab][tabindex="0"], [role=radio][tabindex="0"]').length)"""
    assert set(page.evaluate(stops, "tablist")) == {1}
    assert set(page.evaluate(stops, "radiogroup")) == {1}
    page.locator("#panel-tuning").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#panel-prompt")).to_be_focused()
    expect(page.locator("#instructions")).to_be_visible()
    page.keyboard.press("End")
    expect(page.locator("#panel-details")).to_have_attribute("aria-selected", "true")


def test_deleting_and_regenerating_leave_the_focus_where_one_goes_on(real_visit: Visit) -> None:
    visit, page = real_visit, real_visit.page
    visit.ask("one")
    visit.ask("two")
    page.locator("#history .answer").last.get_by_role("button", name="Delete this answer").press("Enter")
    expect(visit.answers).to_have_count(1)
    assert page.evaluate("document.activeElement.closest('#history, #composer') !== null")
    page.locator("#history .answer").first.get_by_role("button", name="Answer again").press("Enter")
    visit.finished(1)
    assert page.evaluate("document.activeElement.closest('#history, #composer') !== null")


def test_a_sheet_of_a_narrow_screen_is_shut_by_escape_and_only_one_is_open(chromium: Browser, real_app: Running) -> None:
    with Visit.to(chromium, real_app.address, NARROW) as visit:
        page = visit.page
        page.locator(".panel-open").press("Enter")
        expect(page.locator("#panel")).to_be_visible()
        page.get_by_role("button", name="Show the list of chats").press("Enter")
        expect(page.locator("#side")).to_be_visible()
        expect(page.locator("#panel")).to_be_hidden()
        page.keyboard.press("Escape")
        expect(page.locator("#side")).to_be_hidden()
        expect(page.get_by_role("button", name="Show the list of chats")).to_be_focused()
        visit.assert_quiet()


def test_a_page_at_twice_its_size_still_has_everything(chromium: Browser, scripted_app: ScriptedApp) -> None:
    with Visit.to(chromium, scripted_app.address, ViewportSize(width=720, height=450)) as visit:
        visit.ask("voices")
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= 720
        expect(visit.page.locator("#message")).to_be_in_viewport()
        for view in ("Models", "Cache", "Settings", "Chat"):
            visit.page.get_by_role("tab", name=view).click()
            assert visit.page.evaluate("[...document.querySelectorAll('#scroll, .sheet')].every(e => e.scrollWidth <= e.clientWidth + 1)")
        visit.assert_quiet()


def test_a_screen_reader_hears_sentences_once_and_no_tokens(visit: Visit) -> None:
    page = visit.page
    page.evaluate("""() => {
        window.heard = [];
        const hear = ({ addedNodes }) => addedNodes.forEach((node) => window.heard.push(node.textContent));
        new MutationObserver((changes) => changes.forEach(hear)).observe(document.querySelector('#said'), { childList: true });
    }""")
    assert page.locator("#said").get_attribute("role") == "log"
    assert page.locator("#history [aria-live], #live [aria-live], #history [role=log]").count() == 0
    visit.send("voices")
    expect(page.locator("#status")).to_have_text("The model is thinking.")
    visit.finished(1)
    expect(page.locator("#status")).to_have_text("The answer is complete.")
    heard = page.evaluate("window.heard")
    assert heard[:2] == ["I will look at the moons first.", "The model asks for the tool python."]
    assert "Planet, Moons; Mars, 2" in heard and "Code, 2 lines." in heard
    assert " ".join(heard).count("A sentence with weight") == 1
    assert [text for text in heard if not re.match("[A-Zx]", text)] == []
    visit.send("loading")
    expect(page.locator("#status")).to_contain_text("Loading the model", timeout=10_000)
    page.keyboard.press("Escape")
    visit.finished(2)
    expect(page.locator("#status")).to_have_text("Stopped")


def test_nothing_moves_for_those_who_want_it_still(chromium: Browser, scripted_app: ScriptedApp) -> None:
    with Visit.to(chromium, scripted_app.address, WIDE) as visit:
        visit.page.emulate_media(reduced_motion="reduce")
        visit.send("loading")
        visit.live.locator(".pulse").wait_for()
        visit.page.keyboard.press("Control+/")
        moving = "document.getAnimations().filter((each) => each.playState === 'running' && each.timeline === document.timeline).length"
        assert visit.page.evaluate(moving) == 0
        visit.page.keyboard.press("Escape")
        visit.page.keyboard.press("Escape")
        visit.finished(1)
