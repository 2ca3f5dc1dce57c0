"""The pictures of docs/guides/chat.md, from the real app and the Starter. `screenshots` takes them with the others."""

import io
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Locator, Page, ViewportSize

from tests.browser.visit import Visit

IMAGES = Path(__file__).parent.parent.parent / "docs" / "images"
COLOURS = 255
SIZE = ViewportSize(width=1200, height=760)
NOTES = "Garden plan\n\nBeds: 4\nTomatoes: 6\nBeans: 12\nWater in the evening.\n"
DROP = """([name, text]) => {
  const carried = new DataTransfer();
  carried.items.add(new File([text], name));
  document.querySelector("#middle").dispatchEvent(new DragEvent("drop", { dataTransfer: carried, bubbles: true, cancelable: true }));
}"""


def take(browser: Browser, address: str) -> None:
    """Every picture of the guide, each in a window of its own."""
    pictures: tuple[Callable[[Visit], None], ...] = (
        thinking,
        versions,
        searching,
        attaching,
        commands,
        tuning,
        context,
        trash,
        keys,
        details,
    )
    for picture in pictures:
        with Visit.to(browser, address, SIZE, "dark" if picture is details else "light") as visit:
            visit.page.get_by_role("button", name="New chat").click()
            picture(visit)


def thinking(visit: Visit) -> None:
    visit.ask("What does the temperature slider do?")
    visit.page.locator("#history .thinking summary").click()
    visit.answers.last.hover()
    shoot(visit.page, "guide-chat")


def versions(visit: Visit) -> None:
    page = visit.page
    visit.ask("Spell the word keyboard.")
    ask = page.locator(".ask").first
    ask.hover()
    ask.locator("[data-do=edit]").click()
    ask.locator("textarea").fill("Spell the word garden.")
    ask.locator("textarea").press("Enter")
    page.locator(".ask .versions").wait_for()
    visit.finished(1)
    ask.hover()
    shoot(page, "guide-versions", page.locator("#middle"), height=330)


def searching(visit: Visit) -> None:
    page = visit.page
    visit.ask("My cat is called Pixel. Please remember that.")
    page.get_by_role("button", name="New chat").click()
    page.get_by_role("searchbox", name="Search chats").fill("pixel")
    page.locator(".place").first.click()
    page.locator("article.sought").wait_for()
    shoot(page, "guide-search", height=420)


def attaching(visit: Visit) -> None:
    page = visit.page
    page.evaluate(DROP, ["garden.txt", NOTES])
    page.locator("#tray .chip").wait_for()
    page.fill("#message", "How many tomatoes are in this plan?")
    shoot(page, "guide-attach", page.locator("#composer"))


def commands(visit: Visit) -> None:
    page = visit.page
    page.locator("#message").press_sequentially("\\")
    page.locator("#suggest").wait_for()
    shoot(page, "guide-commands", page.locator("#composer"), above=230)


def tuning(visit: Visit) -> None:
    page = visit.page
    page.locator(".panel-open").click()
    page.get_by_role("slider", name="Temperature").fill("0.4")
    shoot(page, "guide-tuning", page.locator("#panel"))


def context(visit: Visit) -> None:
    page = visit.page
    visit.ask("My name is Mira. Please remember that.")
    visit.limit_context(200)
    page.locator(".panel-open").click()
    for question in ("What does the temperature slider do?", "What does the top p slider do?", "What does the seed do?"):
        visit.ask(question)
    page.locator(".seen-from").scroll_into_view_if_needed()
    page.locator(".meter.over").wait_for()
    shoot(page, "guide-context", page.locator("#middle"))


def trash(visit: Visit) -> None:
    page = visit.page
    visit.ask("What is the weather like?")
    row = page.locator("[data-chat-row]").first
    row.hover()
    row.locator("[data-do=remove]").click()
    page.get_by_role("button", name="Trash").first.click()
    page.locator("[data-bin-row]").first.wait_for()
    shoot(page, "guide-trash", height=420)


def keys(visit: Visit) -> None:
    visit.page.keyboard.press("Shift+Escape")
    visit.page.keyboard.press("Control+/")
    sheet = visit.page.locator("#shortcuts-sheet")
    sheet.wait_for()
    shoot(visit.page, "guide-keys", sheet)


def details(visit: Visit) -> None:
    page = visit.page
    page.get_by_role("button", name="Offer the Python tool").click()
    visit.ask("What is 417 × 36?")
    visit.answers.last.hover()
    visit.answers.last.locator("[data-do=details]").click()
    page.locator("#details .lanes").wait_for()
    page.locator("#details [data-do=raw]").check()
    page.locator("#details .written, #details .raw").first.wait_for()
    shoot(page, "guide-details")


def shoot(page: Page, name: str, part: Locator | None = None, *, height: float = 0, above: float = 0) -> None:
    """The page, or a part of it: at most `height` pixels of it, and `above` pixels over it."""
    page.wait_for_timeout(500)
    box = (part.bounding_box() if part else None) or {"x": 0, "y": 0, **SIZE}
    clip = {"x": box["x"], "y": box["y"] - above, "width": box["width"], "height": min(box["height"] + above, height or 10_000)}
    picture = page.screenshot(clip=clip, animations="disabled")  # type: ignore[arg-type]
    Image.open(io.BytesIO(picture)).convert("RGB").quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE).save(
        IMAGES / f"{name}.png", optimize=True
    )
