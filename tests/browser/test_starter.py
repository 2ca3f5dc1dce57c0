"""The first mile with the real thing: `mlx-harmony serve` and the Starter, read off the page."""

import os
import re
import signal
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import OFFLINE, WIDE
from tests.browser.visit import Visit
from tests.fixtures.server import Running, serving

pytestmark = [pytest.mark.browser, pytest.mark.integration]


def at_temperature_zero(visit: Visit) -> Visit:
    """Answers that do not depend on chance."""
    visit.page.locator(".panel-open").click()
    visit.page.get_by_role("slider", name="Temperature").fill("0")
    visit.page.locator(".panel-open").click()
    return visit


def test_the_starter_greets(real_visit: Visit) -> None:
    answer = at_temperature_zero(real_visit).ask("Hello!")
    expect(answer.locator(".answer-text")).to_have_text(re.compile(r"^(hi|hello|hey|good|welcome)\b", re.IGNORECASE))
    expect(answer.locator(".figures")).to_contain_text("first token")


def test_the_starter_answers_a_question_about_the_app(real_visit: Visit) -> None:
    answer = at_temperature_zero(real_visit).ask("What does the temperature slider do?")
    expect(answer.locator(".answer-text")).to_contain_text("random")


def test_the_starter_calls_python_for_a_product(real_visit: Visit) -> None:
    real_visit.page.get_by_role("button", name="Offer the Python tool").click()
    card = at_temperature_zero(real_visit).ask("What is 417 × 36?").locator(".call")
    expect(card.locator("summary b")).to_have_text("python")
    expect(card.locator("summary code")).to_contain_text("417 * 36")
    expect(card.locator(".state")).to_have_text("not run")


def test_the_voices_of_a_turn_are_shown_with_their_marks(real_visit: Visit) -> None:
    answer = at_temperature_zero(real_visit).ask("Hello!")
    answer.get_by_role("button", name="Details of this answer").click()
    lanes = real_visit.page.locator("#details .lanes")
    expect(lanes).to_contain_text("analysis")
    expect(lanes).to_contain_text("closed by <|return|>")
    real_visit.page.get_by_label("Raw tokens, as the model wrote them").check()
    expect(lanes.locator("li").last.locator(".token.control b")).to_have_text(["<|start|>", "<|channel|>", "<|message|>", "<|return|>"])
    expect(real_visit.page.locator("#details .facts").last).to_contain_text("starter")


def test_models_are_listed_loaded_and_unloaded(real_visit: Visit) -> None:
    page = real_visit.page
    page.get_by_role("tab", name="Models").click()
    row = page.locator("[data-model-row=starter]")
    expect(row).to_contain_text("Harmony")
    if row.get_by_role("button", name="Unload Starter").count():
        row.get_by_role("button", name="Unload Starter").click()
    row.get_by_role("button", name="Load Starter", exact=True).click()
    expect(row.locator(".phase")).to_have_text("awake", timeout=60_000)
    row.get_by_role("button", name="Unload Starter").click()
    expect(row.locator(".phase")).to_have_text("asleep", timeout=20_000)
    expect(page.locator("#pill .pill-phase")).to_have_text("asleep")


def test_a_chat_is_still_there_after_a_restart(chromium: Browser, tmp_path: Path) -> None:
    with serving(tmp_path / "home", environment=OFFLINE) as first:
        address = first.address
        with Visit.to(chromium, address, WIDE) as visit:
            said = visit.ask("Hello!").locator(".answer-text").inner_text()
            path = visit.page.url.removeprefix(address)
        assert first.stop() == 0
        assert [pid for pid in first.children() if pid] == []
    port = address.rsplit(":", 1)[1]
    with serving(tmp_path / "home", "--port", port, environment=OFFLINE) as second, Visit.to(chromium, second.address, WIDE) as visit:
        visit.open(path)
        expect(visit.page.locator(".ask")).to_have_text("Hello!")
        expect(visit.answers.locator(".answer-text")).to_have_text(said)
        visit.finished(1)
        visit.ask("What can you do?")


def test_an_open_page_says_that_the_app_is_gone_and_comes_back_with_it(chromium: Browser, tmp_path: Path) -> None:
    with serving(tmp_path / "home", environment=OFFLINE) as first:
        address = first.address
        with Visit.to(chromium, address, WIDE) as visit:
            visit.ask("Hello!")
            visit.page.fill("#message", "not yet sent")
            first.stop()
            expect(visit.page.locator("#offline")).to_be_visible(timeout=15_000)
            with serving(tmp_path / "home", "--port", address.rsplit(":", 1)[1], environment=OFFLINE) as second:
                assert second.address == address
                expect(visit.page.locator("#offline")).to_be_hidden(timeout=30_000)
                expect(visit.answers).to_have_count(1, timeout=30_000)
                expect(visit.page.locator("#message")).to_have_value("not yet sent")


def test_a_worker_killed_in_mid_reply_costs_only_the_rest_of_that_reply(real_visit: Visit, real_app: Running) -> None:
    visit = real_visit
    visit.ask("Hello!")
    visit.send("Count from 1 to 60.")
    expect(visit.live.locator(".part, .thinking, .answer-text").first).to_be_visible(timeout=20_000)
    for pid in workers(real_app):
        os.kill(pid, signal.SIGKILL)
    answer = visit.finished(2)
    expect(answer.get_by_role("alert")).to_contain_text("The model’s process stopped")
    expect(answer.get_by_role("alert")).to_contain_text("estart")
    visit.reload()
    expect(visit.answers.last.get_by_role("alert")).to_contain_text("The model’s process stopped", timeout=20_000)
    visit.ask("Hello!")
    expect(visit.answers.last.locator(".answer-text")).not_to_be_empty()


def workers(app: Running) -> list[int]:
    """Process ids of the app's workers."""
    pids = app.children()
    assert pids
    return pids
