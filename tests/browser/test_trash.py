"""The trash: what was deleted stands there, comes back piece by piece, and goes for good only after a question."""

import pytest
from playwright.sync_api import expect

from tests.browser.visit import Visit

pytestmark = [pytest.mark.browser, pytest.mark.integration]


def test_what_was_deleted_comes_back_or_goes_for_good_after_a_question(real_visit: Visit) -> None:
    visit, page = real_visit, real_visit.page
    visit.ask("a whole chat to delete")
    page.locator(".side-foot").get_by_role("button", name="Trash").click()
    expect(page.locator(".bin li, .bin .nothing").first).to_be_visible()
    if page.locator(".bin li").count():
        page.get_by_role("button", name="Empty the trash").click()
        page.get_by_role("button", name="Remove for good").click()
    expect(page.locator(".bin .nothing")).to_contain_text("The trash is empty.")
    page.get_by_role("button", name="Back to the chat").click()

    row = page.locator(f"[data-chat-row='{visit.chat_id}']")
    row.hover()
    row.locator("[data-do=remove]").click()
    expect(page.locator("#history article")).to_have_count(0)
    visit.ask("a chat that stays")
    visit.ask("a message to delete")
    page.locator(".ask").last.hover()
    page.get_by_role("button", name="Delete this message and what follows").last.click()
    expect(page.locator(".ask")).to_have_count(1)

    page.locator(".side-foot").get_by_role("button", name="Trash").click()
    rows = page.locator(".bin li")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("A message of this chat and 1 that followed it · deleted today")
    expect(rows.first.locator(".excerpt")).to_have_text("a message to delete")
    expect(rows.last).to_contain_text("Chat with 2 messages · deleted today")
    page.get_by_role("button", name="Back to the chat").click()
    expect(page.locator(".ask .typed")).to_have_text("a chat that stays")
    page.locator(".side-foot").get_by_role("button", name="Trash").click()
    rows.first.get_by_role("button").click()
    expect(rows).to_have_count(1)
    expect(page.locator(".bin .notice")).to_contain_text("Restored. What was deleted of “a chat that stays” stands in the chat again.")

    page.get_by_role("button", name="Empty the trash").click()
    question = page.get_by_role("dialog", name="Empty the trash?")
    expect(question).to_contain_text("This removes 1 chat with 2 messages for good. There is no way back.")
    page.keyboard.press("Escape")
    expect(question).to_be_hidden()
    expect(rows).to_have_count(1)
    rows.first.get_by_role("button", name="Restore a whole chat to delete").click()
    expect(page.locator(".bin .nothing")).to_be_visible()
    page.get_by_role("button", name="Back to the chat").click()
    expect(page.locator(".ask")).to_have_count(2)
    expect(row).to_have_count(1)
