"""Aliases over HTTP: listed, asked, and the model that answers named."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError

from tests.api.serving import Options, Serving, serving

HELLO = [{"role": "user", "content": "hello"}]
RULE = {"model": "tiny-windowed", "min_characters": 50}
ALIASES = {
    "both": {"models": ["starter", "tiny-windowed"]},
    "smart": {"models": ["starter"], "rules": [RULE], "fallbacks": ["not/here"]},
    "lost": {"models": ["not/here"]},
}


@pytest.fixture
async def server(fx2: Path, tmp_path: Path) -> AsyncIterator[Serving]:
    (tmp_path / "aliases.json").write_text(json.dumps(ALIASES))
    async with serving(tmp_path, Options(models_dirs=(str(fx2),))) as running:
        yield running


async def test_the_answer_names_the_model_that_gave_it(server: Serving) -> None:
    answers = [await server.client.chat.completions.create(model="both", messages=HELLO) for _ in range(4)]
    assert [answer.model for answer in answers] == ["starter", "tiny-windowed"] * 2
    assert answers[1].note == "tiny-windowed answered for both: its models take turns."
    chunks = [chunk async for chunk in await server.client.chat.completions.create(model="both", messages=HELLO, stream=True)]
    assert {chunk.model for chunk in chunks} == {"starter"} and chunks[-1].note.startswith("starter answered for both")


async def test_a_hundred_requests_at_once_are_shared_half_and_half(server: Serving) -> None:
    asked = (server.client.chat.completions.create(model="both", messages=HELLO) for _ in range(100))
    assert Counter(answer.model for answer in await asyncio.gather(*asked)) == {"starter": 50, "tiny-windowed": 50}


async def test_a_rule_sends_a_long_prompt_elsewhere_and_the_way_is_kept(server: Serving) -> None:
    for size in (49, 50):
        await server.client.chat.completions.create(model="smart", messages=[{"role": "user", "content": "x" * size}])
    async with httpx.AsyncClient(base_url=server.url) as client:
        told = (await client.get("/v1/models/smart")).json()
    ways = [(route["model"], route["note"]) for route in told["routes"]]
    assert ways[0] == ("tiny-windowed", "tiny-windowed answered for smart: the prompt has at least 50 characters.")
    assert ways[1] == ("starter", "starter answered for smart.") and told["alias"]["answered"] == {"starter": 1, "tiny-windowed": 1}


async def test_aliases_stand_among_the_models_and_are_marked(server: Serving) -> None:
    listed = {model.id: model for model in (await server.client.models.list()).data}
    assert list(listed) == ["starter", "tiny-windowed", "both", "smart", "lost"]
    assert {name for name, model in listed.items() if model.source == "alias"} == set(ALIASES)
    assert listed["smart"].alias == {
        "models": ["starter"],
        "strategy": "round_robin",
        "rules": [RULE],
        "fallbacks": ["not/here"],
        "missing": ["not/here"],
        "answered": {},
    }
    assert "names no model that is on this machine" in listed["lost"].problem
    async with httpx.AsyncClient(base_url=server.url) as client:
        some = (await client.get("/v1/models", params={"text": "*t*h*"})).json()["data"]
    assert [model["id"] for model in some] == ["both"]


async def test_an_alias_that_leads_nowhere_is_an_error_that_says_so(server: Serving, client: AsyncOpenAI) -> None:
    with pytest.raises(Exception, match="names no model that is on this machine"):
        await client.chat.completions.create(model="lost", messages=HELLO)
    with pytest.raises(NotFoundError):
        await client.chat.completions.create(model="neither", messages=HELLO)


@pytest.fixture
def client(server: Serving) -> AsyncOpenAI:
    return server.client


@pytest.mark.parametrize("action", ["load", "unload", "pin"])
async def test_what_is_done_to_single_models_is_refused(server: Serving, client: AsyncOpenAI, action: str) -> None:
    with pytest.raises(BadRequestError, match="is an alias, not a model"):
        await client.post(f"/models/{action}", body={"model": "both"}, cast_to=object)
    async with httpx.AsyncClient(base_url=server.url) as plain:
        assert (await plain.get("/v1/models/both/forecast")).json()["error"]["param"] == "model"


async def test_an_alias_can_be_the_default(server: Serving, client: AsyncOpenAI) -> None:
    await client.post("/models/use", body={"model": "both"}, cast_to=object)
    assert server.service.settings.model == "both"
    models = {(await client.chat.completions.create(model="both", messages=HELLO)).model for _ in range(2)}
    assert models == {"starter", "tiny-windowed"}


async def test_a_file_that_cannot_be_read_keeps_no_model_from_answering(server: Serving, client: AsyncOpenAI, tmp_path: Path) -> None:
    (tmp_path / "aliases.json").write_text("{")
    assert [model.id for model in (await client.models.list()).data] == ["starter", "tiny-windowed"]
    assert (await client.chat.completions.create(model="starter", messages=HELLO)).model == "starter"
