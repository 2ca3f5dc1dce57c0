"""A chat longer than its context, with the Starter: what the model no longer sees is said, and the meter stays right while it sleeps."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.visit import Visit

ON_ONE_LINE = """(texts) => {
  const parts = [document.querySelector("#meter .cost"), document.querySelector("#meter .meter span")];
  const before = parts.map((part) => part.textContent);
  if (texts) parts.forEach((part, at) => { part.textContent = texts[at]; });
  const [cost, meter] = parts.map((part) => part.getBoundingClientRect());
  parts.forEach((part, at) => { part.textContent = before[at]; });
  const open = ["#side", "#panel"].every((panel) => document.querySelector(panel).checkVisibility());
  return open && meter.height < 24 && cost.bottom > meter.top;
}"""

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_chat_that_is_not_kept_yet_has_a_meter_from_the_first_word_on(real_visit: Visit) -> None:
    meter = real_visit.page.locator("#meter .meter")
    expect(meter).to_have_count(0)
    real_visit.page.fill("#message", "What does the seed do?")
    expect(meter).to_contain_text("tokens")
    real_visit.page.fill("#message", "")
    expect(meter).to_have_count(0)


def test_the_meter_shows_what_the_next_answers_prompt_takes(real_visit: Visit) -> None:
    page, meter = real_visit.page, real_visit.page.locator("#meter .meter")
    real_visit.ask("Hello!")
    expect(meter).to_contain_text(" of 3,072 tokens")
    before = meter.inner_text()
    page.fill("#message", "What does the seed do?")
    expect(meter).not_to_have_text(before)
    expect(meter).to_contain_text(re.compile(r"^[\d,]+ of 3,072 tokens"))
    tokens = meter.inner_text().split()[0]
    page.press("#message", "Enter")
    answer = real_visit.finished(2)
    expect(answer.locator(".figures [title^='Tokens of the prompt, the whole'] dd")).to_have_text(tokens)


def test_a_chat_beyond_its_context_says_what_is_no_longer_seen(real_visit: Visit) -> None:
    page = real_visit.page
    real_visit.ask("My cat is called Pixel. Please remember that.")
    meter = page.locator("#meter .meter")
    expect(meter).to_contain_text("tokens")
    real_visit.limit_context(220)
    for number in range(3):
        real_visit.ask(f"What does the temperature slider do, and what does the top p slider do? This is question {number}.")
    expect(page.locator(".seen-from")).to_have_count(1)
    order = page.eval_on_selector_all("#history .turns > *", "nodes => nodes.map(node => node.className.split(' ')[0])")
    assert 0 < order.index("seen-from") < len(order) - 1 and order[order.index("seen-from") + 1] == "ask"
    expect(meter).to_contain_text(re.compile(r"^\d+ of 165 sent · \d+ in all · oldest \d+ unseen$"))
    assert "holds 220, of which 55 stay free for the answer" in (meter.get_attribute("title") or "")
    for longest in (None, ("12,204 reused, 12,372 to read, about 12.2 s", "24,576 of 24,576 sent · 104,585 in all · oldest 112 unseen")):
        assert page.evaluate(ON_ONE_LINE, longest), "with both panels open it stands beside the cost"
    expect(page.locator("#history .answer").last).to_contain_text("did not see them")
    expect(meter).to_contain_text(re.compile("oldest 6 unseen"))
    awake = meter.inner_text()
    page.get_by_role("tab", name="Models").click()
    page.locator("[data-do=unload]").first.click()
    expect(page.locator("[data-do=unload]")).to_have_count(0)
    page.get_by_role("tab", name="Chat").click()
    page.reload()
    page.wait_for_selector("body[data-ready=yes]")
    expect(meter).to_have_text(awake)
    assert "last awake" in (meter.get_attribute("title") or "")
    page.fill("#message", "And what does the seed do?")
    expect(meter).to_contain_text("≈")
