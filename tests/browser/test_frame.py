"""The frame: keys, themes, the narrow form, lists and settings, names for everything that can be pressed."""

import re

import pytest
from playwright.sync_api import Browser, ViewportSize, expect

from tests.browser.conftest import WIDE, ScriptedApp
from tests.browser.visit import Visit, a_word_of_its_own
from tests.fixtures.server import Running

pytestmark = [pytest.mark.browser, pytest.mark.integration]

NARROW = ViewportSize(width=390, height=844)


def test_the_keys_people_bring(real_visit: Visit) -> None:
    visit, page = real_visit, real_visit.page
    visit.ask("hello")
    page.locator("#message").press("Shift+Enter")
    expect(page.locator("#message")).to_have_value("\n")
    page.fill("#message", "")
    page.keyboard.press("Control+k")
    expect(page.get_by_role("searchbox", name="Search chats")).to_be_focused()
    page.keyboard.press("Shift+Escape")
    expect(page.locator("#message")).to_be_focused()
    page.keyboard.press("Control+b")
    expect(page.locator("#side")).to_be_hidden()
    page.get_by_role("button", name="Show the list of chats").click()
    expect(page.locator("#side")).to_be_visible()
    page.keyboard.press("Control+Shift+o")
    expect(page.locator(".ask")).to_have_count(0)
    expect(page.locator("#message")).to_be_focused()


def test_tabs_and_choices_follow_the_arrow_keys(real_visit: Visit) -> None:
    page = real_visit.page
    page.get_by_role("tab", name="Chat").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("heading", name="Models")).to_be_visible()
    page.get_by_role("tab", name="Chat").click()
    page.get_by_role("radio", name="Medium").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="High")).to_have_attribute("aria-checked", "true")


def test_the_theme_follows_the_system_until_one_is_chosen(chromium: Browser, real_app: Running) -> None:
    with Visit.to(chromium, real_app.address, WIDE, "dark") as visit:
        paper = "getComputedStyle(document.body).backgroundColor"
        assert visit.page.evaluate(paper) == "rgb(20, 20, 23)"
        visit.page.get_by_role("radio", name="Light").first.click()
        assert visit.page.evaluate(paper) == "rgb(251, 250, 247)"
        visit.reload()
        assert visit.page.evaluate(paper) == "rgb(251, 250, 247)"
        visit.page.get_by_role("radio", name="As the system").first.click()
        assert visit.page.evaluate(paper) == "rgb(20, 20, 23)"
        visit.assert_quiet()


def test_a_reload_comes_back_to_the_tab_and_its_part_and_an_address_to_the_chat(chromium: Browser, scripted_app: ScriptedApp) -> None:
    with Visit.to(chromium, scripted_app.address, WIDE) as visit:
        page = visit.page
        for view in ("Settings", "Cache", "Models"):
            page.get_by_role("tab", name=view, exact=True).click()
            visit.reload()
            expect(page.get_by_role("tab", name=view, exact=True)).to_have_attribute("aria-selected", "true")
        page.get_by_role("tab", name="Trash").click()
        visit.reload()
        expect(page.get_by_role("tab", name="Trash")).to_have_attribute("aria-selected", "true")
        expect(page.locator("#models-view")).to_be_visible()
        visit.go(scripted_app.address)
        expect(page.get_by_role("tab", name="Chat")).to_have_attribute("aria-selected", "true")
        visit.assert_quiet()


@pytest.mark.parametrize("view", ["Chat", "Models", "Cache", "Settings"])
def test_nothing_is_wider_than_a_telephone(chromium: Browser, scripted_app: ScriptedApp, view: str) -> None:
    with Visit.to(chromium, scripted_app.address, NARROW) as visit:
        visit.ask("call it")
        visit.page.get_by_role("tab", name=view).click()
        visit.page.wait_for_timeout(300)
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= 390
        assert visit.page.evaluate("[...document.querySelectorAll('#scroll, .sheet')].every(e => e.scrollWidth <= e.clientWidth + 1)")
        visit.assert_quiet()


def test_the_side_panels_are_sheets_on_a_telephone(chromium: Browser, real_app: Running) -> None:
    with Visit.to(chromium, real_app.address, NARROW) as visit:
        expect(visit.page.locator("#side")).to_be_hidden()
        visit.page.get_by_role("button", name="Show the list of chats").click()
        expect(visit.page.locator("#side")).to_be_visible()
        visit.page.get_by_role("radio", name="Dark").click()
        assert visit.page.evaluate("document.documentElement.dataset.theme") == "dark"
        expect(visit.page.get_by_role("radio", name="Dark")).to_have_attribute("aria-checked", "true")
        visit.page.mouse.click(380, 500)
        expect(visit.page.locator("#side")).to_be_hidden()


# A button and a tab that are to come.
MORE = """() => {
  const [panel, cache] = ['.panel-open', '#tab-cache'].map((each) => document.querySelector(each));
  panel.before(panel.cloneNode(true));
  cache.before(Object.assign(cache.cloneNode(true), { id: 'tab-more' }));
}"""


def test_on_a_telephone_nothing_covers_or_cuts_what_is_beside_it(chromium: Browser, scripted_app: ScriptedApp) -> None:
    with Visit.to(chromium, scripted_app.address, NARROW) as visit:
        page = visit.page

        def box(selector: str) -> dict[str, float]:
            found = page.locator(selector).last.bounding_box()
            assert found
            return {"left": found["x"], "right": found["x"] + found["width"], "top": found["y"], "bottom": found["y"] + found["height"]}

        word = a_word_of_its_own()
        visit.ask(f"lines and {word} " + "which goes on and on " * 20)
        page.evaluate(MORE)
        page.wait_for_timeout(200)
        assert page.locator(".pill-face .short").evaluate("e => e.scrollWidth <= e.clientWidth && e.textContent") == "Starter"
        assert box(".side-open")["right"] <= box(".tabs")["left"] < box(".tabs")["right"] <= box("#pill")["left"]
        assert box("#pill")["right"] <= box(".ends")["left"] and box(".ends")["right"] <= 390
        assert page.locator(".tabs").evaluate("e => getComputedStyle(e).maskImage") != "none"
        page.get_by_role("tab", name="Settings").click()
        page.wait_for_timeout(200)
        assert box(".tabs")["left"] <= box("#tab-settings")["left"] < box("#tab-settings")["right"] <= box(".tabs")["right"]
        page.get_by_role("tab", name="Chat").click()

        page.locator("#scroll").evaluate("e => e.scrollTo(0, 0)")
        expect(page.get_by_role("button", name="Jump to the latest")).to_be_visible()
        assert box(".latest")["bottom"] <= box("#meter .sending")["top"]

        page.get_by_role("button", name="Show the list of chats").click()
        page.get_by_role("searchbox", name="Search chats").fill(word)
        expect(page.locator(".place")).not_to_have_count(0)
        lines = "e => [e.firstElementChild.clientHeight, e.firstElementChild.scrollHeight, parseFloat(getComputedStyle(e).lineHeight)]"
        [shown, whole, line] = page.locator(".place").first.evaluate(lines)
        assert whole > shown and abs(shown - 2 * line) < 2
        visit.assert_quiet()


def test_every_control_has_a_name(visit: Visit) -> None:
    visit.ask("call it")
    visit.page.locator(".panel-open").click()
    unnamed = visit.page.evaluate(
        """() => [...document.querySelectorAll('#app :is(button, input, textarea, select, a)')]
            .filter((e) => !(e.getAttribute('aria-label') || e.labels?.length || e.textContent.trim() || e.title))
            .map((e) => e.outerHTML.slice(0, 120))"""
    )
    assert unnamed == []


def test_a_chat_is_found_renamed_deleted_and_brought_back(real_visit: Visit) -> None:
    visit, page = real_visit, real_visit.page
    word = a_word_of_its_own()
    visit.ask(f"a very particular {word}")
    row = page.locator(f"[data-chat-row='{visit.chat_id}']")
    row.hover()
    row.get_by_role("button", name=re.compile("^Rename")).click()
    page.get_by_role("textbox", name="New title").fill("Stripes")
    page.keyboard.press("Enter")
    expect(row.locator("a")).to_have_text("Stripes")
    page.get_by_role("searchbox", name="Search chats").fill(word)
    expect(page.locator("[data-chat-row]")).to_have_count(1)
    expect(page.locator(".place mark").first).to_have_text(word)
    page.get_by_role("button", name="New chat").click()
    page.locator(".place").first.click()
    expect(page.locator(".ask .typed")).to_have_text(f"a very particular {word}")
    page.get_by_role("searchbox", name="Search chats").fill("no such words anywhere")
    expect(page.locator("#chats")).to_contain_text("No chat holds these words.")
    page.get_by_role("searchbox", name="Search chats").fill("")
    row.hover()
    row.get_by_role("button", name=re.compile("^Delete")).click()
    expect(row).to_have_count(0)
    expect(page.locator("#say")).to_contain_text("Deleted “Stripes”.")
    page.get_by_role("button", name="Undo").click()
    expect(row).to_have_count(1)


# A search is asked for a moment after it was typed: the title is being typed by then.
SEARCH_AND_RENAME = """(chat) => {
  const search = document.querySelector("#search");
  search.value = "no such words anywhere";
  search.dispatchEvent(new Event("input", { bubbles: true }));
  document.querySelector(`[data-chat-row="${chat}"] [data-do=rename]`).click();
}"""


def test_a_title_that_is_being_typed_outlasts_a_new_list(real_visit: Visit) -> None:
    visit, page = real_visit, real_visit.page
    visit.ask("the first title")
    page.evaluate(SEARCH_AND_RENAME, visit.chat_id)
    box = page.get_by_role("textbox", name="New title")
    box.fill("Half a ti")
    page.wait_for_timeout(1500)
    expect(box).to_have_value("Half a ti")
    box.press("Escape")
    expect(page.locator("#chats")).to_contain_text("No chat holds these words.")


def test_a_list_that_another_has_overtaken_is_not_drawn(real_visit: Visit) -> None:
    visit, page = real_visit, real_visit.page
    word = a_word_of_its_own()
    visit.ask(f"a very particular {word}")
    page.get_by_role("searchbox", name="Search chats").fill(word)
    expect(page.locator("[data-chat-row]")).to_have_count(1)
    page.evaluate("""() => {
      const props = { value: `<nav class="chats" data-key="chats" data-asked="1"><p data-key="none">Late</p></nav>` };
      harmony.surface("chats", document.querySelector("#chats"), props, () => {});
    }""")
    expect(page.locator("[data-chat-row]")).to_have_count(1)
    expect(page.locator("#chats")).not_to_contain_text("Late")


def test_settings_act_and_say_what_cannot_be_used(real_visit: Visit) -> None:
    page = real_visit.page
    page.get_by_role("tab", name="Settings").click()
    expect(page.get_by_role("heading", name="Appearance")).to_be_visible()
    page.get_by_label("Instructions", exact=True).last.fill("Speak plainly.")
    page.keyboard.press("Tab")
    page.get_by_label("Model folders").fill("/no/such/folder")
    page.keyboard.press("Tab")
    expect(page.locator("#settings-view .notice")).to_contain_text("There is no folder")
    page.get_by_role("tab", name="Chat").click()
    page.get_by_role("button", name="New chat").click()
    page.locator(".panel-open").click()
    page.locator("#panel-head [data-panel=prompt]").click()
    expect(page.locator("#instructions")).to_have_value("Speak plainly.")
    page.get_by_role("tab", name="Settings").click()
    page.get_by_label("Instructions", exact=True).last.fill("")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Instructions", exact=True).last).to_have_value("")


def test_a_chat_that_is_gone_says_so(chromium: Browser, real_app: Running) -> None:
    with Visit.to(chromium, real_app.address, WIDE) as visit:
        visit.open("/#chat=0123456789abcdef")
        expect(visit.page.locator("#say")).to_have_text("That chat is no longer there.")
        expect(visit.page.get_by_role("heading", name="What shall we work on?")).to_be_visible()
        visit.ask("hello")
        visit.assert_quiet()


def test_options_set_right_after_new_chat_are_kept(visit: Visit, scripted_app: ScriptedApp) -> None:
    visit.page.locator(".panel-open").click()
    visit.ask("hello")
    visit.page.get_by_role("button", name="New chat").click()
    visit.page.get_by_role("slider", name="Temperature").fill("0.5")
    visit.page.get_by_role("button", name="Offer the Python tool").click()
    visit.ask("hello again")
    request = scripted_app.provider.engine.requests[-1]
    assert request.sampling.temperature == 0.5
    assert [tool.kind for tool in request.prompt.tools] == ["python"]  # type: ignore[union-attr]
    visit.ask("and again")
    assert scripted_app.provider.engine.requests[-1].sampling.temperature == 0.5
