"""A visitor of the page: what a person does, in a person's words, and what the browser noticed meanwhile."""

import contextlib
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Locator, Page, Playwright, ViewportSize, expect

ANSWER_MS = 60_000
Scheme = Literal["light", "dark"]
SYSTEM_CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def a_word_of_its_own() -> str:
    """A word that no other chat holds: the tests of a session share one program, and a test that is tried again finds its first chat."""
    return f"quagga{uuid.uuid4().hex[:8]}"


def launch(playwright: Playwright) -> Browser:
    """The distribution's Chromium where there is one, else Playwright's own."""
    path = str(SYSTEM_CHROMIUM) if SYSTEM_CHROMIUM.exists() else None
    return playwright.chromium.launch(executable_path=path, args=FLAGS)


class Visit:
    """One fresh browser context with one page. `complaints` are console errors, page errors and requests to anywhere else."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address
        self.complaints: list[str] = []
        self._leaving = False
        page.on("console", lambda message: self._note("console", message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self._note("script", str(error)))
        page.on("request", lambda request: None if self._is_ours(request.url) else self._note("request", request.url))

    @classmethod
    @contextlib.contextmanager
    def to(cls, browser: Browser, address: str, size: ViewportSize, scheme: Scheme = "light", *, first: str = "") -> Iterator["Visit"]:
        """`first` is a script that runs before any of the page's."""
        context = browser.new_context(viewport=size, color_scheme=scheme)
        try:
            if first:
                context.add_init_script(first)
            visit = cls(context.new_page(), address)
            visit.open()
            yield visit
        finally:
            context.close()

    def open(self, path: str = "/") -> None:
        self.page.goto(self.address + path)
        self.page.wait_for_selector("body[data-ready=yes]", timeout=30_000)
        expect(self.page.locator("#pill .pill-face")).to_be_visible()
        expect(self.page.locator("#tuning .options")).to_have_count(1)

    def reload(self) -> None:
        """Load the page anew. What the old one complains of while it is torn from its open stream is not counted."""
        self._leave(self.page.reload)

    def go(self, address: str) -> None:
        """Leave the page for an address of the app, with the same leniency."""
        self._leave(lambda: self.page.goto(address))

    def _leave(self, how: Callable[[], object]) -> None:
        self._leaving = True
        how()
        self.page.wait_for_selector("body[data-ready=yes]", timeout=30_000)
        self._leaving = False

    def send(self, text: str) -> None:
        """Type and send; returns once the answer has begun."""
        self.page.fill("#message", text)
        self.page.press("#message", "Enter")
        expect(self.page.locator(".ask .typed").last).to_have_text(text.strip(), timeout=10_000)

    def ask(self, text: str) -> Locator:
        """Send and wait for the whole answer."""
        before = self.answers.count()
        self.send(text)
        return self.finished(before + 1)

    def finished(self, count: int) -> Locator:
        """The last of `count` kept answers, once it stands there."""
        expect(self.answers).to_have_count(count, timeout=ANSWER_MS)
        expect(self.page.locator("body")).to_have_attribute("data-busy", "no", timeout=ANSWER_MS)
        return self.answers.last

    def limit_context(self, tokens: int) -> None:
        """The chat's context limit, set in the Tuning panel, which is open then."""
        if not self.page.locator("#tuning").is_visible():
            self.page.locator(".panel-open").click()
        self.page.get_by_label("Context limit, exact").fill(str(tokens))

    @property
    def answers(self) -> Locator:
        return self.page.locator("#history .answer")

    @property
    def live(self) -> Locator:
        return self.page.locator("#live .answer")

    @property
    def chat_id(self) -> str:
        return self.page.url.partition("#chat=")[2]

    def assert_quiet(self) -> None:
        assert not self.complaints, self.complaints

    def _note(self, kind: str, text: str) -> None:
        if not self._leaving or kind == "request":
            self.complaints.append(f"{kind}: {text}")

    def _is_ours(self, url: str) -> bool:
        return url.startswith((self.address, "data:", "blob:"))
