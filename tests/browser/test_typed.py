r"""Commands typed into the message box: offered while they are typed, obeyed without a word to the model, refused with the text kept."""

import pytest
from playwright.sync_api import expect

from tests.browser.axe import faults
from tests.browser.visit import Visit

pytestmark = [pytest.mark.browser, pytest.mark.integration]


def test_commands_are_offered_completed_and_obeyed_by_keys_alone(real_visit: Visit) -> None:
    page, offered = real_visit.page, real_visit.page.locator("#suggest [role=option]:not([hidden])")
    page.locator("#message").press_sequentially("\\")
    expect(offered).to_have_count(4)
    expect(offered.first).to_have_attribute("aria-selected", "true")
    expect(page.locator("#message")).to_have_attribute("aria-activedescendant", "suggest-1")
    assert faults(page, "commands offered") == []
    page.keyboard.press("ArrowDown")
    expect(offered.nth(1)).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    expect(page.locator("#note")).to_contain_text("Settings of the next answer")
    assert faults(page, "a command's answer") == []
    expect(page.locator("#message")).to_have_value("")
    page.keyboard.press("Escape")
    expect(page.locator("#note")).to_be_hidden()
    page.locator("#message").press_sequentially("/set ")
    assert faults(page, "settings offered") == []
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#suggest")).to_be_focused()
    expect(offered.nth(1)).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Escape")
    expect(page.locator("#suggest")).to_be_hidden()
    expect(page.locator("#message")).to_be_focused()
    page.locator("#message").press_sequentially("temp")
    page.keyboard.press("Tab")
    expect(page.locator("#message")).to_have_value("/set temperature=")
    expect(offered).to_contain_text("0 to 2")
    page.locator("#message").press_sequentially("0.25")
    page.keyboard.press("Enter")
    expect(page.locator("#say")).to_have_text("From the next answer on, temperature is 0.25.")
    expect(page.locator("#tuning [data-field=temperature]")).to_have_value("0.25")
    expect(page.locator("#message")).to_have_value("")
    expect(page.locator("#history .ask, #live .ask")).to_have_count(0)
    page.locator("#message").press_sequentially("\\m")
    offered.first.click()
    expect(page.locator("#note")).to_contain_text("starter")
    page.get_by_role("button", name="Close", exact=True).click()
    expect(page.locator("#message")).to_be_focused()


def test_what_is_no_command_can_be_sent_and_what_cannot_be_obeyed_stays(real_visit: Visit) -> None:
    visit, page = real_visit, real_visit.page
    visit.ask("/usr/bin/python?")
    for value in ("nan", "inf", "3"):
        page.fill("#message", f"\\set temperature={value}")
        page.press("#message", "Enter")
        expect(page.locator("#say")).to_contain_text("0 to 2")
        expect(page.locator("#message")).to_have_value(f"\\set temperature={value}")
    page.fill("#message", "/bogus thing")
    page.press("#message", "Enter")
    expect(page.locator("#note")).to_contain_text("There is no command “bogus”")
    expect(page.locator("#note")).to_contain_text("\\help")
    expect(page.locator("#message")).to_have_value("/bogus thing")
    page.get_by_role("button", name="Send it as a message").click()
    visit.finished(2)
    expect(page.locator(".ask .typed").last).to_have_text("/bogus thing")
    expect(page.locator("#note")).to_be_hidden()
    for command, answer in (("\\help", "Commands"), ("/list", "top_k"), ("\\models", "starter")):
        page.fill("#message", command)
        page.press("#message", "Enter")
        expect(page.locator("#note")).to_contain_text(answer)
    page.fill("#message", "\\set top_k=7")
    page.press("#message", "Enter")
    expect(page.locator("#say")).to_contain_text("top_k is 7")
    visit.reload()
    expect(page.locator("#tuning [data-field=top_k]")).to_have_value("7")
