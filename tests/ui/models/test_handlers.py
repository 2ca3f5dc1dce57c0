"""What the Models tab's events do over a real disk: looked at, refused, loaded anyway, deleted after a question, brought back."""

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from mlx_harmony.errors import OutOfMemory, StorageError
from mlx_harmony.records import GenerationRequest, TextPrompt
from mlx_harmony.service import Service
from mlx_harmony.settings import Settings
from mlx_harmony_ui.tabs.cleaning import CHANGED, CleaningUp
from mlx_harmony_ui.tabs.models import Models
from tests.fixtures.hub_cache import HubCache, build, model_files
from tests.fixtures.provider import ScriptedProvider


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HubCache:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return build(tmp_path / "hub")


@pytest.fixture
async def service(tmp_path: Path, cache: HubCache) -> AsyncIterator[Service]:
    opened = await Service.open(Settings(home=str(tmp_path / "home")), ScriptedProvider())
    yield opened
    await opened.close()


@pytest.fixture
def tab(service: Service) -> Models:
    return Models(service)


@pytest.fixture
def cleaning(service: Service, tab: Models) -> CleaningUp:
    return CleaningUp(service, tab.forget)


def sent(**data: object) -> gr.EventData:
    return gr.EventData(None, data)


def looking(**wanted: object) -> gr.EventData:
    return sent(wanted=wanted)


def said(drawn: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(str(drawn))
    return found


async def last_of(frames: AsyncGenerator[tuple[Any, ...], None]) -> tuple[Any, ...]:
    return [frame async for frame in frames][-1]


def listed(html: object) -> list[str]:
    return re.findall(r'data-model-row="([^"]+)"', str(html))


async def test_the_list_shows_what_is_asked_for_and_nothing_twice(tab: Models) -> None:
    html, told = await tab.look(looking())
    assert {"starter", "org/A", "org/B"} <= set(listed(html)) and said(told)[0]["do"] == "models_looked"
    assert "Also on this disk" in str(html) and 'data-pick="whole:datasets/org/D"' in str(html)
    mark = str(html).partition('data-mark="')[2].partition('"')[0]
    same, _ = await tab.look(sent(wanted={}, mark=mark))
    assert not isinstance(same, str)
    found, _ = await tab.look(looking(text="*b", sort="size"))
    assert listed(found) == ["org/B"] and 'aria-sort="descending"' in str(found)
    nothing, _ = await tab.look(looking(text="nothing so called"))
    assert listed(nothing) == [] and "No model here" in str(nothing)


async def test_aliases_are_listed_filtered_and_made_the_default(service: Service, tab: Models, tmp_path: Path) -> None:
    file = tmp_path / "home" / "aliases.json"
    file.write_text(json.dumps({"both": {"models": ["org/A", "org/B"]}, "<b>odd": {"models": ["org/A", "org/B"], "strategy": "first"}}))
    html, _ = await tab.look(looking())
    assert re.findall(r'data-alias="([^"]+)"', str(html)) == ["both", "&lt;b&gt;odd"] and "<b>odd" not in str(html)
    found, _ = await tab.look(looking(text="bot"))
    assert re.findall(r'data-alias="([^"]+)"', str(found)) == ["both"]
    events = service.generate("both", GenerationRequest(id="1", prompt=TextPrompt(text="hello")))
    assert [event async for event in events]
    await tab.act(sent(action="default", model="both"))
    html, _ = await tab.look(looking(text="both"))
    assert "org/A 1 time" in str(html) and "org/A answered for both" in str(html) and ">default</span>" in str(html)
    file.write_text("{")
    html, _ = await tab.look(looking())
    assert "The aliases cannot be read" in str(html) and "org/A" in listed(html)


async def test_a_pattern_that_makes_no_sense_is_said_and_all_stays_listed(tab: Models) -> None:
    html, _ = await tab.look(looking(text="org/[a"))
    assert "That cannot be looked for" in str(html) and "org/A" in listed(html)


async def test_a_disk_that_cannot_be_read_is_said(service: Service, tab: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken() -> None:
        raise StorageError("The chats cannot be read.", hint="Look at the disk.")

    monkeypatch.setattr(service, "infos", broken)
    drawn, told = await tab.look(looking())
    assert not isinstance(drawn, str) and [each["do"] for each in said(told)] == ["models_looked", "models_say"]


async def test_the_drawer_shows_the_opened_model_and_the_bar_what_would_be_freed(tab: Models) -> None:
    html, _ = await tab.look(looking(opened="org/B", picked=["revision:b1:org/B", "whole:gone", "whole:starter:"]))
    assert 'id="drawer-name"' in str(html) and "<b>1 selected</b>" in str(html) and "frees 200 B" in str(html)
    refused, _ = await tab.look(looking(picked=["whole:starter"]))
    assert "cannot be deleted" in str(refused) and "Delete…" not in str(refused).partition('class="pick-bar"')[2]


async def test_a_model_refused_for_want_of_room_can_be_loaded_anyway(
    service: Service, tab: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    async def refuse(model_id: str, *, force: bool = False) -> None:
        asked.append(force)
        if not force:
            raise OutOfMemory("It needs 9 GB.", hint="Load it anyway.")

    monkeypatch.setattr(service, "load", refuse)
    _, told = await last_of(tab.load(sent(model="org/A")))
    assert [(each["do"], each.get("tone")) for each in said(told)] == [("models_changed", None), ("models_say", "bad")]
    html, _ = await tab.look(looking(text="org/A"))
    assert 'data-force="yes"' in str(html)
    await last_of(tab.load(sent(model="org/A", force="yes")))
    html, _ = await tab.look(looking(text="org/A"))
    assert asked == [False, True] and 'data-force="yes"' not in str(html)


async def test_models_are_pinned_made_the_default_and_named_in_a_profile(service: Service, tab: Models) -> None:
    await tab.act(sent(model="org/A", action="pin"))
    assert service.settings.pinned_models == ("org/A",)
    await tab.act(sent(model="org/A", action="unpin"))
    assert service.settings.pinned_models == ()
    await tab.act(sent(model="org/B", action="default"))
    assert service.settings.model == "org/B"
    *_, told = await tab.act(sent(model="org/A", action="profile", name="for work"))
    assert "for work" in said(told)[1]["text"] and [row.name for row in service.profiles()] == ["for work"]
    for odd in ({"action": "format", "model": "org/A"}, {"action": "pin", "model": "no-such"}, {}):
        *_, told = await tab.act(sent(**odd))
        assert said(told)[1]["tone"] == "bad"


async def test_a_model_is_deleted_as_asked_brought_back_and_deleted_for_good(
    service: Service, tab: Models, cleaning: CleaningUp, cache: HubCache
) -> None:
    await service.load("org/A")
    picked = {"picked": ["whole:org/A"]}
    question, told = await cleaning.ask(sent(wanted=picked))
    mark = said(told)[0]["mark"]
    assert "will be unloaded first" in str(question) and f'data-mark="{mark}"' in str(question)
    _, told = await cleaning.remove(sent(wanted=picked, mark=mark))
    (gone,) = said(told)
    assert gone["do"] == "models_gone" and "org/A was unloaded." in gone["text"]
    html, _ = await tab.look(looking())
    assert "org/A" not in listed(html)
    assert re.search(r'data-trash="\d+ B"', str((await tab.look(looking()))[0])) and 'data-trash="' in await cleaning.show()
    trash, told = await cleaning.restore(sent(ids=gone["ids"]))
    assert 'data-trash=""' in trash and 'data-trash=""' in str((await tab.look(looking()))[0])
    assert "The trash is empty." in trash and "org/A is back" in said(told)[0]["text"]
    html, _ = await tab.look(looking())
    assert "org/A" in listed(html)
    _, told = await cleaning.remove(sent(wanted=picked, mark=mark))
    assert "Emptying frees" in await cleaning.show()
    trash, told = await cleaning.empty(sent())
    assert "The trash is empty." in trash and "are free again" in said(told)[0]["text"]
    assert not cache.repository("org/A").exists()


async def test_what_has_changed_since_the_question_is_asked_about_again(cleaning: CleaningUp, cache: HubCache) -> None:
    picked = {"picked": ["whole:org/A"]}
    _, told = await cleaning.ask(sent(wanted=picked))
    mark = said(told)[0]["mark"]
    cache.revision("org/A", "a2", model_files(700))
    question, told = await cleaning.remove(sent(wanted=picked, mark=mark))
    assert CHANGED in str(question) and said(told)[0]["mark"] != mark
    assert cache.repository("org/A").exists()


@pytest.mark.parametrize("picked", [[], ["whole:gone"], ["whole:starter"], "whole:org/A"])
async def test_what_cannot_go_is_refused_in_words(cleaning: CleaningUp, picked: object) -> None:
    _, told = await cleaning.ask(sent(wanted={"picked": picked}))
    assert said(told)[0]["tone"] == "bad"
    _, told = await cleaning.remove(sent(wanted={"picked": picked}, mark=""))
    assert said(told)[0]["tone"] == "bad"


async def test_what_is_in_the_way_leaves_it_in_the_trash(cleaning: CleaningUp, cache: HubCache) -> None:
    picked = {"picked": ["whole:org/A"]}
    _, told = await cleaning.ask(sent(wanted=picked))
    _, told = await cleaning.remove(sent(wanted=picked, mark=said(told)[0]["mark"]))
    cache.revision("org/A", "a9", model_files(9))
    trash, told = await cleaning.restore(sent(ids=said(told)[0]["ids"]))
    assert said(told)[0]["tone"] == "bad" and "Restore org/A" in trash and "disabled" in trash
