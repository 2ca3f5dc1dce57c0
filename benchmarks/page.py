"""How fast the page is: a chat of 1,000 messages, 60 of its answers long, beside the same chat in plain Gradio. Prints Markdown tables.

Run `python -m benchmarks.page [--quick] [--only app|twin]`. The pages, their scripted model and Chromium share this machine's cores.
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.page_texts import LONG, MESSAGES, chat_of, long_chat
from benchmarks.page_visit import Asked, Drawn, Place, drawn, served, visited
from mlx_harmony.conversation.store import Store
from tests.browser.visit import launch

CHATS = 2000
RATES = (25, 50, 100)
APP = Place("#message", "#live .md")
TWIN = Place("#box textarea", "#chat [data-testid=bot]")
TWIN_LIMIT_S = 20.0
BURST = 20_000
READY = "() => document.querySelectorAll('#history article').length >= 60 && !document.querySelector('#tuning input:disabled')"


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
    took: float = page.evaluate(f'() => probe.timed(() => document.querySelector("{row}").click(), {READY})')
    page.wait_for_timeout(700)
    return took


def app_rows(browser: Browser, home: Path, chat_id: str, quick: bool) -> None:
    """Measure the app and print its tables."""
    seconds = 4 if quick else 12
    with served("app", home) as server, visited(browser) as page:
        began = time.monotonic()
        page.goto(server.address)
        page.wait_for_selector(f"[data-chat-row='{chat_id}']", timeout=60_000)
        arrived = time.monotonic() - began
        page.wait_for_timeout(2000)
        first = opened(page, chat_id)
        again = opened(page, chat_id)
        print(
            f"| the app, {rate_of(RATES[0])} | {row(drawn(page, server, APP, Asked('mixed', RATES[0], RATES[0] * seconds)))} |", flush=True
        )
        for rate in RATES[1:]:
            print(f"| the app, {rate_of(rate)} | {row(drawn(page, server, APP, Asked('mixed', rate, rate * seconds)))} |", flush=True)
        typed = drawn(page, server, APP, Asked("mixed", 100, 100 * seconds), typing=True)
        print(f"| the same while somebody types | {row(typed)} |", flush=True)
        for shape, what in (("mixed", "20,000 tokens on"), ("fence", "20,000 tokens of code on")):
            long = drawn(page, server, APP, Asked(shape, 100, BURST + 100 * seconds, BURST))
            print(f"| the app, {rate_of(100)}, {what} | {row(long)} |", flush=True)
    print(f"\nUsable: the page with {CHATS} chats in the list {arrived:.1f} s after its address was entered, ", end="")
    print(f"the chat {first:.0f} ms after it was chosen, {again:.0f} ms the second time. A key shows after {typed.keys_ms:.0f} ms.\n")


def twin_rows(browser: Browser, home: Path) -> None:
    with served("twin", home) as server, visited(browser) as page:
        began = time.monotonic()
        page.goto(server.address)
        page.wait_for_function("n => document.querySelectorAll('#chat [data-testid=bot]').length >= n", arg=MESSAGES // 2, timeout=120_000)
        arrived = time.monotonic() - began
        page.wait_for_timeout(3000)
        shown = drawn(page, server, TWIN, Asked("mixed", 100, 1200), limit_s=TWIN_LIMIT_S)
        print(f"| plain Gradio, {rate_of(100)} | {row(shown)} |")
        print(f"\nPlain Gradio's page showed the chat {arrived:.1f} s after its address was entered.\n")


def rate_of(rate: int) -> str:
    return f"{rate} tok/s"


def row(one: Drawn) -> str:
    cells = (
        f"{one.painted:.1f}",
        f"{one.share:.1%}",
        f"{one.behind_ms:.0f}",
        f"{one.longest_ms:.0f}",
        f"{one.after_ms:.0f}",
        f"{one.cpu:.0%}",
    )
    return " | ".join(cell.replace("nan", "—") for cell in cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a third of the tokens")
    parser.add_argument("--only", choices=["app", "twin"])
    given = parser.parse_args()
    print(f"A chat of {MESSAGES} messages, the last {LONG} answers long, in Chromium.\n")
    print("| | painted tok/s | of what came | behind, ms | longest task, ms | when it ended, ms | server’s share of a core |")
    print("|---|---:|---:|---:|---:|---:|---:|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        chat_id = asyncio.run(fill(home)) if given.only != "twin" else ""
        with sync_playwright() as playwright:
            measure(launch(playwright), home, chat_id, given)


def measure(browser: Browser, home: Path, chat_id: str, given: argparse.Namespace) -> None:
    if given.only != "twin":
        app_rows(browser, home, chat_id, given.quick)
    if given.only != "app":
        twin_rows(browser, home)
    browser.close()


if __name__ == "__main__":
    main()
