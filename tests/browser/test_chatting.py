"""Chatting on the page, with a scripted model: streaming, stopping, answering again, and everything coming back."""

import re

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import WIDE, ScriptedApp
from tests.browser.visit import Visit

pytestmark = pytest.mark.browser


def test_a_first_visit_says_what_this_is_and_offers_examples(visit: Visit) -> None:
    expect(visit.page.get_by_role("heading", name="What shall we work on?")).to_be_visible()
    expect(visit.page.locator("#starter")).to_contain_text("This is the Starter")
    expect(visit.page.get_by_role("button", name="Get a real model")).to_be_visible()
    visit.page.locator(".welcome li button").first.click()
    expect(visit.page.locator(".ask")).to_have_text("What does the temperature slider do?")
    visit.finished(1)


def test_an_answer_streams_thinking_first_and_then_folds_it(visit: Visit) -> None:
    visit.send("think about it")
    thinking = visit.live.locator(".thinking")
    expect(thinking).to_have_attribute("open", "")
    expect(thinking).to_contain_text("word3")
    answer = visit.finished(1)
    expect(answer.locator(".thinking")).not_to_have_attribute("open", "")
    expect(answer.locator(".thinking summary")).to_have_text(re.compile(r"Thought for \d+\.\d s"))
    expect(answer.locator(".answer-text")).to_have_text("Thought through.")
    expect(answer.locator(".figures")).to_contain_text("tok/s")


def test_a_fold_stays_as_the_reader_left_it(visit: Visit) -> None:
    visit.send("think long")
    visit.live.locator(".thinking summary").click()
    expect(visit.live.locator(".thinking")).not_to_have_attribute("open", "")
    expect(visit.live.locator(".thinking .md")).to_contain_text("word100")
    expect(visit.live.locator(".thinking")).not_to_have_attribute("open", "")
    answer = visit.finished(1)
    answer.locator(".thinking summary").click()
    expect(answer.locator(".thinking")).to_have_attribute("open", "")
    visit.ask("again")
    expect(visit.answers.first.locator(".thinking")).to_have_attribute("open", "")


@pytest.mark.parametrize("by", ["button", "key"])
def test_stop_keeps_what_was_written_and_the_next_message_works(visit: Visit, by: str) -> None:
    visit.send("long one please")
    expect(visit.live.locator(".answer-text")).to_contain_text("word20 ")
    if by == "button":
        visit.page.get_by_role("button", name="Stop").click()
    else:
        visit.page.keyboard.press("Escape")
    answer = visit.finished(1)
    expect(answer.locator(".notice")).to_have_text("Stopped")
    expect(answer.locator(".answer-text")).to_contain_text("word20 ")
    expect(answer).not_to_contain_text("word599")
    expect(visit.ask("hello").locator(".answer-text")).to_have_text("You said: hello")


def test_answering_again_keeps_both_versions(visit: Visit) -> None:
    visit.ask("hello")
    visit.page.get_by_role("button", name="Answer again").click()
    expect(visit.page.locator(".versions span")).to_have_text("2 of 2", timeout=20_000)
    expect(visit.page.locator(".ask")).to_have_count(1)
    places = [visit.answers.locator(each).bounding_box() for each in (".answer-text", ".versions", ".acts")]
    [words, versions, acts] = [box["x"] for box in places if box]
    assert abs(versions - words) < 12 and versions < acts
    visit.page.get_by_role("button", name="Earlier version").click()
    expect(visit.page.locator(".versions span")).to_have_text("1 of 2")


def test_a_call_is_a_card_that_says_it_was_not_run(visit: Visit) -> None:
    card = visit.ask("call it").locator(".call")
    expect(card.locator("summary")).to_contain_text("print(417 * 36)")
    expect(card.locator(".state")).to_have_text("not run")
    card.locator("summary").click()
    expect(card).to_contain_text("tools come with a later release")


def test_a_crash_is_told_and_the_text_so_far_stays(visit: Visit) -> None:
    answer = visit.ask("crash now")
    expect(answer.locator(".answer-text")).to_have_text("So far and")
    expect(answer.get_by_role("alert")).to_contain_text("The model’s process stopped")
    expect(answer.get_by_role("alert")).to_contain_text("restarts")
    expect(visit.ask("hello").locator(".answer-text")).to_have_text("You said: hello")


def test_an_empty_message_is_not_sent_and_says_so(visit: Visit) -> None:
    visit.page.fill("#message", "   ")
    visit.page.press("#message", "Enter")
    expect(visit.page.locator("#say")).to_have_text("Type a message first.")
    expect(visit.page.locator(".ask")).to_have_count(0)


def test_a_value_out_of_range_is_named_and_the_text_comes_back(visit: Visit) -> None:
    visit.page.locator(".panel-open").click()
    visit.page.get_by_role("spinbutton", name="Temperature, exact").fill("7")
    visit.page.fill("#message", "hello")
    visit.page.press("#message", "Enter")
    expect(visit.page.locator("#say")).to_contain_text("temperature must be 0 to 2")
    expect(visit.page.locator("#message")).to_have_value("hello")
    visit.page.get_by_role("button", name="Reset Temperature").click()
    visit.page.press("#message", "Enter")
    visit.finished(1)


def test_a_reload_shows_the_same_chat_with_its_options(visit: Visit) -> None:
    visit.page.locator(".panel-open").click()
    visit.page.get_by_role("slider", name="Temperature").fill("0.25")
    visit.page.get_by_role("radio", name="High").click()
    visit.page.get_by_role("button", name="Offer the Python tool").click()
    visit.ask("remember me")
    visit.reload()
    expect(visit.answers.locator(".answer-text")).to_have_text("You said: remember me", timeout=20_000)
    expect(visit.page.get_by_role("spinbutton", name="Temperature, exact")).to_have_value("0.25")
    expect(visit.page.get_by_role("radio", name="High")).to_have_attribute("aria-checked", "true")
    expect(visit.page.get_by_role("button", name="Offer the Python tool")).to_have_attribute("aria-pressed", "true")


def test_the_sampling_fields_reach_the_model(visit: Visit, scripted_app: ScriptedApp) -> None:
    visit.page.locator(".panel-open").click()
    visit.page.get_by_role("slider", name="Top K").fill("33")
    visit.page.locator("#panel-head [data-panel=prompt]").click()
    visit.page.get_by_label("Instructions", exact=True).first.fill("Be brief.")
    visit.ask("hello")
    request = scripted_app.provider.engine.requests[-1]
    assert request.sampling.top_k == 33
    assert [message.content for message in request.prompt.messages][:1] == ["Be brief."]  # type: ignore[union-attr]


def test_a_chat_goes_on_while_another_is_looked_at(visit: Visit) -> None:
    visit.send("long story")
    expect(visit.live.locator(".answer-text")).to_contain_text("word5 ")
    first = visit.chat_id
    visit.page.get_by_role("button", name="New chat").click()
    expect(visit.page.locator(".ask")).to_have_count(0)
    expect(visit.page.get_by_role("heading", name="What shall we work on?")).to_be_visible()
    visit.page.locator(f"[data-chat-row='{first}'] a").click()
    expect(visit.live.locator(".answer-text")).to_contain_text("word40 ")
    expect(visit.page.locator(".ask")).to_have_count(1)
    visit.page.get_by_role("button", name="Stop").click()
    visit.finished(1)


def test_closing_the_tab_cancels_its_answer(chromium: Browser, scripted_app: ScriptedApp) -> None:
    with Visit.to(chromium, scripted_app.address, WIDE) as leaving:
        leaving.send("long goodbye")
        expect(leaving.live.locator(".answer-text")).to_contain_text("word5 ")
        request = scripted_app.provider.engine.requests[-1]
    with Visit.to(chromium, scripted_app.address, WIDE) as other:
        for _ in range(40):
            if request.id in scripted_app.provider.engine.cancelled:
                break
            other.page.wait_for_timeout(100)
    assert request.id in scripted_app.provider.engine.cancelled


def test_two_tabs_do_not_mix(chromium: Browser, scripted_app: ScriptedApp) -> None:
    with Visit.to(chromium, scripted_app.address, WIDE) as one, Visit.to(chromium, scripted_app.address, WIDE) as two:
        one.send("long in one")
        expect(two.ask("hello from two").locator(".answer-text")).to_have_text("You said: hello from two")
        expect(one.live.locator(".answer-text")).to_contain_text("word9 ")
        expect(one.page.locator(".ask")).to_have_count(1)
        one.page.keyboard.press("Escape")
        one.finished(1)
        assert one.chat_id != two.chat_id


def test_a_long_answer_is_followed_until_the_reader_scrolls_up(visit: Visit) -> None:
    visit.send("slowly please")
    scroll = visit.page.locator("#scroll")
    expect(visit.live).to_contain_text("Line 25.")
    assert scroll.evaluate("e => e.scrollHeight - e.scrollTop - e.clientHeight") < 60
    scroll.evaluate("e => e.scrollTo(0, 0)")
    visit.finished(1)
    assert scroll.evaluate("e => e.scrollTop") < 60
    visit.page.get_by_role("button", name="Jump to the latest").click()
    assert scroll.evaluate("e => e.scrollHeight - e.scrollTop - e.clientHeight") < 60


def test_only_the_message_that_waits_comes_back_when_the_app_does_not_answer(chromium: Browser, scripted_app: ScriptedApp) -> None:
    held = "const real = setTimeout; window.held = []; setTimeout = (f, ms, ...a) => ms === 15000 ? held.push(f) : real(f, ms, ...a);"
    with Visit.to(chromium, scripted_app.address, WIDE, first=held) as visit:
        page, box = visit.page, visit.page.locator("#message")
        page.locator(".panel-open").click()
        page.get_by_label("Temperature, exact").fill("9")
        box.fill("Precious")
        box.press("Enter")
        expect(page.locator("#say")).to_contain_text("0 to 2")
        page.get_by_label("Temperature, exact").fill("1")
        page.route("**/queue/join*", lambda route: route.abort())
        box.press("Enter")
        expect(box).to_have_value("")
        page.evaluate("held[0]()")
        expect(box).to_have_value("")
        page.evaluate("held[1]()")
        expect(box).to_have_value("Precious")
        expect(page.locator("#say")).to_contain_text("did not answer")
