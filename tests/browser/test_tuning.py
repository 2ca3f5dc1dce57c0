"""The Tuning panel: a profile begins a chat, channels, budgets and end tokens act, and all of it is there after a reload."""

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from mlx_harmony.records import CHANNELS, ChatPrompt, KvOptions, Sampling
from tests.browser.conftest import ScriptedApp
from tests.browser.visit import Visit

pytestmark = [pytest.mark.browser, pytest.mark.integration]


@pytest.fixture
def profiles(scripted_app: ScriptedApp) -> Iterator[None]:
    """One profile that can be used and one whose prompt config is missing."""
    profile, config = scripted_app.home / "profiles.json", scripted_app.home / "study.json"
    usable = {"model": "starter", "prompt_config": "study.json", "max_context_tokens": 900}
    profile.write_text(json.dumps({"study": usable, "broken": {"model": "starter", "prompt_config": "missing.json"}}), "utf-8")
    config.write_text(
        json.dumps({"developer_instructions": "One sentence.", "temperature": 0.3, "assistant_greeting": "Welcome back."}), "utf-8"
    )
    yield
    profile.unlink()
    config.unlink()


@pytest.mark.usefixtures("profiles")
def test_a_profile_begins_a_chat_and_stays_with_it(visit: Visit, scripted_app: ScriptedApp) -> None:
    page = visit.page
    visit.reload()
    page.locator(".panel-open").click()
    expect(page.locator("#profile option[value=broken]")).to_be_disabled()
    expect(page.locator("#tuning .problem")).to_contain_text("missing.json")
    page.select_option("#profile", "study")
    expect(page.get_by_label("Temperature, exact")).to_have_value("0.3")
    expect(visit.answers).to_have_text("Welcome back.")
    page.select_option("#profile", "")
    expect(visit.answers).to_have_count(0)
    expect(page.locator("#welcome")).to_be_visible()
    page.select_option("#profile", "study")
    expect(visit.answers).to_have_text("Welcome back.")
    page.get_by_label("Temperature, exact").fill("0.5")
    visit.send("long one")
    expect(visit.answers).to_contain_text("Welcome back.")
    expect(visit.live).to_have_count(1)
    page.keyboard.press("Escape")
    visit.finished(2)
    expect(visit.answers.first.get_by_role("button", name="Copy the answer")).to_have_count(1)
    expect(page.locator("#profile")).to_be_disabled()
    request = scripted_app.provider.engine.requests[-1]
    assert isinstance(request.prompt, ChatPrompt)
    assert [message.content for message in request.prompt.messages if message.role == "developer"] == ["One sentence."]
    assert (request.sampling.temperature, request.max_context_tokens) == (0.5, 900)
    visit.reload()
    expect(page.locator("#profile")).to_have_value("study")
    expect(page.locator("#profile")).to_be_disabled()


def test_channels_budget_and_end_tokens_act_on_the_next_answer_and_survive_a_reload(visit: Visit, scripted_app: ScriptedApp) -> None:
    page = visit.page
    page.locator(".panel-open").click()
    page.get_by_label("Commentary").uncheck()
    page.get_by_label("Thinking budget, exact").fill("12")
    page.get_by_label("Loop detection", exact=True).select_option("full")
    page.get_by_role("tab", name="Prompt").click()
    page.get_by_label("End tokens", exact=True).fill("<|end|>")
    visit.ask("Hello")
    request = scripted_app.provider.engine.requests[-1]
    assert isinstance(request.prompt, ChatPrompt)
    assert request.prompt.channels == ("analysis", "final")
    assert (request.analysis_budget, request.end_tokens, request.loop_detection) == (12, ("<|end|>",), "full")
    visit.reload()
    page.get_by_role("tab", name="Tuning").click()
    expect(page.get_by_label("Commentary")).not_to_be_checked()
    expect(page.get_by_label("Thinking budget, exact")).to_have_value("12")
    expect(page.get_by_label("Loop detection", exact=True)).to_have_value("full")
    page.get_by_role("button", name="Reset Thinking budget").click()
    visit.ask("Once more")
    assert scripted_app.provider.engine.requests[-1].analysis_budget is None


def test_lists_texts_and_channels_act_are_marked_and_have_a_way_back(visit: Visit, scripted_app: ScriptedApp) -> None:
    page = visit.page
    page.locator(".panel-open").click()
    resets = page.locator(".choice .reset:visible")
    expect(resets).to_have_count(0)
    page.get_by_label("Loop detection", exact=True).select_option("full")
    page.get_by_label("Guess ahead", exact=True).select_option("off")
    page.get_by_label("Draft model", exact=True).select_option("none")
    page.get_by_label("Commentary").uncheck()
    page.get_by_label("Seed of each turn", exact=True).select_option("true")
    page.get_by_label("Seed, exact").fill("5")
    page.get_by_label("Spared by XTC", exact=True).fill("3, 4,")
    expect(page.get_by_label("Spared by XTC", exact=True)).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Spared by XTC", exact=True).fill("3, 4")
    page.get_by_role("tab", name="Prompt").click()
    page.get_by_label("Stop at", exact=True).fill("END")
    page.get_by_label("End tokens", exact=True).fill("<|end|>")
    for text in ("one", "two"):
        visit.ask(text)
    first, second = scripted_app.provider.engine.requests[-2:]
    assert (first.sampling.seed, second.sampling.seed, second.sampling.xtc_special_tokens) == (5, 6, (3, 4))
    visit.reload()
    expect(page.get_by_label("Stop at", exact=True)).to_have_value("END")
    for name in ("Stop at", "End tokens"):
        page.get_by_role("button", name=f"Reset {name}").click()
        expect(page.get_by_label(name, exact=True)).to_be_focused()
    page.get_by_role("tab", name="Tuning").click()
    for name in ("Loop detection", "Guess ahead", "Draft model", "Channels", "Seed of each turn", "Spared by XTC"):
        page.get_by_role("button", name=f"Reset {name}").click()
    expect(resets).to_have_count(0)
    visit.ask("three")
    asked = scripted_app.provider.engine.requests[-1]
    assert isinstance(asked.prompt, ChatPrompt) and asked.prompt.channels == CHANNELS and (asked.stop, asked.end_tokens) == ((), ())
    assert (asked.loop_detection, asked.speculation, asked.draft_model) == ("cheap", "auto", None)
    assert asked.sampling == Sampling(seed=5)


def test_no_budget_for_thinking_makes_the_starter_answer_at_once(real_visit: Visit) -> None:
    page = real_visit.page
    page.locator(".panel-open").click()
    page.get_by_label("Temperature, exact").fill("0")
    page.get_by_role("radio", name="High").click()
    assert real_visit.ask("What does the temperature slider do?").locator(".thinking").count() == 1
    page.get_by_label("Thinking budget, exact").fill("0")
    answer = real_visit.ask("What does the top k slider do?")
    assert answer.locator(".thinking").count() == 0
    expect(answer.locator(".answer-text")).not_to_be_empty()


def test_the_form_of_kv_is_chosen_kept_and_refused_where_it_cannot_be(visit: Visit, scripted_app: ScriptedApp) -> None:
    page = visit.page
    page.locator(".panel-open").click()
    bits, window = page.get_by_label("KV bits", exact=True), page.get_by_label("KV window, exact")
    bits.select_option("8")
    page.get_by_label("KV group", exact=True).select_option("32")
    visit.ask("hello")
    assert scripted_app.provider.engine.requests[-1].kv == KvOptions(kv_bits=8, kv_group_size=32)
    window.fill("100")
    page.fill("#message", "again")
    page.press("#message", "Enter")
    expect(page.locator("body")).to_contain_text("do not go together")
    window.fill("")
    page.get_by_role("button", name="Reset KV group").click()
    expect(page.get_by_label("KV group", exact=True)).to_have_value("")
    bits.select_option("4")
    page.press("#message", "Enter")
    visit.finished(2)
    assert scripted_app.provider.engine.requests[-1].kv == KvOptions(kv_bits=4)
    visit.reload()
    expect(page.get_by_label("KV bits", exact=True)).to_have_value("4")
