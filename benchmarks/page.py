"""How fast the page is: a chat of 1,000 messages, 60 of its answers long, beside the same chat in plain Gradio. Prints Markdown tables.

Run `python -m benchmarks.page [--quick] [--only app|twin]`. The pages, their scripted model and Chromium share this machine's cores.
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from string import ascii_lowercase

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.page_texts import LONG, MESSAGES, chat_of, long_chat
from benchmarks.page_visit import Asked, Drawn, Place, drawn, glimpsed, served, visited
from mlx_harmony.conversation.store import Store
from tests.browser.visit import launch

CHATS = 2000
RATES = (25, 50, 100)
BURST = 20_000
APP = Place("#message", ".answer .md")
TWIN = Place("#box textarea", "#chat [data-testid=bot]")
TWIN_MESSAGES = (20, MESSAGES)
TWIN_S = 20.0
"""How long plain Gradio is watched: as long as its answer comes. Its page falls behind without end, so nobody waits for that."""
WAIT_MS = 60_000
EARLIER = "#history .earlier"
STANDS = "document.querySelectorAll('#history article').length >= 60 && !document.querySelector('#tuning input:disabled')"


async def fill(home: Path) -> str:
    """Keep the chat, and beside it as many small ones as make a long list; gives the chat's id."""
    store = await Store.open(home / "chats.sqlite3")
    now = time.time()
    for number in range(CHATS - 1):
        small = chat_of(f"Chat {number}", [("user", f"Question {number}"), ("assistant", "Answer.")], now - 3600 * (number + 1))
        await store.add_chat(small)
    chat = chat_of("A thousand messages", long_chat(), now)
    await store.add_chat(chat)
    await store.close()
    return chat.summary.id


def opened(page: Page, chat_id: str) -> float:
    """Milliseconds from choosing the chat in the list until it stands there and can be used."""
    page.evaluate("() => document.querySelector('.new').click()")
    page.wait_for_timeout(700)
    row = f"[data-chat-row='{chat_id}'] a"
    page.evaluate("() => { probe.seen.tasks.length = 0; }")
    took: float = page.evaluate(f'() => probe.timed(() => document.querySelector("{row}").click(), () => {STANDS})')
    page.wait_for_timeout(700)
    return took


def unfolded(page: Page) -> int:
    """Have all earlier messages shown, and say how many stand there then."""
    while (earlier := page.locator(EARLIER)).count():
        before = page.locator("#history article").count()
        earlier.first.evaluate("button => button.click()")
        page.wait_for_function(f"document.querySelectorAll('#history article').length > {before}", timeout=WAIT_MS)
    page.wait_for_timeout(2000)
    return page.locator("#history article").count()


def measure_app(browser: Browser, home: Path, chat_id: str, seconds: int) -> str:
    """Print the app's rows; gives what else there is to say."""
    with served("app", home) as server, visited(browser) as page:
        began = time.monotonic()
        page.goto(server.address)
        page.wait_for_selector(f"[data-chat-row='{chat_id}']", timeout=WAIT_MS)
        arrived = time.monotonic() - began
        page.wait_for_timeout(2000)
        first, again = opened(page, chat_id), opened(page, chat_id)
        names = iter(ascii_lowercase)
        for rate in RATES:
            told(f"the app, {rate} tok/s", drawn(page, server, APP, Asked("mixed", rate, rate * seconds, name=next(names))))
        typed = drawn(page, server, APP, Asked("mixed", 100, 100 * seconds, name=next(names)), typing=True)
        told("the app, 100 tok/s, while somebody types", typed)
        shown = unfolded(page)
        whole = drawn(page, server, APP, Asked("mixed", 100, 100 * seconds, name=next(names)))
        told(f"the app, 100 tok/s, with all {shown:,} messages shown", whole)
        opened(page, chat_id)
        for shape, what in (("mixed", "a long answer"), ("fence", "one block of code")):
            asked = Asked(shape, 100, BURST + 100 * seconds, BURST, next(names))
            told(f"the app, 100 tok/s, from token {BURST:,} of {what} on", drawn(page, server, APP, asked))
    return (
        f"With {CHATS:,} chats in the list the page can be used {arrived:.1f} s after its address was entered; this chat stands there "
        f"{first:.0f} ms after it was chosen, {again:.0f} ms the second time. While an answer is written, a key shows after "
        f"{typed.keys_ms:.0f} ms (95 of 100)."
    )


def measure_twin(browser: Browser, home: Path, messages: int) -> str:
    """Print the row of plain Gradio with the last of the chat's messages; gives what else there is to say."""
    with served("twin", home, f"--messages={messages}") as server, visited(browser) as page:
        began = time.monotonic()
        page.goto(server.address)
        whole = "n => document.querySelectorAll('#chat [data-testid=bot]').length >= n"
        page.wait_for_function(whole, arg=messages // 2, timeout=WAIT_MS)
        arrived = time.monotonic() - began
        page.wait_for_timeout(3000)
        seen = glimpsed(page, server, TWIN, Asked("mixed", 100, round(100 * TWIN_S)), TWIN_S)
    name = f"plain Gradio, {messages:,} messages, 100 tok/s"
    row(name, f"{seen.painted:.1f}", f"{seen.painted / 100:.1%}", "—", f"{seen.longest_ms:.0f}", "—", "—")
    return (
        f"Plain Gradio showed {messages:,} messages {arrived:.1f} s after its address was entered. In the {TWIN_S:.0f} s in which its "
        f"answer came it painted {seen.paints} times; the last paint showed token {seen.token:,}."
    )


def told(what: str, one: Drawn) -> None:
    """Print one row of the table."""
    ms = (f"{figure:.0f}" for figure in (one.behind_ms, one.longest_ms, one.after_ms))
    row(what, f"{one.painted:.1f}", f"{one.share:.1%}", *ms, f"{one.cpu:.0%}")


def row(*cells: str) -> None:
    print("|", " | ".join(cells), "|", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a third of the tokens")
    parser.add_argument("--only", choices=["app", "twin"])
    given = parser.parse_args()
    print(f"A chat of {MESSAGES:,} messages, the last {LONG} answers long, in Chromium.\n")
    print("| | painted tok/s | of what came | behind, ms | longest task, ms | after its end, ms | server’s share of a core |")
    print("|---|---:|---:|---:|---:|---:|---:|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        chat_id = asyncio.run(fill(home)) if given.only != "twin" else ""
        with sync_playwright() as playwright:
            browser = launch(playwright)
            said = [measure_app(browser, home, chat_id, 4 if given.quick else 12)] if given.only != "twin" else []
            said += [measure_twin(browser, home, messages) for messages in TWIN_MESSAGES] if given.only != "app" else []
            browser.close()
    print("", *said, sep="\n")


if __name__ == "__main__":
    main()
