"""A prompt read once into a file over HTTP: how far it is, what came of it, and what is refused before anything is read."""

import json
import stat
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlx_harmony.cache_records import READ_ALONE
from mlx_harmony.shelf.bundle import read_bundle
from tests.api.serving import Options, Serving, eventually, serving

PROMPT = "The quick brown fox jumps over the lazy dog, again and again. " * 8


async def read(server: Serving, **asked: Any) -> tuple[int, list[dict[str, Any]]]:
    """The status, and the lines of the answer; of a refusal its error."""
    async with httpx.AsyncClient(base_url=server.url, timeout=120) as client:
        answer = await client.post("/files/caches/read", json={"model": "starter", "prompt": PROMPT, "name": "fox"} | asked)
    if answer.status_code != 200:
        return answer.status_code, [answer.json()["error"]]
    return 200, [json.loads(line) for line in answer.text.splitlines()]


@pytest.mark.integration
async def test_a_model_reads_it_and_says_how_far_it_is_and_what_came_of_it(fx2: Path, tmp_path: Path) -> None:
    async with serving(tmp_path, Options(real=True, models_dirs=(str(fx2.parent),))) as server:
        status, lines = await read(server, model=fx2.name, system="Answer in one sentence.")
        *steps, told = lines
        assert status == 200 and {step["step"] for step in steps} == {"loading", "reading"}
        shares = [step["done"] / step["total"] for step in steps if step["step"] == "reading"]
        assert shares == sorted(shares) and shares[-1] == 1.0
        file = tmp_path / "prompts" / "fox.kv"
        assert (told["step"], told["path"], told["bytes"]) == ("done", str(file), file.stat().st_size)
        assert told["tokens"] >= told["prompt_tokens"] - 1 > 100 and told["read_tokens"] == told["prompt_tokens"]
        assert told["tokens_per_second"] > 0 and told["peak_bytes"] > 10**7
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert read_bundle(file).run.end == told["tokens"]
        # What was read is in this model's cache as well, under a name of its own.
        state = await server.service.caches.look(fx2.name)
        assert [chat.startswith(READ_ALONE) for entry in state.entries for chat in entry.chats] == [True]

        before = file.read_bytes()
        status, (error,) = await read(server, model=fx2.name)
        assert status == 400 and "is there already" in error["message"] and error["param"] == "path"
        assert file.read_bytes() == before
        status, lines = await read(server, model=fx2.name, prompt=f"{PROMPT} And once more.", replace=True)
        assert status == 200 and file.read_bytes() != before
        assert lines[-1]["read_tokens"] < lines[-1]["prompt_tokens"]


@pytest.mark.parametrize(
    ("asked", "status", "param"),
    [
        ({"prompt": " \n"}, 400, "prompt"),
        ({"prompt": 1}, 400, "prompt"),
        ({"name": ""}, 400, "name"),
        ({"name": "../up"}, 400, "name"),
        ({"name": "a\\b"}, 400, "name"),
        ({"name": "C:a"}, 400, "name"),
        ({"name": ".hidden"}, 400, "name"),
        ({"name": "a\u0000b"}, 400, "name"),
        ({"name": "n" * 101}, 400, "name"),
        ({"model": "nobody"}, 404, "model"),
    ],
)
async def test_what_cannot_be_read_is_refused_before_any_model_is_asked(
    server: Serving, asked: dict[str, Any], status: int, param: str
) -> None:
    answered, (error,) = await read(server, **asked)
    assert (answered, error["param"]) == (status, param)
    assert server.engine.requests == [] and not list(Path(server.service.settings.home).glob("prompts/*"))


async def test_what_goes_wrong_while_it_reads_is_the_last_line(server: Serving) -> None:
    status, lines = await read(server)
    assert status == 200 and [line["step"] for line in lines] == ["reading", "reading", "failed"]
    assert "Too little of the prompt was kept" in lines[-1]["message"] and lines[-1]["hint"]
    (asked,) = server.engine.requests
    assert (asked.max_tokens, asked.speculation, asked.sampling.temperature) == (1, "off", 0.0) and asked.chat.startswith(READ_ALONE)


async def test_whoever_hangs_up_cancels(tmp_path: Path) -> None:
    async with serving(tmp_path, Options(pause_s=0.3)) as server:
        body = {"model": "starter", "prompt": PROMPT, "name": "fox"}
        async with httpx.AsyncClient(base_url=server.url) as client, client.stream("POST", "/files/caches/read", json=body) as answer:
            async for line in answer.aiter_lines():
                assert json.loads(line)["step"] == "reading"
                break
        assert await eventually(lambda: len(server.engine.cancelled) == 1)
        assert not list(Path(server.service.settings.home).glob("prompts/*"))
