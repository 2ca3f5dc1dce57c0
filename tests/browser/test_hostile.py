"""Showing what is hostile, wherever it stands: no script runs, nothing is fetched, nothing of the page changes."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import WIDE, ScriptedApp
from tests.browser.hostile_file import BATCHES, PAIRS, chat_id, hostile_file
from tests.browser.visit import Visit
from tests.fixtures.server import Running
from tests.ui.hostile import CLASSES, IMAGES, SNIPPETS

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# Set before anything of the page runs: whatever a script would do to be noticed, and every policy that stopped one at the last moment.
TRAP = """
    window.caught = [];
    Object.defineProperty(window, 'pwned', { set: (value) => window.caught.push(`pwned ${value}`), get: () => undefined });
    for (const name of ['alert', 'confirm', 'prompt', 'open']) window[name] = (...all) => void window.caught.push(`${name} ${all}`);
    document.addEventListener('securitypolicyviolation', (event) => window.caught.push(`${event.violatedDirective} ${event.blockedURI}`));
"""
# What no text may become: elements that load, run, lead away or stand for the page's own; handlers; addresses that are none of the web's.
ODD = """() => {
    const known = ['composer-form', 'preset-form', 'get-form', 'compare-form', 'disk-filter', 'profile-form', 'revision-form',
        'shortcuts-sheet', 'replay-question', 'cache-question', 'empty-trash', 'empty-models', 'removal-question',
        'jobs-open', 'jobs-close'];
    const ours = (element) => known.includes(element.id);
    const odd = [...document.querySelectorAll(`#app :is(script, img, iframe, object, embed, style, link, base, meta, video, audio, source,
        portal, applet, frame, marquee, template, slot, area, map, picture, foreignObject, use, image, animate, set, maction, dialog,
        form)`)]
        .filter((element) => !ours(element)).map((element) => element.outerHTML.slice(0, 200));
    for (const element of document.querySelectorAll('#app *')) {
        for (const { name, value } of element.attributes) {
            const address = ['href', 'src', 'srcset', 'action', 'formaction', 'ping', 'data', 'background', 'poster'].includes(name);
            const focusing = name === 'autofocus' && !ours(element.closest('dialog') ?? element);
            const leading = address && !/^(https?:|mailto:|#)/.test(value);
            if (/^on/.test(name) || (/popovertarget/.test(name) && !ours(element)) || focusing || leading) odd.push(`${name}=${value}`);
            if (name === 'style' && /url|image-set|expression/.test(value)) odd.push(`${name}=${value}`);
        }
    }
    const ids = [...document.querySelectorAll('[id]')].map((element) => element.id);
    return [...window.caught, ...odd, ...ids.filter((id, at) => ids.indexOf(id) !== at)];
}"""


@pytest.fixture
def trapped(chromium: Browser, scripted_app: ScriptedApp) -> Iterator[Visit]:
    """A visitor under whom the trap lies from the first moment."""
    with Visit.to(chromium, scripted_app.address, WIDE, first=TRAP) as visitor:
        yield visitor
        assert_harmless(visitor)


@pytest.fixture
def really_trapped(chromium: Browser, real_app: Running) -> Iterator[Visit]:
    """The same, of the real app."""
    with Visit.to(chromium, real_app.address, WIDE, first=TRAP) as visitor:
        yield visitor
        assert_harmless(visitor)


def assert_harmless(visit: Visit) -> None:
    assert visit.page.evaluate(ODD) == []
    assert visit.page.url.startswith(visit.address)
    visit.assert_quiet()


def test_there_are_enough_snippets_to_believe_the_rest() -> None:
    assert len(set(SNIPPETS)) == len(SNIPPETS) >= 150


def test_the_trap_catches_what_it_should(chromium: Browser, scripted_app: ScriptedApp) -> None:
    with Visit.to(chromium, scripted_app.address, WIDE, first=TRAP) as visit:
        visit.page.evaluate(
            "document.querySelector('#live').innerHTML = '<img src=http://trap.invalid/x onerror=window.pwned=1><form></form>'"
        )
        visit.page.wait_for_timeout(300)
        found = " ".join(visit.page.evaluate(ODD))
        assert "script-src-attr" in found and "img-src" in found and "<form>" in found and "onerror=" in found
        assert visit.complaints


def test_a_hostile_file_is_harmless_in_every_place_of_the_page(really_trapped: Visit) -> None:
    page = really_trapped.page
    file = {"name": "<img src=x onerror=window.pwned=1>.json", "mimeType": "application/json", "buffer": hostile_file()}
    page.locator("#import").set_input_files(file)  # type: ignore[arg-type]
    older = page.locator("#chats .older")
    older.click(timeout=30_000)
    expect(page.locator("[data-chat-row]").nth(150)).to_be_attached()
    while older.count():
        older.click()
        page.wait_for_timeout(400)
    expect(page.locator("[data-chat-row^=face]")).to_have_count(len(SNIPPETS), timeout=30_000)
    assert_harmless(really_trapped)
    page.locator(".panel-open").click()
    for number, batch in enumerate(BATCHES):
        page.evaluate(f"location.hash = 'chat={chat_id(number)}'")
        expect(page.locator(f"#history [data-message={chat_id(number)}b{len(batch) - 1:02x}]")).to_be_attached(timeout=10_000)
        look_into(page)
        assert_harmless(really_trapped)
        assert page.evaluate("document.querySelectorAll('#history .ask').length") == len(batch) <= PAIRS


def look_into(page: Page) -> None:
    """Unfold everything, and see how two of the answers were made, raw too."""
    page.evaluate("document.querySelectorAll('#history details').forEach((fold) => { fold.open = true; })")
    for panel, button in (("prompt", 0), ("details", -1)):
        page.locator(f"#panel-{panel}").click()
        page.evaluate(f"[...document.querySelectorAll('#history [data-do=details]')].at({button}).click()")
        page.wait_for_timeout(200)


def test_hostile_words_are_harmless_to_search_for_and_as_a_title(really_trapped: Visit) -> None:
    page = really_trapped.page
    really_trapped.ask("<img src=x onerror='window.pwned = 1'> ${1} {{2}}")
    assert page.locator(".ask .typed").inner_text() == "<img src=x onerror='window.pwned = 1'> ${1} {{2}}"
    row = page.locator(f"[data-chat-row='{really_trapped.chat_id}']")
    for snippets in CLASSES.values():
        page.fill("#search", snippets[0])
        page.wait_for_timeout(260)
    page.fill("#search", "onerror")
    expect(page.locator("#chats mark").first).to_have_text("onerror")
    assert_harmless(really_trapped)
    page.fill("#search", "")
    expect(page.locator(".chats.found")).to_have_count(0)
    expect(row.locator("a")).to_contain_text("<img src=x")
    row.hover()
    row.get_by_role("button", name="Rename").click()
    page.get_by_role("textbox", name="New title").fill("\"><svg onload=window.pwned=1> ' onfocus=window.pwned=1")
    page.keyboard.press("Enter")
    expect(row.locator("a")).to_contain_text("<svg onload")


def test_hostile_answers_are_harmless_while_they_are_written(trapped: Visit) -> None:
    for snippets in CLASSES.values():
        trapped.ask(f"hostile {SNIPPETS.index(snippets[0])}")
        assert_harmless(trapped)


def test_a_remote_image_is_a_link_that_loads_nothing(visit: Visit) -> None:
    visit.ask(f"hostile {SNIPPETS.index(IMAGES[0])}")
    link = visit.page.locator("#history .answer-text a.picture")
    assert link.inner_text() == "Open image: secret (trap.invalid)"
    assert link.get_attribute("target") == "_blank"
    assert "noopener" in (link.get_attribute("rel") or "")
