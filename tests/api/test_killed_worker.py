"""The worker is killed while it answers eight clients: each hears of it in words, and the next request is answered after one load."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.api.serving import Options, Serving, eventually, serving

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

URL = "/v1/chat/completions"
CLIENTS = 8
STREAMED = 4
NOISE_S = 2.0


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server(fx1: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Serving]:
    async with serving(tmp_path_factory.mktemp("home"), Options(real=True, models_dirs=(str(fx1.parent),))) as running:
        yield running


def asked(model: str, number: int, **fields: Any) -> dict[str, Any]:
    """A request that only its length ends: FX1's stop token is forbidden."""
    messages = [{"role": "user", "content": f"Question {number}"}]
    return {
        "model": model,
        "messages": messages,
        "max_tokens": 6000,
        "temperature": 0,
        "logit_bias": {"1": -100},
        "loop_detection": "off",
        **fields,
    }


async def whole(client: httpx.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
    answer = await client.post(URL, json=body)
    return {"status": answer.status_code, **answer.json().get("error", {})}


async def streamed(client: httpx.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
    pieces, error = 0, {}
    async with client.stream("POST", URL, json=body | {"stream": True}) as stream:
        async for line in stream.aiter_lines():
            told = json.loads(line[6:]) if line.startswith("data: {") else {}
            pieces += "choices" in told
            error = told.get("error", error)
    return {"status": stream.status_code, "pieces": pieces, **error}


async def test_whoever_was_being_answered_hears_of_it_and_the_next_is_answered_within_the_load_time(server: Serving, fx1: Path) -> None:
    async with httpx.AsyncClient(base_url=server.url, timeout=120, limits=httpx.Limits(max_connections=32)) as client:
        began = time.monotonic()
        assert (await whole(client, asked(fx1.name, 99, max_tokens=1)))["status"] == 200
        load_s = time.monotonic() - began
        running = [
            asyncio.create_task((streamed if number < STREAMED else whole)(client, asked(fx1.name, number))) for number in range(CLIENTS)
        ]
        state = server.service.model_states()[0]
        assert await eventually(lambda: server.service.model_states()[0].requests == CLIENTS, 10)
        await asyncio.sleep(0.5)
        assert state.pid is not None
        os.kill(state.pid, signal.SIGKILL)
        began = time.monotonic()
        ends = await asyncio.wait_for(asyncio.gather(*running), 10)
        assert [end["code"] for end in ends] == ["engine_crashed"] * CLIENTS
        assert all("SIGKILL" in end["message"] for end in ends)
        assert all(end["pieces"] > 0 for end in ends[:STREAMED])
        assert {end["status"] for end in ends[STREAMED:]} == {503}
        assert (await whole(client, asked(fx1.name, 100, max_tokens=1)))["status"] == 200
        assert time.monotonic() - began < load_s + NOISE_S
    assert server.service.model_states()[0].pid not in (None, state.pid)


async def test_those_who_wait_for_a_seat_hear_of_it_too(server: Serving, fx1: Path) -> None:
    async with httpx.AsyncClient(base_url=server.url, timeout=120, limits=httpx.Limits(max_connections=64)) as client:
        assert (await whole(client, asked(fx1.name, 98, max_tokens=1)))["status"] == 200
        running = [asyncio.create_task(whole(client, asked(fx1.name, number))) for number in range(24)]
        assert await eventually(lambda: server.service.model_states()[0].requests == 24, 10)
        pid = server.service.model_states()[0].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        ends = await asyncio.wait_for(asyncio.gather(*running), 10)
        assert [end["code"] for end in ends] == ["engine_crashed"] * 24
        assert (await whole(client, asked(fx1.name, 100, max_tokens=1)))["status"] == 200
