"""Provenance over a real model: the same settings and seed give the same text, in the chat, by curl, by Python and by the terminal."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from mlx_harmony.conversation.records import ChatMessage, TurnOptions
from mlx_harmony.events import Finished
from mlx_harmony.records import Sampling
from mlx_harmony.service import Service
from tests.api.serving import Options, Serving, serving

pytestmark = pytest.mark.integration


@pytest.fixture
async def server(fx2: Path, tmp_path: Path) -> AsyncIterator[Serving]:
    async with serving(tmp_path / "home", Options(real=True, models_dirs=(str(fx2.parent),))) as running:
        yield running


async def answered(service: Service, model: str) -> tuple[str, ChatMessage]:
    """A chat of two turns, drawn with seeds nobody chose."""
    options = TurnOptions(
        model=model, sampling=Sampling(temperature=1.0, top_k=50), max_tokens=24, effort="low", instructions="Be 'brief'."
    )
    chat_id = (await service.create_chat(options)).summary.id
    for text in ("hello there", 'and "again" `x` $y'):
        async with aclosing(service.send(chat_id, text, options)) as events:
            last = [event async for event in events][-1]
        assert isinstance(last, Finished)
    return chat_id, (await service.read_chat(chat_id)).messages[-1]


def raw(message: ChatMessage) -> tuple[str, str]:
    return message.content, message.reasoning


async def test_the_same_settings_and_seed_give_the_same_text(server: Serving, fx2: Path) -> None:
    service = server.service
    chat_id, first = await answered(service, fx2.name)
    options = await service.replay_options(chat_id, first.id)
    assert options.sampling.seed >= 0
    async with aclosing(service.regenerate(chat_id, first.id, options)) as events:
        async for _ in events:
            pass
    second = (await service.read_chat(chat_id)).messages[-1]
    assert second.id != first.id and [lane.raw for lane in second.lanes] == [lane.raw for lane in first.lanes]
    assert raw(second) == raw(first) and any(lane.raw for lane in first.lanes)


async def ran(*command: str, text: str = "", **environment: str) -> str:
    """What a command wrote; it must succeed."""

    def run() -> "subprocess.CompletedProcess[str]":
        return subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, env={**os.environ, **environment})

    done = await asyncio.to_thread(run)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_a_copied_request_gives_the_answer_again(server: Serving, fx2: Path, tmp_path: Path) -> None:
    service = server.service
    chat_id, answer = await answered(service, fx2.name)
    curl = await service.copy_as(chat_id, answer.id, "curl", server.url)
    reply = json.loads(await ran("bash", "-c", curl))["choices"][0]["message"]
    assert (reply["content"] or "", reply.get("reasoning") or "") == raw(answer)

    python = await service.copy_as(chat_id, answer.id, "python", server.url)
    printed = await ran(sys.executable, "-c", python)
    assert printed == f"{answer.content or None}\n"

    terminal = await service.copy_as(chat_id, answer.id, "cli")
    command = terminal.replace("mlx-harmony generate", f"{sys.executable} -m mlx_harmony generate --json --models-dir {fx2.parent}", 1)
    document = json.loads(await ran("bash", "-c", command, MLX_HARMONY_HOME=str(tmp_path / "other")))
    assert (document["text"], document["reasoning"]) == raw(answer)
