"""One catalogue: the terminal, the API and the service say the same of every model, row by row and field by field."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlx_harmony.api.app import create_app
from mlx_harmony.cli.main import main
from mlx_harmony.conversation.records import TurnOptions
from mlx_harmony.models import outlook
from mlx_harmony.models.filtering import Filter
from mlx_harmony.models.info import row_of
from mlx_harmony.models.used import Used
from mlx_harmony.service import Service
from mlx_harmony.settings import load_settings
from tests.fixtures.hub_cache import HubCache, build
from tests.fixtures.provider import ScriptedProvider

HOST = "http://127.0.0.1:7860"
OWN = {"object", "created", "owned_by", "loaded"}
"""What OpenAI's clients want, and what only a running program knows."""
PROFILES = {"work": {"model": "org/A"}, "play": {"model": "org/A", "prompt_config": "gone.json"}, "gone": {"model": "org/Z"}}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HubCache:
    """FX4 with profiles, an alias and a model that was used."""
    home = tmp_path / "home"
    home.mkdir()
    cache = build(tmp_path / "hub")
    monkeypatch.setenv("MLX_HARMONY_HOME", str(home))
    monkeypatch.setenv("HF_HUB_CACHE", str(cache.root))
    # Both ask how much is free, one after the other.
    monkeypatch.setattr(outlook, "available_bytes", lambda: 10**10)
    (home / "profiles.json").write_text(json.dumps(PROFILES))
    (home / "aliases.json").write_text('{"pair": {"models": ["org/A", "starter"]}}')
    Used(str(home)).note(str(cache.repository("org/B") / "snapshots" / "b2"), 4102444800.0)
    return cache


@pytest.fixture
async def service(cache: HubCache) -> AsyncIterator[Service]:
    opened = await Service.open(load_settings(), provider=ScriptedProvider())
    yield opened
    await opened.close()


async def chat_with(service: Service, model: str) -> None:
    """A chat in which the model answered."""
    chat = await service.create_chat(TurnOptions(model=model))
    async for _ in service.send(chat.summary.id, "hello", TurnOptions(model=model)):
        pass


def in_the_terminal(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert main(["models", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


async def over_http(service: Service, query: str = "") -> list[dict[str, Any]]:
    return list((await asked(service, f"/v1/models{query}")).json()["data"])


async def asked(service: Service, address: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=create_app(service))
    async with httpx.AsyncClient(transport=transport, base_url=HOST) as client:
        return await client.get(address)


async def test_the_terminal_the_api_and_the_service_agree_field_by_field(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    await chat_with(service, "starter")
    shown, told = in_the_terminal(capsys), await over_http(service)
    assert [row["id"] for row in shown] == ["starter", "org/A", "org/B", "org/E", "pair", *PROFILES]
    assert [set(row) - set(other) for row, other in zip(told, shown, strict=True)] == [OWN] * 8
    asleep = [{name: value for name, value in row.items() if name not in OWN} for row in told[1:]]
    assert asleep == shown[1:]
    # A model that is awake says itself how long its context is and which format it speaks.
    awake = {name: value for name, value in told[0].items() if name not in (*OWN, "format", "context_length")}
    assert awake == {name: value for name, value in shown[0].items() if name not in ("format", "context_length")}
    assert json.loads(json.dumps([row_of(info, service.needs_of) for info in await service.infos()])) == shown[:4]


async def test_rows_tell_who_names_a_model_and_when_it_was_used(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    await chat_with(service, "starter")
    rows = {row["id"]: row for row in in_the_terminal(capsys)}
    assert rows["org/A"]["profiles"] == ["work", "play"] and rows["org/B"]["profiles"] == []
    assert rows["org/B"]["last_used_at"] == 4102444800.0
    assert (rows["starter"]["chats"], rows["org/A"]["chats"]) == (1, 0)
    assert (rows["org/E"]["complete"], rows["org/E"]["lacks"]) == (False, "Its file model.safetensors is missing. Download it again.")


async def test_the_same_is_found_in_the_same_order(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    shown = in_the_terminal(capsys, "list", "ORG/*", "--sort", "size", "--min-size", "110B")
    told = await over_http(service, "?text=ORG/*&sort=size&min_bytes=110")
    found = await service.infos(Filter(text="ORG/*", sort="size", min_bytes=110))
    assert [row["id"] for row in shown] == [row["id"] for row in told] == [info.entry.id for info in found] == ["org/B", "org/A"]
    assert [row["id"] for row in await over_http(service, "?text=nothing")] == []


@pytest.mark.parametrize("query", ["?text=[", "?sort=colour", "?format=x", "?min_bytes=many", "?reverse=perhaps"])
async def test_what_cannot_be_looked_for_is_refused_over_http(query: str, service: Service) -> None:
    refused = await asked(service, f"/v1/models{query}")
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "invalid_request"


async def test_one_model_is_told_of_as_in_the_list(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = [row for row in await over_http(service) if row["id"] == "org/B"]
    assert (await asked(service, "/v1/models/org/B")).json() == row
    assert in_the_terminal(capsys, "info", "org/B") == {name: value for name, value in row.items() if name not in OWN}
    assert (await asked(service, "/v1/models/org/Z")).status_code == 404
