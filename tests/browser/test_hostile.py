"""Showing what a hostile model says: no script runs, nothing is fetched, nothing of the page changes."""

import pytest

from tests.browser.visit import Visit
from tests.ui.hostile import SNIPPETS

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PWNED = (
    "window.pwned === undefined && document.querySelectorAll('#history img, #history iframe, #history style, #history form').length === 0"
)


@pytest.mark.parametrize("start", range(0, len(SNIPPETS), 15))
def test_hostile_answers_run_nothing_and_fetch_nothing(visit: Visit, start: int) -> None:
    for number in range(start, min(start + 15, len(SNIPPETS))):
        visit.ask(f"hostile {number}")
        assert visit.page.evaluate(PWNED), SNIPPETS[number]
    for summary in visit.page.locator("#history summary").all():
        summary.click()
    visit.page.wait_for_timeout(300)
    assert visit.page.evaluate(PWNED)
    assert visit.page.url.startswith(visit.address)
    assert visit.page.locator("[data-chat-row]").count() >= 1


def test_hostile_messages_and_titles_are_shown_as_typed(visit: Visit) -> None:
    text = "<img src=x onerror='window.pwned = 1'> ${1} {{2}}"
    visit.ask(text)
    assert visit.page.locator(".ask .typed").inner_text() == text
    row = visit.page.locator(f"[data-chat-row='{visit.chat_id}'] a")
    assert "<img src=x" in row.inner_text()
    visit.page.locator("#history .answer [data-do=details]").click()
    visit.page.wait_for_timeout(300)
    assert visit.page.evaluate(PWNED)


def test_a_remote_image_is_a_link_that_loads_nothing(visit: Visit) -> None:
    visit.ask("hostile 3")
    link = visit.page.locator("#history .answer-text a.picture")
    assert link.inner_text() == "Open image: secret (trap.invalid)"
    assert link.get_attribute("target") == "_blank"
    assert "noopener" in (link.get_attribute("rel") or "")
