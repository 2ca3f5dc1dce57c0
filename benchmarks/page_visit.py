"""Chromium before one of the two pages: asks for an answer and gathers what was painted. Knows nothing of what is in the chat."""

import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import Browser, ConsoleMessage, Page

PROBE = Path(__file__).with_name("page_probe.js")
ROOT = Path(__file__).parent.parent
HANDOVER_S = 1.5
SETTLED_S = 1.0


class Asked(NamedTuple):
    """What the scripted model is asked for; `burst` of its tokens come at once in the beginning. Letters name the tokens."""

    shape: str
    rate: int
    tokens: int
    burst: int = 0
    name: str = "w"

    def __str__(self) -> str:
        return f"{self.shape} {self.rate} {self.tokens} {self.burst} {self.name}"


class Drawn(NamedTuple):
    """One answer as it was drawn. Rates in tokens a second; `behind_ms`: for 95 of 100 paints the oldest token in it had waited less.

    `longest_ms` is the longest task of the main thread while the answer streamed, `after_ms` the longest when it became history;
    `cpu` is the server's share of a core while it streamed; `keys_ms` how long 95 of 100 keys took to show.
    """

    painted: float
    delivered: float
    behind_ms: float
    longest_ms: float
    after_ms: float
    cpu: float
    keys_ms: float

    @property
    def share(self) -> float:
        return self.painted / self.delivered


class Server:
    """One of the two pages in a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        assert process.stdout is not None
        self._lines = process.stdout
        self.address = self._lines.readline().strip()

    def report(self) -> dict[str, float]:
        """What the model says of the answer it has just given."""
        said: dict[str, float] = json.loads(self._lines.readline())
        return said


@contextlib.contextmanager
def served(page: str, home: Path, *more: str) -> Iterator[Server]:
    """Start the app or its twin, and end it."""
    command = [sys.executable, "-m", "benchmarks.page_server", page, str(home), *more]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        yield Server(process)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def visited(browser: Browser) -> Iterator[Page]:
    """A page that counts."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.add_init_script(path=PROBE)
    try:
        yield page
    finally:
        context.close()


class Place(NamedTuple):
    """Where a page has its message box and its last answer."""

    box: str
    answer: str


def drawn(page: Page, server: Server, place: Place, asked: Asked, *, typing: bool = False) -> Drawn:
    """Ask, wait until the last token is on the screen, and say how it went."""
    page.evaluate("([selector, name]) => probe.watch(selector, name)", [place.answer, asked.name])
    page.fill(place.box, str(asked))
    page.press(place.box, "Enter")
    began = server.report()["began"]
    page.evaluate("() => { probe.seen.keys.length = 0; probe.seen.tasks.length = 0; }")
    while page.evaluate("probe.last()") < asked.tokens - 1:
        if typing:
            page.keyboard.type("a")
        page.wait_for_timeout(120 if typing else 250)
    page.wait_for_timeout(HANDOVER_S * 1000)
    seen = page.evaluate("probe.seen")
    ended = server.report()
    page.fill(place.box, "")
    return figures(asked, seen, began, ended["cpu"] / ended["seconds"])


class Glimpse(NamedTuple):
    """What was seen of an answer in a while: the last token on the screen, paints, and the longest task that ended meanwhile, in ms."""

    seconds: float
    token: int
    paints: int
    longest_ms: float

    @property
    def painted(self) -> float:
        """Tokens a second."""
        return self.token / self.seconds


def glimpsed(page: Page, server: Server, place: Place, asked: Asked, seconds: float) -> Glimpse:
    """Ask, and say what was on the screen `seconds` after the first token came; of a page that is too busy to be asked anything."""
    seen: dict[str, list[tuple[float, float]]] = {"paints": [], "tasks": []}

    def hear(message: ConsoleMessage) -> None:
        if message.text.startswith("probe "):
            _, what, at, number = message.text.split()
            seen[what].append((float(at) / 1000, float(number)))

    page.on("console", hear)
    page.evaluate("([selector, name]) => probe.watch(selector, name, true)", [place.answer, asked.name])
    page.fill(place.box, str(asked))
    page.press(place.box, "Enter", no_wait_after=True)
    until = server.report()["began"] + seconds
    while time.time() < until:
        page.wait_for_timeout(100)
    numbers = [int(number) for at, number in seen["paints"] if at <= until]
    longest = max((ms for at, ms in seen["tasks"] if at <= until), default=0.0)
    return Glimpse(seconds, max(numbers, default=0), len(numbers), longest)


def figures(asked: Asked, seen: dict[str, Any], began: float, cpu: float) -> Drawn:
    """What the page saw, from the first token's time on. A task may be told of after it: those that had ended by then are not counted."""
    step_s = 1 / asked.rate
    paints = [(at / 1000, number - asked.burst) for at, number in seen["paints"] if number >= asked.burst]
    last_s, last = paints[-1]
    waited = [at - began - (before + 1) * step_s for (_, before), (at, _) in pairwise(paints)]
    return Drawn(
        painted=last / (last_s - began),
        delivered=float(asked.rate),
        behind_ms=_high(waited) * 1000,
        longest_ms=max((ms for at, ms in seen["tasks"] if (at + ms) / 1000 > began and at / 1000 <= last_s), default=0.0),
        after_ms=max((ms for at, ms in seen["tasks"] if at / 1000 > last_s), default=0.0),
        cpu=cpu,
        keys_ms=_high(seen["keys"]),
    )


def _high(values: list[float]) -> float:
    """What 95 of 100 stay under."""
    return statistics.quantiles(values, n=20)[-1] if len(values) > 1 else float("nan")
