"""Presets in the Tuning panel: picked, saved and deleted, with the chat's other options left alone."""

from collections.abc import AsyncIterator
from pathlib import Path

import gradio as gr
import pytest

from mlx_harmony.conversation.records import TurnOptions
from mlx_harmony.service import Service
from mlx_harmony.settings import Settings
from mlx_harmony_ui.tabs.options import preset_picker
from mlx_harmony_ui.tabs.presets import PresetPicking
from tests.fixtures.provider import ScriptedProvider
from tests.ui.test_handlers import commands, sent

MINE = {"numbers": {"temperature": 0.4, "top_k": 40}, "instructions": "Be brief."}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    opened = await Service.open(Settings(home=str(tmp_path)), ScriptedProvider())
    yield opened
    await opened.close()


async def test_a_preset_moves_the_numbers_and_is_kept_with_the_chat(service: Service) -> None:
    chat = await service.create_chat(TurnOptions())
    drawn, said = await PresetPicking(service).preset(sent(act="use", preset="Balanced", chat=chat.summary.id, ask=2, options=MINE))
    kept = (await service.read_chat(chat.summary.id)).options
    assert (kept.sampling.temperature, kept.sampling.top_p, kept.sampling.top_k, kept.instructions) == (0.7, 0.9, 0, "Be brief.")
    assert 'value="Balanced" selected' in drawn and 'data-ask="2"' in drawn and commands(said) == []
    assert preset_picker(service, kept).chosen == "Balanced"


async def test_numbers_are_saved_picked_again_and_deleted(service: Service) -> None:
    picking = PresetPicking(service)
    drawn, said = await picking.preset(sent(act="save", preset="<b>Mine</b>", chat="", options=MINE))
    assert "&lt;b&gt;Mine&lt;/b&gt;" in drawn and "<b>Mine" not in drawn and "preset “<b>Mine</b>”" in commands(said)[0]["text"]
    again, _ = await picking.preset(sent(act="use", preset="<b>Mine</b>", chat="", options={}))
    assert 'data-chosen="own"' in again and 'value="40"' in again
    gone, said = await picking.preset(sent(act="remove", preset="<b>Mine</b>", chat="", options=MINE))
    assert "&lt;b&gt;Mine" not in gone and 'data-chosen="none"' in gone and "still stand here" in commands(said)[0]["text"]
    back, _ = await picking.preset(sent(act="restore", preset=commands(said)[0]["preset"], chat="", options=MINE))
    assert 'data-chosen="own"' in back
    _, twice = await picking.preset(sent(act="restore", preset="<b>Mine</b>", chat="", options=MINE))
    assert "cannot be brought back" in commands(twice)[0]["text"]


async def test_what_cannot_be_done_is_said_and_the_panel_stays(service: Service) -> None:
    picking = PresetPicking(service)
    drawn, said = await picking.preset(sent(act="use", preset="nope", chat="", options=MINE))
    assert 'value="40"' in drawn and "Known presets" in commands(said)[0]["text"]
    _, named = await picking.preset(sent(act="save", preset="Creative", chat="", options=MINE))
    assert "Choose another name" in commands(named)[0]["text"]
    drawn, odd = await picking.preset(sent(act="use", preset="Creative", options={"numbers": {"temperature": 9}}))
    assert drawn == gr.skip() and "0 to 2" in commands(odd)[0]["text"]
    assert len(await picking.preset(gr.EventData(None, None))) == 2


async def test_a_file_that_cannot_be_read_leaves_our_own_presets(service: Service) -> None:
    (Path(service.settings.home) / "presets.json").write_text("no json", encoding="utf-8")
    picker = preset_picker(service, TurnOptions())
    assert picker.problem and "presets.json" in picker.note and len(picker.choices) == 4
