"""Takes the pictures of docs/images from the real app and the Starter: `python -m tests.browser.screenshots`."""

import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, ViewportSize, sync_playwright

from tests.browser import cache_pictures, guide_pictures, models_pictures
from tests.browser.visit import Visit, launch
from tests.fixtures.hub_server import HubServer
from tests.fixtures.server import serving

IMAGES = Path(__file__).parent.parent.parent / "docs" / "images"
WIDE = ViewportSize(width=1440, height=900)
NARROW = ViewportSize(width=390, height=844)
TALK = ("Who are you?", "What does the temperature slider do?", "What is 417 × 36?")


def talk(visit: Visit) -> None:
    """A short conversation with a tool on offer, at temperature 0 so that it is the same each time."""
    visit.page.locator(".panel-open").click()
    visit.page.get_by_role("slider", name="Temperature").fill("0")
    visit.page.get_by_role("button", name="Offer the Python tool").click()
    for text in TALK:
        visit.ask(text)


def chat_pictures(browser: Browser, address: str) -> None:
    with Visit.to(browser, address, WIDE) as visit:
        for title in ("Sort these words: pear, apple, fig, cherry.", "How do I stop an answer?"):
            visit.ask(title)
            visit.page.get_by_role("button", name="New chat").click()
        talk(visit)
        visit.page.mouse.move(700, 500)
        shoot(visit, "chat-light")
        visit.page.get_by_role("radio", name="Dark").first.click()
        visit.page.locator("#history .answer").nth(1).hover()
        visit.page.locator("#history .answer [data-do=details]").nth(1).click()
        visit.page.locator("#details .lanes").wait_for()
        visit.page.mouse.move(700, 500)
        shoot(visit, "chat-dark")


def other_pictures(browser: Browser, address: str) -> None:
    with Visit.to(browser, address, WIDE) as visit:
        visit.page.get_by_role("radio", name="Light").first.click()
        visit.page.get_by_role("tab", name="Models").click()
        visit.page.locator("[data-model-row]").first.wait_for()
        shoot(visit, "models-light")
        visit.page.get_by_role("tab", name="Settings").click()
        visit.page.locator("#section-server").wait_for()
        visit.page.get_by_role("radio", name="Dark").first.click()
        shoot(visit, "settings-dark")
    with Visit.to(browser, address, NARROW) as visit:
        visit.page.evaluate("localStorage.setItem('theme', 'light')")
        visit.reload()
        for text in TALK[:2]:
            visit.ask(text)
        shoot(visit, "chat-narrow")


def shoot(visit: Visit, name: str) -> None:
    visit.page.wait_for_timeout(400)
    visit.page.screenshot(path=IMAGES / f"{name}.png", animations="disabled")


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp()) / "mlx-harmony"
    with serving(home, environment={"HF_HUB_OFFLINE": "1"}) as app, sync_playwright() as tool:
        browser = launch(tool)
        chat_pictures(browser, app.address)
        other_pictures(browser, app.address)
        browser.close()
    home = home.with_name("guide")
    with serving(home, environment={"HF_HUB_OFFLINE": "1"}) as app, sync_playwright() as tool:
        browser = launch(tool)
        guide_pictures.take(browser, app.address)
        browser.close()
    home = home.with_name("cache")
    with serving(home, environment={"HF_HUB_OFFLINE": "1"}) as app, sync_playwright() as tool:
        browser = launch(tool)
        cache_pictures.take(browser, app.address)
        browser.close()
    with HubServer() as hub:
        environment = models_pictures.environment(home.parent, hub)
        with serving(home.with_name("models"), environment=environment) as app, sync_playwright() as tool:
            browser = launch(tool)
            models_pictures.take(browser, app.address)
            browser.close()
    shutil.rmtree(home.parent)


if __name__ == "__main__":
    main()
