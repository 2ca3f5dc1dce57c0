"""Long chats: a window of the last messages, earlier ones on request, and nothing jumps while an answer comes or becomes history."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import Page, expect

from benchmarks.page_texts import chat_of
from mlx_harmony.conversation.records import Chat
from mlx_harmony.conversation.store import Store
from mlx_harmony_ui.listing import ROWS
from mlx_harmony_ui.present import WINDOW
from tests.browser.conftest import ScriptedApp
from tests.browser.visit import Visit

pytestmark = pytest.mark.browser

AT_END = "() => { const e = document.querySelector('#scroll'); return e.scrollHeight - e.scrollTop - e.clientHeight < 4; }"
TOP_OF = "text => [...document.querySelectorAll('#history .typed')].find((e) => e.textContent === text).getBoundingClientRect().top"
# Notes each animation frame in which a text that was there is not on the page.
WATCH = """text => {
  window.gaps = 0;
  const look = () => { window.gaps += document.querySelector('#scroll').textContent.includes(text) ? 0 : 1; requestAnimationFrame(look); };
  look();
}"""
# How far the last question is from what stands above it, and from its answer.
APART = """() => {
  const [before, asked, answer] = [...document.querySelectorAll('#history article')].slice(-3);
  const places = [before.querySelector('.answer-text'), asked.querySelector('.typed'), answer];
  const [above, words, below] = places.map((each) => each.getBoundingClientRect());
  return [words.top - above.bottom, below.top - words.bottom];
}"""
FIRST_IS_LAID_OUT = "document.querySelector('#history article .md, #history .typed').checkVisibility({ contentVisibilityAuto: true })"
FIRST_BLOCK_IS_LAID_OUT = "document.querySelector('#history .md p').checkVisibility({ contentVisibilityAuto: true })"
# Notes each height the conversation has.
HIGH = """() => {
  window.high = [];
  const look = () => {
    const { scrollHeight } = document.querySelector('#scroll');
    if (window.high.at(-1) !== scrollHeight) window.high.push(scrollHeight);
    requestAnimationFrame(look);
  };
  look();
}"""
# Notes each distance there is between the question and its answer, and how high the conversation is once the last words stand there.
STANDS = """() => {
  window.stood = { apart: [], high: [] };
  const note = (list, number) => list.includes(number) || list.push(number);
  const look = () => {
    const [asked, answer] = ['.ask .typed', '.answer'].map((each) => [...document.querySelectorAll(each)].at(-1));
    note(window.stood.apart, Math.round(answer.getBoundingClientRect().top - asked.getBoundingClientRect().bottom));
    if (answer.textContent.includes('Line 79.')) note(window.stood.high, document.querySelector('#scroll').scrollHeight);
    requestAnimationFrame(look);
  };
  look();
}"""


def keep(app: ScriptedApp, *chats: Chat) -> None:
    """Put chats beside those of the running app."""

    async def add() -> None:
        store = await Store.open(app.home / "chats.sqlite3")
        for chat in chats:
            await store.add_chat(chat)
        await store.close()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(add())).result()


@pytest.fixture
def long_chat(scripted_app: ScriptedApp) -> Chat:
    """200 messages."""
    texts = [(role, f"{role} {turn}") for turn in range(100) for role in ("user", "assistant")]
    chat = chat_of("Two hundred messages", texts, time.time())
    keep(scripted_app, chat)
    return chat


def open_chat(visit: Visit, chat: Chat) -> None:
    visit.page.evaluate("id => { location.hash = `chat=${id}`; }", chat.summary.id)
    expect(visit.page.locator("#history article")).to_have_count(WINDOW)


def scrolled_to(page: Page, top: int) -> None:
    page.locator("#scroll").evaluate("(e, top) => e.scrollTo(0, top)", top)
    page.wait_for_timeout(150)


def test_a_long_chat_opens_at_its_end_and_earlier_messages_leave_what_is_read_in_place(visit: Visit, long_chat: Chat) -> None:
    open_chat(visit, long_chat)
    page = visit.page
    expect(page.locator("#history .typed").last).to_be_in_viewport()
    page.wait_for_function(AT_END, timeout=5000)
    scrolled_to(page, 0)
    before = page.evaluate(TOP_OF, "user 70")
    page.get_by_role("button", name="Show earlier messages (140)").click()
    expect(page.locator("#history article")).to_have_count(2 * WINDOW)
    expect(page.get_by_role("button", name="Show earlier messages (80)")).to_have_count(1)
    assert abs(page.evaluate(TOP_OF, "user 70") - before) < 4
    scrolled_to(page, 0)
    visit.send("hello")
    expect(page.locator("#history article")).to_have_count(2 * WINDOW + 2)
    expect(page.get_by_role("button", name="Show earlier messages (80)")).to_have_count(1)
    texts = page.locator("#history .typed").all_text_contents()
    assert texts == [*(f"user {turn}" for turn in range(40, 100)), "hello"]


def test_earlier_messages_away_from_the_window_are_not_laid_out_and_nothing_moves_by_that(visit: Visit, long_chat: Chat) -> None:
    page = visit.page
    open_chat(visit, long_chat)
    page.evaluate(HIGH)
    for left in (140, 80):
        page.get_by_role("button", name=f"Show earlier messages ({left})").click()
        page.wait_for_function("n => document.querySelectorAll('#history article').length >= n", arg=200 - left + 60)
    page.wait_for_function(f"document.querySelectorAll('#history article[style]').length === {180 - WINDOW}")
    before = page.evaluate("window.high")
    page.wait_for_timeout(300)
    assert page.evaluate("window.high") == before, "put away they are as high as they were"
    page.evaluate("document.querySelector('#scroll').scrollTop = 1e6")
    page.wait_for_function(f"!{FIRST_IS_LAID_OUT}")
    page.evaluate("document.querySelector('#scroll').scrollTop = 0")
    page.wait_for_function(FIRST_IS_LAID_OUT)
    assert page.evaluate("document.querySelector('#scroll').scrollHeight") == before[-1]


def test_earlier_blocks_of_a_long_answer_are_not_laid_out_and_nothing_moves_by_that(visit: Visit) -> None:
    page = visit.page
    visit.send("slowly please")
    expect(visit.live).to_contain_text("Line 25.")
    page.evaluate(HIGH)
    visit.finished(1)
    page.wait_for_function("document.querySelectorAll('#history .md > div[style]').length === 40")
    page.wait_for_function(f"!{FIRST_BLOCK_IS_LAID_OUT}")
    high = page.evaluate("window.high")
    assert high == sorted(high), "it only grew"
    scrolled_to(page, 0)
    page.wait_for_function(FIRST_BLOCK_IS_LAID_OUT)
    assert page.evaluate("document.querySelector('#scroll').scrollHeight") == high[-1]
    visit.reload()
    expect(page.locator("#history .md > div")).to_have_count(80)
    page.wait_for_timeout(300)
    assert page.evaluate("document.querySelector('#scroll').scrollHeight") == high[-1]


def test_an_answer_becomes_history_as_it_stands(visit: Visit) -> None:
    visit.send("slowly please")
    page, scroll = visit.page, visit.page.locator("#scroll")
    expect(visit.live).to_contain_text("Line 25.")
    page.evaluate("() => { window.first = document.querySelector('#live .answer .md > div'); }")
    page.evaluate(WATCH, "Line 20.")
    page.evaluate(STANDS)
    scrolled_to(page, 200)
    expect(page.get_by_role("button", name="Jump to the latest")).to_be_visible()
    visit.finished(1)
    assert page.evaluate("window.gaps") == 0
    assert page.evaluate("window.first.isConnected && Boolean(window.first.closest('#history'))")
    assert abs(scroll.evaluate("e => e.scrollTop") - 200) < 4
    page.wait_for_timeout(300)
    stood = page.evaluate("window.stood")
    assert len(stood["apart"]) == 1 and len(stood["high"]) == 1, stood
    visit.ask("and then")
    [above, below] = page.evaluate(APART)
    assert stood["apart"][0] == below and below < above / 2


def test_an_answer_that_is_followed_to_its_end_stays_in_view(visit: Visit) -> None:
    visit.ask("lines of text")
    page = visit.page
    page.wait_for_function(AT_END, timeout=5000)
    expect(page.get_by_role("button", name="Jump to the latest")).to_be_hidden()
    scrolled_to(page, 0)
    page.get_by_role("button", name="Jump to the latest").click()
    page.wait_for_function(AT_END, timeout=5000)


def test_typing_while_an_answer_comes_loses_no_key(visit: Visit) -> None:
    visit.send("long one")
    expect(visit.live.locator(".answer-text")).to_contain_text("word5 ")
    visit.page.locator("#message").press_sequentially("the next question", delay=20)
    expect(visit.live.locator(".answer-text")).to_contain_text("word40 ")
    visit.page.keyboard.press("Enter")
    expect(visit.page.locator("#say")).to_have_text("An answer is being written here. Stop it or wait until it is done.")
    expect(visit.page.locator("#message")).to_have_value("the next question")
    visit.page.keyboard.press("Escape")
    visit.finished(1)
    expect(visit.page.locator("#message")).to_have_value("the next question")
    expect(visit.page.locator("#say")).to_be_empty()


def test_a_long_list_of_chats_shows_the_newest_and_older_ones_on_request(visit: Visit, scripted_app: ScriptedApp) -> None:
    old = time.time() - 40 * 86_400
    keep(scripted_app, *(chat_of(f"Old {number}", [("user", "x"), ("assistant", "y")], old - number) for number in range(ROWS + 1)))
    visit.reload()
    page, rows = visit.page, visit.page.locator("[data-chat-row]")
    expect(rows).to_have_count(ROWS)
    page.get_by_role("button", name="Show older chats").click()
    expect(page.get_by_role("link", name=f"Old {ROWS}", exact=True)).to_have_count(1)
    visit.ask("hello")
    expect(page.get_by_role("link", name=f"Old {ROWS}", exact=True)).to_have_count(1)
    expect(page.get_by_role("button", name="Show older chats")).to_have_count(0)
