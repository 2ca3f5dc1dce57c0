"""Many clients at once over HTTP and a real worker: each gets what it would get alone, beside others that fail or hang up."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.api.serving import Options, Serving, serving

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

CLIENTS = 64
SYSTEM = {"role": "system", "content": "You are a helpful assistant. The user asks and the assistant answers. " * 4}
BAD: list[dict[str, Any]] = [{"logit_bias": {"999999": 1}}, {"messages": [{"role": "user", "content": "word " * 50_000}]}, {"top_k": 10**9}]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server(fx2: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Serving]:
    async with serving(tmp_path_factory.mktemp("home"), Options(real=True, models_dirs=(str(fx2.parent),))) as running:
        await running.service.load(fx2.name)
        yield running


@pytest.fixture
def model(fx2: Path) -> str:
    return fx2.name


def asked(model: str, number: int, **fields: Any) -> dict[str, Any]:
    messages = [SYSTEM, {"role": "user", "content": f"Question {number}: " + "hello there " * (number % 9)}]
    return {"model": model, "messages": messages, "max_tokens": 12, "temperature": 0, "stream": False, **fields}


async def said(client: httpx.AsyncClient, body: dict[str, Any]) -> tuple[int, str]:
    answer = await client.post("/v1/chat/completions", json=body)
    if answer.status_code != 200:
        return answer.status_code, ""
    message = answer.json()["choices"][0]["message"]
    return 200, f"{message.get('reasoning')}|{message['content']}"


async def test_sixty_four_clients_get_what_each_would_get_alone(server: Serving, model: str) -> None:
    limits = httpx.Limits(max_connections=CLIENTS)
    async with httpx.AsyncClient(base_url=server.url, timeout=120, limits=limits) as client:
        crowd = await asyncio.gather(*(said(client, asked(model, number)) for number in range(CLIENTS)))
        assert {status for status, _ in crowd} == {200}
        for number in range(0, CLIENTS, 7):
            assert await said(client, asked(model, number)) == crowd[number]
        assert len({words for _, words in crowd}) > CLIENTS / 2


async def test_what_is_refused_and_who_hangs_up_disturbs_nobody(server: Serving, model: str) -> None:
    pid = [state.pid for state in server.service.model_states()]

    async def hang_up(client: httpx.AsyncClient, number: int) -> None:
        async with client.stream("POST", "/v1/chat/completions", json=asked(model, number, stream=True, max_tokens=3000)) as stream:
            async for _ in stream.aiter_lines():
                break

    async with httpx.AsyncClient(base_url=server.url, timeout=120) as client:
        good = [said(client, asked(model, number)) for number in range(12)]
        bad = [said(client, asked(model, number, **fields)) for number, fields in enumerate(BAD)]
        left = [hang_up(client, 90 + number) for number in range(4)]
        answers, refused, _ = await asyncio.gather(asyncio.gather(*good), asyncio.gather(*bad), asyncio.gather(*left))
        assert [status for status, _ in refused] == [400] * len(BAD)
        for number in (0, 5, 11):
            assert await said(client, asked(model, number)) == answers[number]
    assert [state.pid for state in server.service.model_states()] == pid
