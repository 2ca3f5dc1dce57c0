"""Options over what a chat keeps, and profiles in the page: what is chosen acts, what is not shown is not lost."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from mlx_harmony.conversation.records import TurnOptions
from mlx_harmony.prompting.records import ChatSetup
from mlx_harmony.records import Sampling
from mlx_harmony.service import Service
from mlx_harmony.settings import Settings
from mlx_harmony_ui.tabs.options import Options, profile_picker
from tests.fixtures.provider import ScriptedProvider

PROFILES = {
    "brief": {"model": "starter", "prompt_config": "brief.json", "max_context_tokens": 700},
    "broken": {"model": "starter", "prompt_config": "missing.json"},
}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    (tmp_path / "profiles.json").write_text(json.dumps(PROFILES), "utf-8")
    brief = {"developer_instructions": "Be brief.", "temperature": 0.25, "assistant_greeting": "Good day."}
    (tmp_path / "brief.json").write_text(json.dumps(brief), "utf-8")
    opened = await Service.open(Settings(home=str(tmp_path)), ScriptedProvider())
    yield opened
    await opened.close()


def sent(**data: object) -> gr.EventData:
    return gr.EventData(None, data)


def said(bridge: object) -> list[Any]:
    return [command["text"] for command in json.loads(str(bridge)) if command["do"] == "say"]


async def test_saving_keeps_what_the_page_does_not_show(service: Service) -> None:
    kept = TurnOptions(sampling=Sampling(logit_bias={7: 1.0}), setup=ChatSetup(profile="brief"))
    chat = await service.create_chat(kept)
    await Options(service).save(sent(chat=chat.summary.id, options={"numbers": {"temperature": 0.5}, "loop_detection": "off"}))
    options = await service.read_options(chat.summary.id)
    assert options.sampling == Sampling(temperature=0.5, logit_bias={7: 1.0})
    assert options.loop_detection == "off"
    assert options.setup == ChatSetup(profile="brief")


async def test_a_profile_fills_the_panel_and_the_chat_begun_with_it_keeps_its_context(service: Service) -> None:
    options = Options(service)
    tuning, _, _, history, bridge = await options.profile(sent(profile="brief", ask=3, options={}))
    assert "Good day." in str(history) and 'data-chat=""' in str(history) and 'data-do="regenerate"' not in str(history)
    assert 'data-profile="brief"' in str(tuning)
    assert 'data-ask="3"' in str(tuning)
    assert "Be brief." in str(tuning)
    assert not said(bridge)
    chosen = await options.of(sent(chat="", options={"profile": "brief", "numbers": {"temperature": 0.9}, "instructions": "Be long."}))
    assert chosen.setup is not None
    assert chosen.setup.max_context_tokens == 700
    assert (chosen.sampling.temperature, chosen.instructions) == (0.9, "Be long.")


async def test_an_unknown_profile_is_told_with_the_known_ones_and_the_panel_stays(service: Service) -> None:
    tuning, _, _, _, bridge = await Options(service).profile(sent(profile="nobody", ask=1, options={"instructions": "Mine."}))
    assert "Mine." in str(tuning)
    assert "brief" in said(bridge)[0]


async def test_the_picker_names_what_is_wrong_with_a_profile_and_is_fixed_once_the_chat_has_begun(service: Service) -> None:
    picker = profile_picker(service, TurnOptions(setup=ChatSetup(profile="gone")), begun=True)
    assert [choice.name for choice in picker.choices] == ["brief", "broken", "gone"]
    assert "missing.json" in picker.choices[1].problem
    assert (picker.chosen, picker.fixed) == ("gone", True)


async def test_a_profiles_file_that_cannot_be_read_is_told_in_the_panel(service: Service, tmp_path: Path) -> None:
    (tmp_path / "profiles.json").write_text("{", "utf-8")
    picker = profile_picker(service, TurnOptions(), begun=False)
    assert picker.choices == ()
    assert "profiles.json" in picker.note
