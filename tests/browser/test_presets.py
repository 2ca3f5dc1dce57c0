"""Presets in the Tuning panel: they move the sliders, own numbers become one, and Deterministic answers the same each time."""

import pytest
from playwright.sync_api import expect

from tests.browser.axe import faults
from tests.browser.visit import Visit

pytestmark = pytest.mark.browser


def test_presets_move_the_sliders_and_own_numbers_become_one(visit: Visit) -> None:
    page = visit.page
    page.get_by_role("button", name="Tuning, prompt and details").click()
    preset, temperature = page.get_by_label("Preset", exact=True), page.locator("#tuning [data-field=temperature]")
    expect(preset).to_have_value("Usual")
    preset.select_option("Creative")
    expect(temperature).to_have_value("1.2")
    expect(page.locator("#h-preset")).to_contain_text("Freer words")
    temperature.fill("0.4")
    expect(preset).to_have_value("")
    page.get_by_label("Name of a new preset").fill("For poems")
    assert faults(page, "a preset to save") == []
    page.get_by_role("button", name="Save as preset").click()
    expect(preset).to_have_value("For poems")
    expect(page.locator("#say")).to_contain_text("preset “For poems”")
    preset.select_option("Balanced")
    expect(temperature).to_have_value("0.7")
    visit.ask("hello")
    visit.reload()
    expect(preset).to_have_value("Balanced")
    preset.select_option("For poems")
    expect(temperature).to_have_value("0.4")
    page.get_by_role("button", name="Delete this preset").click()
    expect(preset).to_have_value("")
    expect(preset.locator("option", has_text="For poems")).to_have_count(0)
    expect(temperature).to_have_value("0.4")
    page.get_by_role("button", name="Undo").click()
    expect(preset).to_have_value("For poems")
    expect(page.locator("#say")).to_contain_text("is there again")


def test_deterministic_gives_the_same_answer_again(real_visit: Visit) -> None:
    page = real_visit.page
    page.get_by_role("button", name="Tuning, prompt and details").click()
    page.get_by_label("Preset", exact=True).select_option("Deterministic")
    expect(page.locator("#tuning [data-field=temperature]")).to_have_value("0")
    first = real_visit.ask("What does the temperature slider do?").locator(".answer-text").text_content()
    page.get_by_role("button", name="Answer again").last.click()
    expect(page.locator("#history .versions").last).to_contain_text("2 of 2", timeout=60_000)
    assert real_visit.finished(1).locator(".answer-text").text_content() == first
