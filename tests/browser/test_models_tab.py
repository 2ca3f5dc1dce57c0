"""The Models tab in a browser over a made-up cache: found, opened, loaded, selected on the map, deleted, undone, brought back."""

import asyncio
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect

from mlx_harmony.engine.protocols import ModelState
from mlx_harmony.errors import OutOfMemory
from mlx_harmony.records import ModelCard, ModelEntry
from tests.browser.conftest import WIDE, ScriptedApp
from tests.browser.scripts import script
from tests.browser.test_reach import NARROW, Inspection
from tests.browser.visit import Scheme, Visit
from tests.fixtures.hub_cache import HubCache, build
from tests.fixtures.provider import ScriptedProvider

pytestmark = [pytest.mark.browser, pytest.mark.slow]


class SlowProvider(ScriptedProvider):
    """Loads org/A until it is left, and org/B only by force."""

    async def load(self, entry: ModelEntry, *, force: bool = False) -> ModelCard:
        if entry.id == "org/B" and not force:
            raise OutOfMemory("The model org/B needs at least 9 GB.", hint="Load it anyway, or choose a smaller one.")
        if entry.id == "org/A":
            self.standing = (ModelState(id=entry.id, phase="loading", fraction=0.4),)
            try:
                await asyncio.sleep(60)
            finally:
                self.standing = ()
        return await super().load(entry, force=force)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> HubCache:
    made = build(tmp_path_factory.mktemp("models") / "hub")
    made.incomplete("org/A", 150)
    return made


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, cache: HubCache) -> Iterator[ScriptedApp]:
    """One with FX4 as its Hugging Face cache, and an alias."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HF_HUB_CACHE", str(cache.root))
        home = tmp_path_factory.mktemp("models") / "home"
        home.mkdir()
        (home / "aliases.json").write_text('{"either": {"models": ["starter", "org/B"], "strategy": "first"}}')
        made = ScriptedApp(home)
        made.provider = SlowProvider(script)
        yield made.start()
        made.stop()


@pytest.fixture
def page(chromium: Browser, app: ScriptedApp) -> Iterator[Page]:
    """The tab, as soon as it is drawn."""
    with Visit.to(chromium, app.address, WIDE) as visit:
        open_models(visit.page)
        yield visit.page
        visit.assert_quiet()


def open_models(page: Page) -> None:
    page.get_by_role("tab", name="Models", exact=True).click()
    expect(row(page, "org/A")).to_be_visible()


def row(page: Page, model: str) -> Locator:
    return page.locator(f"[data-model-row='{model}']")


def shown(page: Page) -> list[str]:
    return page.locator("[data-model-row]").evaluate_all("rows => rows.map(each => each.dataset.modelRow)")


def tile(page: Page, name: str) -> Locator:
    return page.locator(".tiles").get_by_role("button", name=name)


def delete(page: Page, expected: str) -> None:
    """Answer the question that names this."""
    page.locator(".pick-bar").get_by_role("button", name="Delete…").click()
    question = page.locator("#removal-question")
    expect(question).to_contain_text(expected)
    question.get_by_role("button", name=re.compile("to the trash")).click()
    expect(question).to_be_hidden()


def test_models_are_found_sorted_and_opened(page: Page) -> None:
    page.get_by_role("searchbox", name="Name or pattern").fill("*/[ab]")
    expect(page.locator("[data-model-row]")).to_have_count(2)
    expect(page.locator(".shown")).to_contain_text(re.compile(r"2 of \d models"))
    page.get_by_role("columnheader", name="Size").get_by_role("button").click()
    expect(page.locator("[aria-sort=descending]")).to_contain_text("Size")
    assert shown(page) == ["org/B", "org/A"]
    page.get_by_role("columnheader", name="Size").get_by_role("button").click()
    expect(page.locator("[aria-sort=ascending]")).to_contain_text("Size")
    assert shown(page) == ["org/A", "org/B"]
    page.get_by_role("searchbox", name="Name or pattern").fill("nothing so called")
    page.get_by_role("button", name="Show all").click()
    expect(row(page, "starter")).to_be_visible()

    row(page, "starter").get_by_role("button", name="Starter", exact=True).click()
    drawer = page.get_by_role("complementary", name="Starter")
    expect(drawer.get_by_role("heading", name="Starter")).to_be_focused()
    expect(drawer.locator(".facts")).to_contain_text("gpt_oss")
    context = drawer.get_by_role("slider", name="Context")
    expect(drawer.locator(".forecast-context")).to_have_text("4,096 tokens")
    context.fill("0")
    expect(drawer.locator(".forecast-context")).to_have_text("1,024 tokens")
    # What is drawn anew meanwhile leaves the slider where it is.
    page.wait_for_timeout(4500)
    expect(drawer.locator(".forecast-context")).to_have_text("1,024 tokens")
    page.keyboard.press("Escape")
    expect(drawer).to_have_count(0)
    expect(row(page, "starter").get_by_role("button", name="Starter", exact=True)).to_be_focused()


def test_a_model_that_loads_tells_its_percent_and_one_refused_is_loaded_anyway(page: Page, app: ScriptedApp) -> None:
    row(page, "org/A").get_by_role("button", name="Load A").click()
    expect(row(page, "org/A").locator(".phase")).to_have_text("loading 40 %")
    row(page, "org/A").get_by_role("button", name="Cancel loading A").click()
    expect(row(page, "org/A").locator(".phase")).to_have_text("asleep")
    row(page, "org/B").get_by_role("button", name="Load B").click()
    expect(page.locator("#models-say")).to_contain_text("needs at least 9 GB")
    row(page, "org/B").get_by_role("button", name="Load anyway: B").click()
    expect(row(page, "org/B").locator(".phase")).to_have_text("awake")
    row(page, "org/B").get_by_role("button", name="Unload B").click()
    expect(row(page, "org/B").locator(".phase")).to_have_text("asleep")

    row(page, "org/B").get_by_role("button", name="B", exact=True).click()
    page.get_by_role("button", name="Pin", exact=True).click()
    expect(row(page, "org/B")).to_contain_text("pinned")
    page.get_by_text("Make a profile…").click()
    page.get_by_role("textbox", name="Name of the new profile").fill("small talk")
    page.get_by_role("button", name="Make it").click()
    expect(page.locator(".used-by")).to_contain_text("Profile small talk")
    page.get_by_role("button", name="Unpin").click()
    expect(page.locator("#models-say")).to_contain_text("No longer pinned")
    assert app.service and app.service.settings.pinned_models == ()


def test_the_chats_of_a_model_are_opened_from_its_drawer(chromium: Browser, app: ScriptedApp) -> None:
    with Visit.to(chromium, app.address, WIDE) as visit:
        page = visit.page
        visit.ask("The potting of ferns")
        open_models(page)
        row(page, "starter").get_by_role("button", name="Starter", exact=True).click()
        for opened in ("the chat that is open already", "another one"):
            open_models(page)
            page.locator(".used-by").get_by_role("link", name="The potting of ferns").first.click()
            expect(page.get_by_role("tab", name="Chat", exact=True), opened).to_have_attribute("aria-selected", "true")
            expect(page.locator("#history")).to_contain_text("The potting of ferns")
            page.get_by_role("button", name="New chat").first.click()
        visit.assert_quiet()


def test_an_alias_tells_whom_it_leads_to_and_is_talked_to(page: Page) -> None:
    alias = page.locator("[data-alias=either]")
    expect(alias).to_contain_text("The first that can")
    alias.get_by_role("button", name="Use either as default").click()
    expect(alias.locator(".tag")).to_have_text("default")
    alias.get_by_role("button", name="Chat with either").click()
    expect(page.locator("#pill")).to_contain_text("either")
    open_models(page)
    page.locator("[data-model-row=starter] .opener").click()
    page.get_by_role("button", name="Use as default", exact=True).click()
    expect(alias.locator(".tag")).to_have_count(0)


def test_an_alias_is_made_changed_removed_and_brought_back(page: Page, app: ScriptedApp) -> None:
    form, fault = page.locator("#alias-sheet"), page.locator("#alias-sheet .field-error:visible")
    page.get_by_role("button", name="New alias").click()
    expect(form.get_by_label("Name")).to_be_focused()
    form.get_by_label("Name").fill("org/A")
    form.get_by_role("button", name="Save").click()
    expect(fault).to_have_text(re.compile("a model is called"))
    expect(form.get_by_label("Name")).to_be_focused()
    expect(form.get_by_label("Name")).to_have_attribute("aria-invalid", "true")

    form.get_by_label("Name").fill("ours")
    form.get_by_role("combobox", name="Model").select_option("org/B")
    form.get_by_role("button", name="Add a model").first.click()
    form.get_by_role("button", name="Add a rule").click()
    form.get_by_role("textbox", name="Tokens, at least").fill("40")
    form.get_by_role("textbox", name="Tokens, at most").fill("8")
    page.keyboard.press("Enter")
    expect(fault).to_have_text("This is less than min_tokens, so the rule never holds.")
    expect(form.get_by_role("textbox", name="Tokens, at most")).to_be_focused()
    form.get_by_role("textbox", name="Tokens, at most").fill("")
    form.get_by_role("combobox", name="Who answers").select_option("either")
    form.get_by_role("button", name="Save").click()
    expect(form).to_be_hidden()
    alias = page.locator("[data-alias=ours]")
    expect(alias).to_contain_text("Where the prompt has at least 40 tokens")
    expect(alias).to_contain_text("org/B, starter")

    alias.get_by_role("button", name="Change ours").click()
    form.get_by_role("button", name="Move up").locator("visible=true").first.click()
    form.get_by_role("radio", name="The first that can").click()
    form.get_by_role("button", name="Take the rule out").click()
    page.keyboard.press("Escape")
    expect(form).to_be_hidden()
    alias.get_by_role("button", name="Change ours").click()
    expect(form.get_by_role("button", name="Take the rule out")).to_have_count(1)
    form.get_by_role("button", name="Take the rule out").click()
    form.get_by_role("button", name="Move up").locator("visible=true").first.click()
    form.get_by_role("radio", name="The first that can").click()
    form.get_by_role("button", name="Save").click()
    expect(alias).to_contain_text("starter, org/B")
    expect(alias).to_contain_text("The first that can")
    assert app.service and app.service.find_model("ours").source == "alias"

    alias.get_by_role("button", name="Remove the alias ours").click()
    expect(alias).to_have_count(0)
    page.locator("#models-say").get_by_role("button", name="Undo").click()
    expect(alias).to_contain_text("starter, org/B")
    alias.get_by_role("button", name="Remove the alias ours").click()
    expect(alias).to_have_count(0)


def walked(page: Page) -> set[str]:
    """The tiles that the arrows lead to from the first one, which is the one stop of the Tab key."""
    tiles = page.locator(".tiles button")
    assert tiles.evaluate_all("tiles => tiles.filter(each => each.tabIndex === 0).length") == 1
    tiles.first.focus()
    found = set()
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
        found.add(page.evaluate("document.activeElement.dataset.pick"))
    return found


def test_what_is_selected_on_the_map_goes_and_comes_back(page: Page, cache: HubCache) -> None:
    expect(tile(page, "org/A: model")).to_be_visible()
    assert len(walked(page)) > 1
    tile(page, "org/A: model").focus()
    page.keyboard.press("Enter")
    expect(tile(page, "org/A: model")).to_have_attribute("aria-pressed", "true")
    expect(row(page, "org/A").get_by_role("checkbox")).to_be_checked()
    expect(page.locator(".pick-bar")).to_contain_text("1 selected")
    delete(page, "org/A")
    expect(row(page, "org/A")).to_have_count(0)
    assert not cache.repository("org/A").exists()
    trash = page.get_by_role("tab", name=re.compile("^Trash"))
    expect(trash).to_have_text(re.compile(r"^\s*Trash \d+ B$"))
    page.keyboard.press("Control+z")
    expect(row(page, "org/A")).to_be_visible()
    expect(trash).to_have_text("Trash")
    assert (cache.repository("org/A") / "snapshots" / "a1" / "model.safetensors").exists()

    page.get_by_role("button", name=re.compile("Detached revisions")).click()
    expect(page.locator(".pick-bar")).to_contain_text("frees 200 B")
    delete(page, "revision b1")
    expect(page.get_by_role("button", name=re.compile("Detached revisions"))).to_have_count(0)
    page.get_by_role("tab", name="Trash").click()
    gone = page.locator("[data-discarded]")
    expect(gone).to_contain_text("org/B")
    gone.get_by_role("button", name="Restore org/B").click()
    expect(page.locator("#discarded-view .nothing")).to_be_visible()
    page.get_by_role("tab", name="On this machine").click()
    expect(page.get_by_role("button", name=re.compile("Detached revisions"))).to_be_visible()

    page.get_by_role("button", name=re.compile("Half downloads")).click()
    delete(page, "half downloads")
    expect(trash).to_have_text("Trash 150 B")
    page.get_by_role("tab", name="Trash").click()
    page.get_by_role("button", name="Empty the trash…").click()
    expect(page.get_by_role("dialog", name="Empty the trash?")).to_contain_text("150 B")
    page.get_by_role("button", name="Delete for good").click()
    expect(page.locator("#discarded-view .nothing")).to_be_visible()
    expect(trash).to_have_text("Trash")
    assert not list(cache.root.rglob("*.incomplete"))


@pytest.mark.parametrize(("scheme", "size"), [("light", WIDE), ("dark", NARROW)], ids=["light", "dark and narrow"])
def test_no_state_of_the_tab_has_a_serious_fault(chromium: Browser, app: ScriptedApp, scheme: Scheme, size: ViewportSize) -> None:
    with Visit.to(chromium, app.address, size, scheme) as visit:
        page, round_ = visit.page, Inspection(visit, size["width"])
        open_models(page)
        round_.look("models")
        row(page, "org/B").get_by_role("button", name="B", exact=True).click()
        expect(page.locator("#drawer-name")).to_be_visible()
        round_.look("drawer")
        page.keyboard.press("Escape")
        expect(page.locator("#drawer-name")).to_have_count(0)
        page.get_by_role("button", name=re.compile("Detached revisions")).click()
        page.locator(".pick-bar").wait_for()
        round_.look("selected")
        page.locator(".pick-bar").get_by_role("button", name="Delete…").click()
        page.locator("#removal-question[open]").wait_for()
        round_.look("question")
        page.get_by_role("button", name="Keep it").click()
        page.get_by_role("button", name="Change either").click()
        page.locator("#alias-sheet[open]").wait_for()
        page.get_by_role("button", name="Add a rule").click()
        page.get_by_role("button", name="Save").click()
        page.locator("#alias-sheet .field-error:visible").wait_for()
        round_.look("an alias with a rule that asks for nothing")
        page.get_by_role("button", name="Cancel").click()
        page.get_by_role("tab", name="Trash").click()
        page.locator("#discarded-view .nothing").wait_for()
        round_.look("no trash")
        assert round_.found == []
        visit.assert_quiet()
