"""What an answer costs a page with a long chat on it: how much is styled anew and how much is copied, whatever the clock says."""

import json
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from benchmarks.page_texts import chat_of, long_chat
from tests.browser.conftest import WIDE, ScriptedApp
from tests.browser.test_long_chats import keep, open_chat
from tests.browser.visit import Visit

pytestmark = pytest.mark.browser

# Counts the characters that are copied or written as JSON.
COUNT = """() => {
  window.copied = 0;
  const { structuredClone: clone } = window, { stringify } = JSON;
  window.structuredClone = (what, ...more) => { window.copied += what?.length ?? 0; return clone(what, ...more); };
  JSON.stringify = (...what) => { const text = stringify(...what); window.copied += text?.length ?? 0; return text; };
}"""
WORDS_OF = "() => document.querySelector('#history').innerHTML.length"


@pytest.fixture
def long_visit(chromium: Browser, scripted_app: ScriptedApp) -> Iterator[Visit]:
    """A visitor before a chat whose last answers are long; what the page copies is counted."""
    chat = chat_of("Long answers", long_chat(100, 20), time.time())
    keep(scripted_app, chat)
    with Visit.to(chromium, scripted_app.address, WIDE, first=f"({COUNT})()") as visitor:
        open_chat(visitor, chat)
        visitor.page.wait_for_timeout(500)
        yield visitor
        visitor.assert_quiet()


def most_styled(trace: bytes) -> int:
    """The most elements whose style was found at once."""
    events = json.loads(trace)["traceEvents"]
    return max((event["args"]["elementCount"] for event in events if "elementCount" in event.get("args", {})), default=0)


def test_a_pill_of_another_width_has_no_message_styled_anew(chromium: Browser, long_visit: Visit) -> None:
    page = long_visit.page
    room = "() => getComputedStyle(document.querySelector('.tabs')).marginRight"
    before = page.evaluate(room)
    chromium.start_tracing(page=page, categories=["devtools.timeline"])
    page.evaluate("document.querySelector('#pill .pill-face').style.width = '300px'")
    page.wait_for_function(f"before => ({room})() !== before", arg=before)
    styled = most_styled(chromium.stop_tracing())
    assert 0 < styled < page.evaluate("document.querySelectorAll('#history *').length") / 10


def test_a_history_that_stands_is_not_copied_over_and_over_while_an_answer_is_written(long_visit: Visit) -> None:
    page = long_visit.page
    long_visit.send("slowly please")
    expect(long_visit.live).to_contain_text("Line 10.")
    page.evaluate("() => { window.copied = 0; }")
    expect(long_visit.live).to_contain_text("Line 60.")
    assert page.evaluate("window.copied") < 20 * page.evaluate(WORDS_OF), "in Gradio's hands it was more than 200 times its length"
    long_visit.finished(31)
