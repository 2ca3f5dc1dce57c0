"""Answers as they were written: as plain text, with formulas that are copied as their source; and folds that stay as they were left."""

import pytest
from playwright.sync_api import expect

from tests.browser.visit import Visit

pytestmark = pytest.mark.browser
COPIED = """() => new Promise((done) => {
  document.addEventListener("copy", (event) => done(event.clipboardData.getData("text/plain")), { once: true });
  document.execCommand("copy");
})"""

FADES = "() => [...document.querySelectorAll('#history :is(.wide, div.formula)')].map((e) => getComputedStyle(e).maskImage !== 'none')"


def test_an_answer_is_shown_as_the_text_it_is_and_back(visit: Visit) -> None:
    page = visit.page
    asked = "**bold** and $x^2$ cost $5\n\n$$\n\\frac{a}{b}\n$$"
    answer = visit.ask(asked)
    expect(answer.locator(".answer-text strong")).to_have_text("bold")
    expect(answer.locator(".answer-text math")).to_have_count(2)
    assert page.evaluate("getComputedStyle(document.querySelector('#history div.formula math')).display") == "block math"
    answer.get_by_role("button", name="Show the answer as plain text").click()
    expect(answer.locator(".as-text")).to_have_text(f"You said: {asked}", use_inner_text=True)
    expect(answer.locator(".answer-text")).to_be_hidden()
    visit.ask("more")
    expect(visit.answers.first.locator(".as-text")).to_be_visible()
    visit.answers.first.hover()
    visit.answers.first.get_by_role("button", name="Show the answer as plain text").click()
    expect(visit.answers.first.locator(".as-text")).to_have_count(0)
    expect(visit.answers.first.locator(".answer-text strong")).to_be_visible()


def test_a_formula_is_copied_as_it_was_written_and_what_is_too_wide_fades_at_its_edge(visit: Visit) -> None:
    page = visit.page
    wide = "|" + "|".join(f" {'n' * 30} " for _ in range(6)) + "|\n" + "|---" * 6 + "|"
    answer = visit.ask(f"so \\(x^2\\) it is\n\n$$\\frac{{a}}{{b}}$$\n\n| a |\n|---|\n\n{wide}\n\n$${'+'.join('xyz' * 12)}$$")
    expect(answer.locator(".answer-text math")).to_have_count(3)
    assert page.evaluate(FADES) == [False, False, True, True]
    page.locator("#message").focus()
    answer.locator(".wide").last.press("ArrowRight")
    assert page.evaluate(FADES) == [False, False, False, True]
    expect(answer.locator(".wide").last).to_have_css("outline-style", "solid")
    page.evaluate("document.activeElement.blur()")
    page.evaluate("document.getSelection().selectAllChildren(document.querySelector('#history .answer-text'))")
    copied = page.evaluate(COPIED)
    assert "You said: so $x^2$ it is" in copied
    assert "$$\\frac{a}{b}$$" in copied


def test_thinking_stays_as_it_was_left(visit: Visit) -> None:
    page = visit.page
    visit.ask("hello")
    first = page.locator("#history .thinking").first
    expect(first).not_to_have_attribute("open", "")
    first.locator("summary").click()
    visit.ask("again")
    expect(first).to_have_attribute("open", "")
    visit.reload()
    expect(visit.answers).to_have_count(2)
    expect(first).to_have_attribute("open", "")
    expect(page.locator("#history .thinking").last).not_to_have_attribute("open", "")
