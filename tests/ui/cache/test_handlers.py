"""What the Cache tab's events do: drawn from the model's own state, nothing drawn twice, refusals said, nothing raised."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import gradio as gr
import msgspec
import pytest

from mlx_harmony.errors import EngineCrashed
from mlx_harmony.service import Service
from mlx_harmony.settings import Settings
from mlx_harmony_ui.tabs.cache import Cache
from tests.fixtures.kept import ENTRIES, STATE
from tests.fixtures.provider import ScriptedProvider


@pytest.fixture
def provider() -> ScriptedProvider:
    made = ScriptedProvider()
    made.engine.kept = STATE
    return made


@pytest.fixture
async def service(tmp_path: Path, provider: ScriptedProvider) -> AsyncIterator[Service]:
    opened = await Service.open(Settings(home=str(tmp_path)), provider)
    await opened.load("starter")
    yield opened
    await opened.close()


def sent(**data: object) -> gr.EventData:
    return gr.EventData(None, data)


def said(drawn: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(str(drawn))
    return [{name: value for name, value in command.items() if name != "serial"} for command in found]


async def test_the_tab_shows_the_default_model_and_its_chats_by_title(service: Service, provider: ScriptedProvider) -> None:
    chat = (await service.create_chat()).summary.id
    await service.rename_chat(chat, "Potting")
    provider.engine.kept = msgspec.structs.replace(STATE, entries=(msgspec.structs.replace(ENTRIES[1], parent="", chats=(chat,)),))
    html = await Cache(service).show(sent())
    assert 'data-model="starter"' in html and f'href="#chat={chat}"' in html and "Potting" in html


async def test_nothing_is_drawn_again_where_nothing_has_changed(service: Service, provider: ScriptedProvider) -> None:
    tab = Cache(service)
    html, first = await tab.look(sent(model="starter", mark=""))
    mark = str(html).partition('data-mark="')[2].partition('"')[0]
    same, _ = await tab.look(sent(model="starter", mark=mark))
    assert said(first) == [{"do": "cache_looked"}]
    assert not isinstance(same, str)
    provider.engine.kept = msgspec.structs.replace(STATE, hits=13)
    changed, _ = await tab.look(sent(model="starter", mark=mark))
    assert "13 of 14 prompts" in str(changed)


async def test_acts_reach_the_model_and_are_said(service: Service, provider: ScriptedProvider) -> None:
    tab = Cache(service)
    html, told = await tab.act(sent(model="starter", action="pin", entry="root"))
    assert ("pin", "root") in provider.engine.acts
    assert html.count(">pinned</span>") == 2 and said(told)[0]["text"].startswith("Pinned")
    html, told = await tab.act(sent(model="starter", action="drop", entry="lost"))
    assert 'data-entry="lost"' not in html and said(told)[0]["text"] == "Dropped."


@pytest.mark.parametrize("data", [{}, {"action": "format"}, {"action": 7, "entry": []}, {"action": "clear"}])
async def test_odd_acts_change_nothing(service: Service, provider: ScriptedProvider, data: dict[str, object]) -> None:
    await Cache(service).act(sent(model="starter", **data))
    assert {action for action, _ in provider.engine.acts} == {"look"}


async def test_a_model_that_is_gone_or_crashed_is_said_in_the_tab(
    service: Service, provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    html = await Cache(service).show(sent(model="nobody"))
    assert "That model is not on this machine" in html and 'role="alert"' in html
    _, told = await Cache(service).act(sent(model="nobody", action="drop", entry="x"))
    assert said(told)[0]["tone"] == "bad"

    async def crash(*_: object) -> None:
        raise EngineCrashed("It was killed.", hint="Look again.")

    monkeypatch.setattr(provider, "cache", crash)
    assert "It was killed. Look again." in await Cache(service).show(sent(model="starter"))


async def test_a_model_that_sleeps_is_shown_as_asleep(service: Service) -> None:
    await service.unload("starter")
    html = await Cache(service).show(sent(model="starter"))
    assert "asleep" in html and 'data-do="load"' in html and "Nothing is kept of this model yet." in html
