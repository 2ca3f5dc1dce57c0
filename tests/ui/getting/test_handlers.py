"""What the events of Get models and of the tray do, against a hub on this machine: asked only when a person asks, refusals said."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from mlx_harmony.jobs import Job
from mlx_harmony.service import Service
from mlx_harmony.settings import Settings
from mlx_harmony_ui.tabs.getting import GetModels
from mlx_harmony_ui.tabs.jobs import JobTray
from tests.fixtures.hub_server import HubServer, Trouble
from tests.fixtures.provider import ScriptedProvider

MODEL = "org/Tiny-4bit"
WEIGHTS = "model-00001-of-00003.safetensors"


@pytest.fixture
def hub(fx1: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer() as server:
        server.add_folder(MODEL, fx1, tags=["mlx", "license:mit"], downloads=1200)
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
            monkeypatch.delenv(name, raising=False)
        yield server


@pytest.fixture
async def service(hub: HubServer, tmp_path: Path) -> AsyncIterator[Service]:
    opened = await Service.open(Settings(home=str(tmp_path / "home")), ScriptedProvider())
    yield opened
    await opened.close()


@pytest.fixture
def part(service: Service) -> GetModels:
    return GetModels(service, JobTray(service))


def sent(**data: object) -> gr.EventData:
    return gr.EventData(None, data)


def said(drawn: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(str(drawn))
    return [{name: value for name, value in command.items() if name != "serial"} for command in found]


async def ended(service: Service, state: str) -> Job:
    async with asyncio.timeout(30):
        async for _ in service.jobs.changes():
            if (job := service.jobs.list()[0]).state == state:
                break
    return job


async def test_the_hub_is_asked_by_a_search_and_by_opening_a_model_and_not_otherwise(part: GetModels, hub: HubServer) -> None:
    begin, _ = await part.find(sent(again="yes", text="tiny", begun="yes"))
    assert "Search for a model by name" in str(begin) and not hub.paths()
    found, told = await part.find(sent(text=" tiny ", begun="yes", asked="2"))
    assert 'data-find="org/Tiny-4bit"' in str(found) and 'data-asked="2"' in str(found) and said(told) == [{"do": "get_found"}]
    asked = len(hub.paths())
    again, _ = await part.find(sent(again="yes", text="tiny", begun="yes", opened=MODEL))
    assert 'aria-expanded="true"' in str(again)
    shut, _ = await part.offer(sent(again="yes", model=MODEL))
    assert not isinstance(shut, str) and len(hub.paths()) == asked
    offer, _ = await part.offer(sent(model=MODEL))
    assert "Download 515 kB" in str(offer) and len(hub.paths()) > asked
    asked = len(hub.paths())
    same, _ = await part.offer(sent(again="yes", model=MODEL))
    assert same == offer and len(hub.paths()) == asked


async def test_nothing_is_drawn_again_where_nothing_has_changed(part: GetModels, service: Service) -> None:
    html, _ = await part.find(sent(text="tiny", begun="yes"))
    mark = str(html).partition('data-mark="')[2].partition('"')[0]
    same, _ = await part.find(sent(text="tiny", begun="yes", again="yes", mark=mark))
    assert not isinstance(same, str)
    tray = JobTray(service)
    mark = (await tray.drawn()).partition('data-mark="')[2].partition('"')[0]
    same, told = await tray.look(sent(mark=mark))
    assert not isinstance(same, str) and said(told) == [{"do": "jobs_looked"}]


async def test_a_download_is_begun_once_and_then_stands_as_here(part: GetModels, service: Service) -> None:
    await part.offer(sent(model=MODEL))
    html, tray, told = await part.get(sent(model=MODEL))
    assert 'data-job="' in tray and {command["do"] for command in said(told)} == {"jobs_looked", "job_landed"}
    assert "It is being downloaded." in str(html) or "on this machine" in str(html)
    await ended(service, "done")
    html, _ = await part.offer(sent(model=MODEL, again="yes"))
    assert ">on this machine</span>" in str(html) and 'data-do="get-model"' not in str(html)
    found, _ = await part.find(sent(text="tiny", begun="yes"))
    assert '<span class="tag">here</span>' in str(found)
    assert f'data-do="load" data-model="{MODEL}"' in await JobTray(service).drawn()


@pytest.mark.parametrize(
    ("model", "revision", "headline"),
    [
        ("../etc", "", "is no model&#39;s id"),
        ("org/Nothing", "", "That model is not on this machine"),
        (MODEL, "v9", "has no revision"),
        ("", "", "is no model&#39;s id"),
    ],
)
async def test_what_cannot_be_had_is_said_beside_the_list(part: GetModels, model: str, revision: str, headline: str) -> None:
    for html in ((await part.offer(sent(model=model, revision=revision)))[0], (await part.get(sent(model=model, revision=revision)))[0]):
        assert headline in str(html) and 'role="alert"' in str(html)


async def test_a_model_with_a_licence_to_accept_says_what_to_do(part: GetModels, hub: HubServer) -> None:
    hub.models[MODEL].gated = "manual"
    html, _ = await part.offer(sent(model=MODEL))
    assert "Its licence has to be accepted first" in str(html) and "HF_TOKEN" in str(html)
    assert f'href="{hub.address}/{MODEL}"' in str(html) and 'data-do="get-model"' not in str(html)


async def test_a_hub_that_does_not_answer_is_said_with_what_is_here(
    part: GetModels, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.search_trouble = Trouble(status=429, headers={"retry_after": "30"})
    html, _ = await part.find(sent(text="tiny", begun="yes"))
    assert "too many requests" in str(html) and "Try again in 30 seconds" in str(html) and "On this machine already" in str(html)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    asked = len(hub.paths())
    html, _ = await part.find(sent(again="yes"))
    assert "The hub is not asked" in str(html) and "Starter" in str(html)
    html, _ = await part.find(sent(text="tiny", begun="yes"))
    assert "HF_HUB_OFFLINE is set" in str(html) and len(hub.paths()) == asked
    monkeypatch.setenv("HF_ENDPOINT", "nonsense")
    html, _ = await part.find(sent(again="yes"))
    assert "HF_ENDPOINT is no address" in str(html)


async def test_a_job_is_paused_resumed_cancelled_and_forgotten_from_the_tray(part: GetModels, service: Service, hub: HubServer) -> None:
    tray, trouble = JobTray(service), hub.trouble(WEIGHTS, stall_after=8000)
    await part.get(sent(model=MODEL))
    async with asyncio.timeout(30):
        while not service.jobs.list()[0].done_bytes:
            await asyncio.sleep(0.01)
    job = service.jobs.list()[0].id
    asking, _ = await tray.look(sent(asking=job))
    assert "Cancel and delete" in str(asking)
    for action, state in (("Pause", "paused"), ("Resume", "running"), ("cancel", "cancelled")):
        html, _ = await tray.act(sent(job=job, action=action))
        assert f'data-state="{state}"' in html or state == "running"
    html, told = await tray.act(sent(job=job, action="forget"))
    assert 'data-job="' not in html and said(told) == [{"do": "jobs_looked"}]
    trouble.go_on.set()


@pytest.mark.parametrize("data", [{}, {"action": "Pause"}, {"action": "cancel", "job": "../x"}, {"action": 7, "job": []}])
async def test_odd_acts_are_refused_in_words(service: Service, data: dict[str, object]) -> None:
    _, told = await JobTray(service).act(sent(**data))
    assert said(told)[0]["tone"] == "bad"


async def test_what_is_over_is_cleared_at_once(part: GetModels, service: Service) -> None:
    await part.get(sent(model=MODEL))
    await ended(service, "done")
    html, _ = await JobTray(service).act(sent(action="clear"))
    assert "Nothing is running." in html
