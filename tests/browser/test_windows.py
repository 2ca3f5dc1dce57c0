"""Two windows on the same chat: neither mixes nor loses anything, and each sees what the other did once it is looked at."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from mlx_harmony_ui import present
from tests.browser.conftest import WIDE, ScriptedApp
from tests.browser.visit import Visit
from tests.fixtures.server import Running

pytestmark = [pytest.mark.browser, pytest.mark.integration]


@pytest.fixture
def other(chromium: Browser, scripted_app: ScriptedApp) -> Iterator[Visit]:
    with Visit.to(chromium, scripted_app.address, WIDE) as visitor:
        yield visitor
        visitor.assert_quiet()


@pytest.fixture
def real_other(chromium: Browser, real_app: Running) -> Iterator[Visit]:
    with Visit.to(chromium, real_app.address, WIDE) as visitor:
        yield visitor
        visitor.assert_quiet()


def follow(other: Visit, visit: Visit) -> None:
    """Have the other window show this one's chat."""
    shown = visit.page.locator("#history article").count()
    other.page.goto(f"{other.address}/#chat={visit.chat_id}")
    expect(other.page.locator("#history article")).to_have_count(shown)


def look(visitor: Visit) -> None:
    """What the browser says when a window comes to the front."""
    visitor.page.evaluate("window.dispatchEvent(new Event('focus'))")


def texts(visitor: Visit) -> list[str]:
    return visitor.page.locator("#history .typed").all_inner_texts()


def test_a_message_to_a_chat_that_went_on_elsewhere_is_given_back_with_what_is_new(real_visit: Visit, real_other: Visit) -> None:
    visit, other = real_visit, real_other
    visit.ask("first")
    follow(other, visit)
    visit.ask("second")
    other.page.fill("#message", "late")
    other.page.press("#message", "Enter")
    expect(other.page.locator("#say")).to_contain_text("This chat has changed in another window")
    expect(other.page.locator("#message")).to_have_value("late")
    expect(other.page.locator("#history article")).to_have_count(4)
    other.page.press("#message", "Enter")
    other.finished(3)
    assert texts(other) == ["first", "second", "late"]
    look(visit)
    expect(visit.page.locator("#say")).to_contain_text("What is new is shown")
    visit.finished(3)
    assert texts(visit) == ["first", "second", "late"]
    visit.page.evaluate("document.querySelector('#say').textContent = ''")
    look(visit)
    visit.page.wait_for_timeout(300)
    expect(visit.page.locator("#say")).to_have_text("")


def test_an_answer_of_another_window_is_watched_and_its_chat_takes_nothing_meanwhile(visit: Visit, other: Visit) -> None:
    visit.ask("hello")
    follow(other, visit)
    visit.send("long story")
    look(other)
    expect(other.page.locator("#history .progress")).to_contain_text("Being written in another window")
    other.page.fill("#message", "me too")
    other.page.press("#message", "Enter")
    expect(other.page.locator("#say")).to_contain_text("This chat is answering")
    expect(other.page.locator("#message")).to_have_value("me too")
    ask = other.page.locator(".ask").first
    ask.hover()
    ask.locator("[data-do=edit]").click()
    ask.locator("textarea").fill("hello, edited")
    ask.locator("textarea").press("Enter")
    expect(other.page.locator("#message")).to_have_value("me too\n\nhello, edited")
    answer = visit.finished(2)
    expect(answer).to_contain_text("word599")
    expect(other.page.locator("#history .progress")).to_have_count(0, timeout=10_000)
    expect(other.answers.last).to_contain_text("word599")
    assert texts(visit) == texts(other) == ["hello", "long story"]


def test_what_is_typed_into_a_message_outlives_the_other_window(real_visit: Visit, real_other: Visit) -> None:
    visit, other = real_visit, real_other
    visit.ask("one")
    follow(other, visit)
    ask = other.page.locator(".ask").first
    ask.hover()
    ask.locator("[data-do=edit]").click()
    ask.locator("textarea").fill("one, but better")
    visit.ask("two")
    look(other)
    other.page.wait_for_timeout(400)
    expect(ask.locator("textarea")).to_have_value("one, but better")
    ask.locator("textarea").press("Enter")
    expect(other.page.locator("#history .typed")).to_have_text(["one, but better"])
    other.finished(1)
    look(visit)
    expect(visit.page.locator("#history .typed")).to_have_text(["one, but better"])
    visit.page.locator(".ask .versions .back").click()
    expect(visit.page.locator("#history .typed")).to_have_text(["one", "two"])


def test_a_chat_deleted_while_another_window_answers_comes_back_with_the_whole_answer(visit: Visit, other: Visit) -> None:
    visit.ask("hello")
    follow(other, visit)
    visit.send("long story")
    look(other)
    row = other.page.locator(f'[data-chat-row="{visit.chat_id}"]')
    chat_id = visit.chat_id
    row.hover()
    row.locator("[data-do=remove]").click()
    expect(other.page.locator("#say")).to_contain_text("Deleted")
    expect(visit.page.locator("#say")).to_contain_text("was deleted while its answer", timeout=60_000)
    assert visit.chat_id == ""
    other.page.locator("#say [data-do=undo]").click()
    expect(other.page.locator("#say [data-do=undo]")).to_have_count(0)
    other.page.goto(f"{other.address}/#chat={chat_id}")
    expect(other.answers).to_have_count(2)
    expect(other.answers.last).to_contain_text("word599")


def test_a_chat_that_took_long_to_draw_is_not_drawn_over_what_is_newer(visit: Visit, other: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    visit.ask("first")
    follow(other, visit)
    other.ask("second")
    drawing, began, held = present.history, threading.Event(), threading.Event()

    def slow(*given: Any) -> present.HistoryView:
        monkeypatch.setattr(present, "history", drawing)
        began.set()
        assert held.wait(30)
        return drawing(*given)

    monkeypatch.setattr(present, "history", slow)
    look(visit)
    assert began.wait(10)
    other.ask("third")
    look(visit)
    expect(visit.page.locator("#history .typed")).to_have_count(3)
    held.set()
    visit.page.wait_for_timeout(1500)
    assert texts(visit) == ["first", "second", "third"]
