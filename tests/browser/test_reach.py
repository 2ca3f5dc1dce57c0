"""Reach: axe-core on every state of the page in both themes, wide and narrow; targets for a finger; nothing wider than the screen."""

import msgspec
import pytest
from playwright.sync_api import Browser, ViewportSize

from mlx_harmony.conversation.records import TurnOptions
from mlx_harmony.engine.protocols import ModelState
from tests.browser.axe import faults
from tests.browser.conftest import ScriptedApp
from tests.browser.visit import Scheme, Visit
from tests.fixtures.kept import STATE, large

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WIDE = ViewportSize(width=1440, height=900)
NARROW = ViewportSize(width=390, height=844)
SMALL = """() => [...document.querySelectorAll('#app :is(button, select, summary, textarea, a, input:not([type=checkbox]))')]
    .filter((each) => each.checkVisibility({ opacityProperty: true }) && !each.closest('p, li, td, .md') || each.matches('.chats a'))
    .map((each) => [each.outerHTML.slice(0, 120), each.getBoundingClientRect()])
    .filter(([, box]) => box.width && Math.min(box.width, box.height) < 39.5)
    .map(([html, box]) => `${Math.round(box.width)}x${Math.round(box.height)} ${html}`)"""

BESIDE = """() => {
    const [sign, line, middle] = ['.offline', '.starter', '#middle'].map((each) => document.querySelector(each).getBoundingClientRect());
    return sign.top >= line.bottom && sign.left >= middle.left && sign.right <= middle.right;
}"""


class Inspection:
    """One visitor's round through the page; `found` is all that is wrong with it."""

    def __init__(self, visit: Visit, width: int) -> None:
        self.visit = visit
        self.page = visit.page
        self.width = width
        self.found: list[str] = []

    @property
    def narrow(self) -> bool:
        return self.width < 900

    def look(self, state: str) -> None:
        # What has just been opened fades in; half seen, it has no contrast yet.
        self.page.evaluate(
            "Promise.allSettled(document.getAnimations().filter((each) => each.playState === 'running' && "
            "each.timeline === document.timeline && each.effect.getTiming().iterations < 9).map((each) => each.finished))"
        )
        self.found += faults(self.page, state)
        if (wide := self.page.evaluate("document.documentElement.scrollWidth")) > self.width:
            self.found.append(f"{state}: {wide} pixels wide")
        if self.narrow:
            self.found += [f"{state}: small: {each}" for each in self.page.evaluate(SMALL)]

    def press(self, name: str, role: str = "button") -> None:
        self.page.get_by_role(role, name=name, exact=True).first.click()  # type: ignore[arg-type]


def talking(round_: Inspection) -> None:
    """Empty, the sheet of keys, every voice, and an answer as it waits, loads, is written, is stopped and fails."""
    visit, page = round_.visit, round_.page
    round_.look("empty")
    page.keyboard.press("Control+/")
    round_.look("shortcuts")
    page.keyboard.press("Escape")
    visit.ask("voices")
    for fold in page.locator("#history summary").all():
        fold.click()
    round_.look("every voice")
    for words, state in (("long one", "streaming"), ("loading", "loading"), ("queued", "queued")):
        before = visit.answers.count()
        visit.send(words)
        visit.live.locator(".answer-text, .progress").first.wait_for()
        round_.look(state)
        page.keyboard.press("Escape")
        visit.finished(before + 1)
    round_.look("stopped")
    visit.send("crash")
    visit.finished(5)
    round_.look("crashed")


def panels(round_: Inspection) -> None:
    """The side panel's three parts, the list of chats with its menu and its search, the model's menu."""
    page = round_.page
    page.locator(".panel-open").click()
    for panel in ("tuning", "prompt", "details"):
        page.locator(f"#panel-{panel}").click()
        round_.look(panel)
    page.locator("#panel-tuning").click()
    page.get_by_label("Temperature, exact").fill("0.4")
    page.get_by_label("Name of a new preset").fill("For poems")
    round_.look("a preset to save")
    round_.press("Save as preset")
    page.locator(".presets[data-chosen=own]").wait_for()
    round_.look("a preset of one's own")
    round_.press("Delete this preset")
    page.locator("#say [data-do=undo]").wait_for()
    round_.look("a preset deleted")
    page.locator(".panel-open").click()
    if round_.narrow:
        round_.press("Show the list of chats")
    round_.look("list of chats")
    round_.press("Export and import")
    round_.look("menu of the list")
    page.keyboard.press("Escape")
    for words, state in (("sentence", "found"), ("no such words anywhere", "nothing found")):
        page.fill("#search", words)
        page.locator(".chats.found").wait_for()
        page.wait_for_timeout(300)
        round_.look(state)
    page.fill("#search", "")
    page.keyboard.press("Shift+Escape")
    if round_.narrow:
        page.locator("#veil").click(position={"x": 380, "y": 500})
    page.locator(".pill-face").click()
    round_.look("menu of models")
    page.keyboard.press("Escape")


def trash(round_: Inspection) -> None:
    """The trash with something in it, the question before it is emptied, and empty; and the question before a replay."""
    visit, page = round_.visit, round_.page
    visit.ask("to be deleted")
    page.locator(".ask").last.hover()
    round_.press("Delete this message and what follows")
    page.locator("#say [data-do=undo]").wait_for()
    page.evaluate("document.querySelector('#side-foot [data-view=trash]').click()")
    page.locator(".bin li").first.wait_for()
    round_.look("trash")
    page.locator("[data-do=ask-empty]").click()
    round_.look("question before emptying")
    round_.press("Remove for good")
    page.locator(".bin .nothing").wait_for()
    round_.look("empty trash")
    round_.press("Back to the chat")
    page.evaluate("document.querySelector('#replay-question').showModal()")
    round_.look("question before a replay")
    round_.press("Leave it")


def caches(round_: Inspection, app: ScriptedApp) -> None:
    """The Cache tab: nothing kept, all there can be, a question, folded, the disk full, and the model asleep."""
    page, engine = round_.page, app.provider.engine
    assert app.service
    app.do(app.service.load("starter"))
    page.get_by_role("tab", name="Cache").click()
    page.locator("#cache-view .nothing").wait_for()
    round_.look("nothing kept")
    engine.kept = msgspec.structs.replace(STATE, problem="No space left on device.")
    page.locator("#cache-view .node").first.wait_for()
    page.locator(".parting summary").first.wait_for()
    page.locator(".node").nth(1).click()
    round_.look("cache")
    page.locator(".node").nth(1).get_by_role("button", name="Drop").click()
    round_.look("question of the cache")
    page.keyboard.press("Escape")
    engine.kept = large()
    page.locator("[role=tree][data-folded=yes]").wait_for()
    round_.look("large cache")
    engine.kept = None
    app.do(app.service.unload("starter"))
    page.locator("#cache-view .dot.asleep").wait_for()
    round_.look("cache asleep")
    round_.press("Chat", "tab")


def places(round_: Inspection, app: ScriptedApp) -> None:
    """A chat whose model is gone, models that load and crash, the settings, the trash, and the app gone."""
    visit, page = round_.visit, round_.page
    assert app.service
    gone = app.do(app.service.create_chat(TurnOptions(model="someone/a-model-that-is-no-longer-on-this-machine-8bit")))
    page.evaluate(f"location.hash = 'chat={gone.summary.id}'")
    page.locator(".starter.gone").wait_for()
    round_.look("model missing")
    for state in (
        ModelState(id="starter", phase="loading", fraction=0.4),
        ModelState(id="starter", phase="crashed", problem="It was killed."),
    ):
        app.provider.standing = (state,)
        round_.press("Models", "tab")
        page.locator(f"#models-view .dot.{state.phase}").wait_for()
        round_.look(f"models {state.phase}")
        round_.press("Chat", "tab")
    app.provider.standing = ()
    round_.press("Settings", "tab")
    page.locator("#section-server").wait_for()
    round_.look("settings")
    round_.press("Chat", "tab")
    visit.assert_quiet()
    page.context.set_offline(True)
    page.locator("#offline").wait_for(timeout=15_000)
    page.fill("#message", "not lost")
    page.press("#message", "Enter")
    if not (page.locator("#say").inner_text().startswith("MLX Harmony is not running.") and page.input_value("#message") == "not lost"):
        round_.found.append("offline: nothing is said of a message that cannot be sent")
    if not page.evaluate(BESIDE):
        round_.found.append("offline: the sign covers the line above the conversation, or leaves the middle")
    round_.look("offline")


@pytest.mark.timeout(400)
@pytest.mark.parametrize(("scheme", "size"), [("light", WIDE), ("dark", WIDE), ("light", NARROW)], ids=["light", "dark", "narrow"])
def test_no_state_of_the_page_has_a_serious_fault(chromium: Browser, scripted_app: ScriptedApp, scheme: Scheme, size: ViewportSize) -> None:
    with Visit.to(chromium, scripted_app.address, size, scheme) as visit:
        round_ = Inspection(visit, size["width"])
        talking(round_)
        panels(round_)
        trash(round_)
        caches(round_, scripted_app)
        places(round_, scripted_app)
        assert round_.found == []


def test_the_inspection_finds_what_it_should(chromium: Browser, scripted_app: ScriptedApp) -> None:
    with Visit.to(chromium, scripted_app.address, NARROW) as visit:
        # On top of everything and on a ground of its own: axe passes over words whose background it cannot be sure of.
        visit.page.evaluate(
            "document.querySelector('#app').insertAdjacentHTML('beforeend', "
            '\'<div style="position:fixed;inset:60px 0 auto;z-index:9999;background:#fff">'
            '<button style="width:20px"></button><p style="color:#eee">pale words</p></div>\')'
        )
        round_ = Inspection(visit, 390)
        round_.look("spoilt")
        found = " ".join(round_.found)
        assert "button-name" in found and "color-contrast" in found and "small: 20x" in found
