"""The details of an answer: raw tokens of the Starter, voices hidden in the chat, the replay and what it says, the question before it."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import ScriptedApp
from tests.browser.visit import Visit

pytestmark = pytest.mark.browser


def test_raw_tokens_are_shown_and_an_answer_is_made_again(real_visit: Visit) -> None:
    page = real_visit.page
    page.get_by_role("button", name="Offer the Python tool").click()
    answer = real_visit.ask("What is 417 × 36?")
    answer.get_by_role("button", name="Details of this answer").click()
    lanes = page.locator("#details .lanes li")
    expect(lanes).to_have_count(2)
    expect(lanes.last).to_contain_text("to python")
    expect(lanes.last).to_contain_text("closed by <|call|>")
    page.get_by_label("Raw tokens, as the model wrote them").check()
    expect(lanes.first.locator(".token.control b")).to_have_text(["<|channel|>", "<|message|>", "<|end|>"])
    assert all(text.isdigit() for text in lanes.first.locator(".token i").all_inner_texts())

    page.get_by_role("button", name="Replay").click()
    expect(page.locator("#history .versions span")).to_have_text("2 of 2", timeout=30_000)
    expect(real_visit.finished(1)).to_contain_text("Replay: the same answer as before, to the last token.")
    expect(lanes.first.locator(".token")).not_to_have_count(0)
    expect(page.get_by_label("Raw tokens, as the model wrote them")).to_be_checked()


def test_voices_are_hidden_and_shown_again_and_stay_so(visit: Visit) -> None:
    page = visit.page
    answer = visit.ask("hello")
    answer.get_by_role("button", name="Details of this answer").click()
    thinking = page.get_by_role("group", name="Voices shown in the chat").get_by_role("button", name="Thinking")
    expect(page.locator("#history .thinking")).to_be_visible()
    thinking.click()
    expect(page.locator("#history .thinking")).to_be_hidden()
    visit.reload()
    expect(visit.answers).to_have_count(1)
    expect(page.locator("#history .thinking")).to_be_hidden()
    page.locator("#history").get_by_role("button", name="Details of this answer").click()
    expect(thinking).to_have_attribute("aria-pressed", "false")
    thinking.click()
    expect(page.locator("#history .thinking")).to_be_visible()


def test_a_replay_by_other_weights_asks_first(visit: Visit, scripted_app: ScriptedApp) -> None:
    page = visit.page
    answer = visit.ask("hello")
    answer.get_by_role("button", name="Details of this answer").click()
    page.get_by_role("button", name="Offer the Python tool").click()
    loaded = scripted_app.provider.loaded
    before = dict(loaded)
    for name, card in before.items():
        loaded[name] = type(card)(**{field: getattr(card, field) for field in card.__struct_fields__} | {"fingerprint": "other"})
    try:
        page.get_by_role("button", name="Replay").click()
        question = page.get_by_role("dialog", name="The model has changed")
        expect(question).to_contain_text("are not those that made the answer")
        page.keyboard.press("Escape")
        expect(question).to_be_hidden()
        expect(page.locator("#history .versions")).to_have_count(0)
        page.get_by_role("button", name="Replay").click()
        question.get_by_role("button", name="Replay anyway").click()
        expect(page.locator("#history .versions span")).to_have_text("2 of 2", timeout=20_000)
        expect(page.locator("#history .answer")).to_contain_text(re.compile("Replay: the same answer as before"))
        expect(page.get_by_role("button", name="Offer the Python tool")).to_have_attribute("aria-pressed", "true")
    finally:
        loaded.update(before)
