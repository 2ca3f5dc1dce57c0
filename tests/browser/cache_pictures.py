"""The pictures of docs/guides/cache.md, from the real app and the Starter. `screenshots` takes them with the others."""

from playwright.sync_api import Browser, Page

from tests.browser.guide_pictures import SIZE, shoot
from tests.browser.visit import Visit

TALKS = (
    ("What does the temperature slider do?", "And what does the top p slider do?", "Thank you. What does the seed do?"),
    ("Spell the word keyboard.", "How do I stop an answer?"),
    ("My cat is called Pixel. Please remember that.",),
)
INSTRUCTIONS = ("Today is Sunday. Answer in one sentence.", "Today is Monday. Answer in one sentence.")


def take(browser: Browser, address: str) -> None:
    """A few chats, then what they left: the whole tab in both themes, the cost above the message box, and a change of the instructions."""
    with Visit.to(browser, address, SIZE) as visit:
        for talk in TALKS:
            visit.page.get_by_role("button", name="New chat").click()
            for text in talk:
                visit.ask(text)
                visit.page.wait_for_timeout(2500)
        cost(visit)
        tab(visit.page)
        visit.page.get_by_role("tab", name="Chat").click()
        instruct(visit)
    with Visit.to(browser, address, SIZE, "dark") as visit:
        visit.page.get_by_role("tab", name="Cache").click()
        visit.page.locator(".courses").wait_for()
        shoot(visit.page, "guide-cache-dark")


def cost(visit: Visit) -> None:
    visit.page.fill("#message", "And what is my cat called?")
    visit.page.locator("#meter .cost").wait_for()
    visit.page.wait_for_timeout(1000)
    shoot(visit.page, "guide-cache-cost", visit.page.locator("#composer"), above=32)
    visit.page.fill("#message", "")


def tab(page: Page) -> None:
    page.get_by_role("tab", name="Cache").click()
    page.locator(".courses").wait_for()
    shoot(page, "guide-cache", height=SIZE["height"])
    page.locator(".kept").scroll_into_view_if_needed()
    page.locator(".node.run").nth(1).hover()
    page.locator(".node.run").nth(1).get_by_role("button", name="Pin").click()
    page.locator(".node .pinned").first.wait_for()
    page.locator("#cache-say").evaluate("line => { line.textContent = ''; }")
    shoot(page, "guide-cache-tree", page.locator(".kept"), height=430)


def instruct(visit: Visit) -> None:
    """The same question under instructions that differ in one word."""
    page = visit.page
    for said in INSTRUCTIONS:
        page.get_by_role("button", name="New chat").click()
        page.evaluate("document.body.dataset.panel = 'prompt'")
        box = page.locator("#tuning [data-text=instructions]")
        box.fill(said)
        visit.ask("What does the temperature slider do?")
    page.evaluate("document.body.dataset.panel = ''")
    page.get_by_role("tab", name="Cache").click()
    prompt = page.locator(".prompt").first
    prompt.locator(".parting[open]").wait_for()
    prompt.scroll_into_view_if_needed()
    shoot(page, "guide-cache-miss", prompt)
