"""Acts on messages: edited, gone on with, forked, deleted and brought back, their versions by key."""

import re

import pytest
from playwright.sync_api import expect

from mlx_harmony.records import ChatPrompt
from tests.browser.conftest import ScriptedApp
from tests.browser.visit import Visit

pytestmark = pytest.mark.browser


def test_a_message_is_edited_in_place_and_both_versions_stay(visit: Visit) -> None:
    page = visit.page
    visit.ask("hello")
    page.get_by_role("button", name="Edit this message").click()
    box = page.get_by_role("textbox", name="Edit your message")
    expect(box).to_have_value("hello")
    box.fill("goodbye")
    box.press("Enter")
    expect(page.locator("#history .answer-text")).to_have_text("You said: goodbye", timeout=20_000)
    expect(page.locator(".ask .typed")).to_have_text("goodbye")
    expect(page.locator(".ask .versions span")).to_have_text("2 of 2")
    page.locator(".ask").get_by_role("button", name="Earlier version").click()
    expect(page.locator("#history .answer-text")).to_have_text("You said: hello")


def test_an_edit_waits_in_its_chat_and_leaving_it_changes_nothing(visit: Visit) -> None:
    page = visit.page
    visit.ask("hello")
    page.get_by_role("button", name="Edit this message").click()
    box = page.get_by_role("textbox", name="Edit your message")
    box.fill("something else")
    first = visit.chat_id
    page.get_by_role("button", name="New chat").click()
    expect(page.locator("#say")).to_have_text("The message that you were editing waits in the chat you left.")
    page.locator(f"[data-chat-row='{first}'] a").first.click()
    expect(box).to_have_value("something else")
    visit.reload()
    expect(box).to_have_value("something else", timeout=20_000)
    box.press("Escape")
    expect(page.locator(".ask .typed")).to_be_visible()
    expect(page.locator(".ask .edit")).to_have_count(0)
    expect(page.locator(".ask .typed")).to_have_text("hello")
    visit.ask("more")
    expect(page.locator(".ask .edit")).to_have_count(0)


def test_only_a_cut_answer_goes_on(visit: Visit) -> None:
    page = visit.page
    visit.ask("hello")
    expect(page.get_by_role("button", name="Continue")).to_have_count(0)
    visit.send("long one")
    expect(visit.live.locator(".answer-text")).to_contain_text("word20 ")
    page.keyboard.press("Escape")
    answer = visit.finished(2)
    page.get_by_role("button", name="Continue").click()
    expect(answer.locator(".answer-text").last).to_contain_text("You said: word0", timeout=20_000)
    expect(answer.locator(".answer-text").first).to_contain_text("word0 word1 ")
    expect(answer.locator(".notice")).to_have_count(0)
    expect(page.locator(".ask")).to_have_count(2)


def test_a_deleted_message_comes_back_on_undo(visit: Visit) -> None:
    page = visit.page
    visit.ask("hello")
    visit.ask("and more")
    page.locator(".ask").last.hover()
    page.get_by_role("button", name="Delete this message and what follows").last.click()
    expect(page.locator(".ask")).to_have_count(1)
    expect(page.locator("#say")).to_contain_text("Deleted 2 messages: this one and what followed it.")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".ask")).to_have_count(2)
    expect(visit.answers.last.locator(".answer-text")).to_have_text("You said: and more")


def test_a_fork_is_a_chat_of_its_own(visit: Visit) -> None:
    page = visit.page
    visit.ask("hello")
    visit.ask("and more")
    first = visit.chat_id
    visit.answers.first.hover()
    page.get_by_role("button", name="Fork from here").first.click()
    expect(page).not_to_have_url(re.compile(first))
    expect(page.locator(".ask")).to_have_count(1)
    expect(page.locator("#say")).to_contain_text("new chat with the messages up to there")
    page.locator(f"[data-chat-row='{first}'] a").first.click()
    expect(page.locator(".ask")).to_have_count(2)


def test_the_meter_counts_what_the_next_message_sends(visit: Visit) -> None:
    page = visit.page
    visit.ask("one two three")
    expect(page.locator("#meter .meter")).to_contain_text("of 3,072 tokens")
    before = page.locator("#meter .meter").inner_text()
    page.fill("#message", "four five six seven")
    expect(page.locator("#meter .meter")).not_to_have_text(before)
    left = "() => { document.querySelector('.new').click(); return document.querySelectorAll('#meter .meter').length; }"
    assert page.evaluate(left) == 0
    expect(page.locator("#meter .meter")).to_contain_text("4 of 3,072 tokens")


def test_an_answer_is_copied_as_a_request(real_visit: Visit) -> None:
    visit, page = real_visit, real_visit.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=visit.address)
    visit.ask("hello")
    page.get_by_role("button", name="Details of this answer").click()
    for name, part in (("curl", f"curl {visit.address}"), ("Python", "import"), ("Command line", "mlx-harmony generate --request")):
        page.get_by_role("button", name=name, exact=True).click()
        page.wait_for_function("part => navigator.clipboard.readText().then((text) => text.includes(part))", arg=part.split()[0])


def test_the_arrows_lead_through_versions_while_the_box_is_empty(visit: Visit) -> None:
    page = visit.page
    visit.ask("hello")
    page.get_by_role("button", name="Answer again").click()
    expect(page.locator(".versions span")).to_have_text("2 of 2", timeout=20_000)
    page.locator("#message").press("ArrowLeft")
    expect(page.locator(".versions span")).to_have_text("1 of 2")
    page.fill("#message", "typing")
    page.locator("#message").press("ArrowRight")
    expect(page.locator("#message")).to_have_value("typing")
    expect(page.locator(".versions span")).to_have_text("1 of 2")
    page.fill("#message", "")
    page.locator("#message").press("ArrowRight")
    expect(page.locator(".versions span")).to_have_text("2 of 2")


def test_what_is_chosen_before_the_first_message_survives_it(visit: Visit, scripted_app: ScriptedApp) -> None:
    page = visit.page
    page.locator(".panel-open").click()
    page.get_by_role("button", name="Offer the Python tool").click()
    page.get_by_role("slider", name="Temperature").fill("0.4")
    for text in ("hello", "and again"):
        visit.ask(text)
        page.wait_for_timeout(600)
        expect(page.get_by_role("button", name="Offer the Python tool")).to_have_attribute("aria-pressed", "true")
        expect(page.get_by_role("spinbutton", name="Temperature, exact")).to_have_value("0.4")
        request = scripted_app.provider.engine.requests[-1]
        assert isinstance(request.prompt, ChatPrompt)
        assert [tool.kind for tool in request.prompt.tools] == ["python"]
        assert request.sampling.temperature == 0.4
