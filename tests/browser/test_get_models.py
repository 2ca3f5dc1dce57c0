"""Get models and the job tray in a browser, against a hub on this machine: from a search to the first load, and what may come between."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect

from tests.browser.conftest import WIDE, ScriptedApp
from tests.browser.test_reach import NARROW, Inspection
from tests.browser.visit import Scheme, Visit
from tests.fixtures.hub_server import HubServer, Trouble

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TINY, OTHER, GATED, HUGE = "org/Tiny-4bit", "org/Other-4bit", "org/Gated-4bit", "org/Huge-8bit"
WEIGHTS = "model-00001-of-00003.safetensors"
HALF = 8000
SOON_MS = 20_000


@pytest.fixture(scope="module")
def hub(fx1: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    root = tmp_path_factory.mktemp("hub")
    with HubServer() as server, pytest.MonkeyPatch.context() as patch:
        for model, size in ((TINY, 90_000), (OTHER, 90_000), (GATED, 90_000), (HUGE, 10**12)):
            about = {"safetensors": {"parameters": {"U32": size}}, "lastModified": "2026-09-01T10:00:00.000Z", "downloads": 1200}
            server.add_folder(model, fx1, tags=["mlx", "license:apache-2.0"], **about)
        server.models[GATED].gated = "manual"
        patch.setenv("HF_ENDPOINT", server.address)
        patch.setenv("HF_HUB_CACHE", str(root / "hub"))
        patch.setenv("HF_HOME", str(root / "hf"))
        # The app sets it; the one that other tests share goes on with its own.
        patch.setenv("GRADIO_TEMP_DIR", os.environ.get("GRADIO_TEMP_DIR", str(root)))
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
            patch.delenv(name, raising=False)
        yield server


@pytest.fixture(scope="module")
def app(hub: HubServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedApp]:
    started = ScriptedApp(tmp_path_factory.mktemp("getting") / "home").start()
    yield started
    started.stop()


@pytest.fixture
def stalled(app: ScriptedApp, hub: HubServer) -> Iterator[Trouble]:
    """A hub whose weights stall once; with nothing downloaded, also where a test is tried again."""
    app.do(forget_all(app))
    shutil.rmtree(os.environ["HF_HUB_CACHE"], ignore_errors=True)
    trouble = hub.trouble(WEIGHTS, stall_after=HALF, times=1)
    yield trouble
    trouble.go_on.set()


async def forget_all(app: ScriptedApp) -> None:
    assert app.service
    for job in app.service.jobs.list():
        await app.service.jobs.cancel(job.id)
        await app.service.jobs.forget(job.id)


@pytest.fixture
def visit(chromium: Browser, app: ScriptedApp, stalled: Trouble) -> Iterator[Visit]:
    with Visit.to(chromium, app.address, WIDE) as visitor:
        yield visitor
        visitor.assert_quiet()


def open_part(page: Page) -> None:
    page.get_by_role("tab", name="Models", exact=True).click()
    page.get_by_role("tab", name="Get models").click()
    expect(page.locator("#get-found .get")).to_be_visible()


def search(page: Page, text: str) -> Locator:
    """What was found, as rows."""
    page.get_by_role("searchbox", name="Name of a model on the hub").fill(text)
    page.keyboard.press("Enter")
    expect(page.locator("#get-found .shown")).to_contain_text(f"“{text}”", timeout=SOON_MS)
    return page.locator("tr[data-find]")


def offer(page: Page, model: str) -> Locator:
    page.locator(f"tr[data-find='{model}'] .opener").click()
    shown = page.locator(f".offer[data-of='{model}']")
    expect(shown).to_be_visible(timeout=SOON_MS)
    return shown


def job(page: Page, state: str) -> Locator:
    """The first job of the tray, once it stands so."""
    found = page.locator("#jobs-tray .job").first
    expect(found).to_have_attribute("data-state", state, timeout=SOON_MS)
    return found


def test_a_model_is_found_downloaded_over_a_stall_and_a_reload_and_then_loaded(visit: Visit, hub: HubServer) -> None:
    page, asked = visit.page, len(hub.paths())
    page.get_by_role("button", name="Get a real model").click()
    expect(page.get_by_text("Search for a model by name")).to_be_visible()
    assert len(hub.paths()) == asked, "the hub is asked before anybody asked for it"
    row = search(page, "tiny").first
    expect(row).to_contain_text("apache-2.0")
    expect(row.locator(".verdict")).to_have_text("fits")
    expect(row.locator(".c-fit")).to_have_attribute("title", re.compile("Needs about .* of memory; .* are free"))
    shown = offer(page, TINY)
    expect(page.locator("#offer-name")).to_be_focused()
    expect(shown).to_contain_text("It fits this machine’s memory")
    expect(shown).to_contain_text("free on the disk")
    shown.get_by_role("button", name="Download 515 kB").click()
    expect(shown).to_contain_text("It is being downloaded.")
    page.get_by_role("button", name="Jobs: 1 running").click()
    running = job(page, "running")
    expect(running).to_contain_text("· 0 B/s", timeout=SOON_MS)
    running.locator("summary").click()
    expect(running.locator(".job-files")).to_contain_text("8.0 kB of 200 kB")
    running.get_by_role("button", name="Pause").click()
    expect(job(page, "paused")).to_contain_text("paused · 323 kB of 515 kB")
    expect(page.get_by_role("button", name="Resume")).to_be_focused()
    visit.reload()
    page.locator("#jobs-open").click()
    job(page, "paused").get_by_role("button", name="Resume").click()
    done = job(page, "done")
    expect(page.locator("#jobs-say")).to_have_text(f"{TINY} is on this machine now.")
    expect(done.get_by_role("button", name="Chat with")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#jobs-tray")).to_be_hidden()
    page.get_by_role("tab", name="On this machine").click()
    here = page.locator(f"tr[data-model-row='{TINY}']")
    here.get_by_role("button", name="Load").click()
    expect(here.locator(".phase")).to_have_text("awake", timeout=SOON_MS)
    open_part(page)
    expect(search(page, "tiny").first).to_contain_text("here")
    expect(offer(page, TINY).get_by_role("button", name="Chat")).to_be_visible()


def test_a_download_is_cancelled_after_a_question_and_leaves_nothing(visit: Visit) -> None:
    page = visit.page
    open_part(page)
    search(page, "other")
    offer(page, OTHER).get_by_role("button", name="Download").click()
    page.get_by_role("button", name="Show in the tray").click()
    running = job(page, "running")
    expect(running).to_contain_text("323 kB of 515 kB", timeout=SOON_MS)
    running.get_by_role("button", name="Cancel").click()
    expect(running).to_contain_text("323 kB that have come are deleted. Pausing keeps them.")
    expect(running.get_by_role("button", name="Keep it")).to_be_focused()
    running.get_by_role("button", name="Keep it").click()
    running.get_by_role("button", name="Cancel").click()
    running.get_by_role("button", name="Cancel and delete").click()
    over = page.locator("#jobs-tray .job[data-state=cancelled]")
    expect(over).to_contain_text("cancelled", timeout=SOON_MS)
    assert not list(Path(os.environ["HF_HUB_CACHE"]).rglob("*.incomplete"))
    over.get_by_role("button", name="off the list").click()
    expect(over).to_have_count(0)
    page.keyboard.press("Escape")
    expect(page.locator(".offer").get_by_role("button", name="Download 515 kB")).to_be_visible()


def test_what_cannot_be_had_says_why_and_what_to_do(visit: Visit, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    page = visit.page
    open_part(page)
    rows = search(page, "bit")
    expect(rows.filter(has_text="Huge").locator(".verdict")).to_have_text("will not fit")
    expect(rows.filter(has_text="Gated")).to_contain_text("gated")
    shown = offer(page, GATED)
    expect(shown).to_contain_text("Its licence has to be accepted first")
    expect(shown.get_by_role("link", name="Open its page")).to_have_attribute("href", f"{hub.address}/{GATED}")
    expect(shown.get_by_role("button", name="Download")).to_have_count(0)
    shown = offer(page, TINY)
    shown.get_by_text("Another revision…").click()
    shown.get_by_label("Branch, tag or commit").fill("v9")
    page.keyboard.press("Enter")
    expect(page.locator(".offer [role=alert]")).to_contain_text("has no revision 'v9' on the hub")
    page.get_by_role("button", name="The newest revision").click()
    expect(page.locator(".offer .facts")).to_contain_text("main")
    page.keyboard.press("Escape")
    expect(page.locator(".offer")).to_have_count(0)
    expect(page.locator(f"tr[data-find='{TINY}'] .opener")).to_be_focused()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    page.get_by_role("searchbox", name="Name of a model on the hub").fill("bit")
    page.keyboard.press("Enter")
    expect(page.locator("#get-found [role=alert]")).to_contain_text("HF_HUB_OFFLINE is set")
    expect(page.locator(".local")).to_contain_text("Starter")


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("size", "scheme"), [(WIDE, "light"), (NARROW, "dark")])
def test_every_state_is_in_reach(
    chromium: Browser, app: ScriptedApp, stalled: Trouble, monkeypatch: pytest.MonkeyPatch, size: ViewportSize, scheme: Scheme
) -> None:
    with Visit.to(chromium, app.address, size, scheme) as visit:
        page, seen = visit.page, Inspection(visit, size["width"])
        open_part(page)
        seen.look("nothing searched for")
        search(page, "bit")
        offer(page, OTHER)
        page.locator(".offer-files summary").click()
        seen.look("an offer beside what was found")
        page.locator("[data-do=get-model]").click()
        page.get_by_role("button", name="Show in the tray").click()
        running = job(page, "running")
        running.locator("summary").click()
        expect(running.locator(".job-files")).to_contain_text("8.0 kB of 200 kB", timeout=SOON_MS)
        # While it is looked at for long, the hub's own patience would end.
        running.get_by_role("button", name="Pause").click()
        job(page, "paused").get_by_role("button", name="Cancel").click()
        page.get_by_role("button", name="Cancel and delete").wait_for()
        seen.look("a job to be cancelled")
        page.get_by_role("button", name="Cancel and delete").click()
        expect(page.locator("#jobs-tray .job[data-state=cancelled]").first).to_be_visible(timeout=SOON_MS)
        page.get_by_role("button", name="Clear what is over").click()
        expect(page.locator("#jobs-tray .nothing")).to_be_visible()
        seen.look("an empty tray")
        page.keyboard.press("Escape")
        page.locator(".offer").get_by_role("button", name="Close").click()
        offer(page, GATED)
        seen.look("a licence to accept")
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        visit.reload()
        open_part(page)
        seen.look("offline")
        assert seen.found == []
        visit.assert_quiet()
