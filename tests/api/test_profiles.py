"""Profiles over HTTP: listed beside the models, and asked for by name, where the request's own fields win."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import NotFoundError

from mlx_harmony.records import ChatPrompt, GenerationRequest, Message
from tests.api.serving import Options, Serving, serving

USER = {"role": "user", "content": "Hello {thing}"}
CONFIG = {
    "temperature": 0.3,
    "top_k": 7,
    "max_tokens": 77,
    "reasoning_effort": "low",
    "system_model_identity": "You are a parrot.",
    "developer_instructions": "Say {thing}.",
    "example_dialogues": [[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hi!"}]],
    "placeholders": {"thing": "seed"},
    "end_token_strings": ["<|stop|>"],
    "loop_detection": "full",
}
PROFILES = {
    "parrot": {"model": "tiny-windowed", "prompt_config": "parrot.json", "max_context_tokens": 999, "kv_bits": 8},
    "starter": {"model": "tiny-windowed"},
    "taken": {"model": "starter"},
    "lost": {"model": "nobody"},
}


@pytest.fixture
async def server(fx2: Path, tmp_path: Path) -> AsyncIterator[Serving]:
    (tmp_path / "profiles.json").write_text(json.dumps(PROFILES))
    (tmp_path / "parrot.json").write_text(json.dumps(CONFIG))
    (tmp_path / "aliases.json").write_text('{"taken": {"models": ["tiny-windowed"]}}')
    async with serving(tmp_path, Options(models_dirs=(str(fx2),))) as running:
        yield running


async def asked(server: Serving, **fields: Any) -> tuple[str, GenerationRequest, ChatPrompt]:
    body = {"model": "parrot", "messages": [USER], **fields}
    answer = await server.client.chat.completions.create(**{name: body.pop(name) for name in ("model", "messages")}, extra_body=body)
    request = server.engine.requests[-1]
    assert isinstance(request.prompt, ChatPrompt)
    return answer.model, request, request.prompt


async def test_a_profile_brings_its_model_its_prompt_config_and_its_numbers(server: Serving) -> None:
    model, request, prompt = await asked(server)
    assert model == "tiny-windowed"
    assert (request.sampling.temperature, request.sampling.top_k, request.max_tokens) == (0.3, 7, 77)
    assert (request.stop, request.loop_detection, request.max_context_tokens, request.kv.kv_bits) == (("<|stop|>",), "full", 999, 8)
    assert (prompt.effort, prompt.identity) == ("low", "You are a parrot.")
    assert [(message.role, message.content) for message in prompt.messages] == [
        ("developer", "Say seed."),
        ("user", "Hi"),
        ("assistant", "Hi!"),
        ("user", "Hello seed"),
    ]


async def test_what_the_request_says_itself_wins(server: Serving) -> None:
    said: dict[str, Any] = {
        "temperature": 0,
        "max_completion_tokens": 5,
        "reasoning_effort": "high",
        "system_model_identity": "",
        "stop": ["x"],
        "loop_detection": "off",
        "kv_bits": 0,
        "messages": [{"role": "system", "content": "Be brief."}, USER],
        "tools": [{"type": "python"}],
        "top_p": None,
    }
    _, request, prompt = await asked(server, **said)
    assert (request.sampling.temperature, request.sampling.top_k, request.max_tokens) == (0, 7, 5)
    assert (request.stop, request.loop_detection, request.kv.kv_bits) == (("x",), "off", 0)
    assert (prompt.effort, prompt.identity, len(prompt.tools)) == ("high", "", 1)
    assert prompt.messages[0] == Message(role="system", content="Be brief.")
    assert [message.role for message in prompt.messages] == ["system", "user", "assistant", "user"]


async def test_profiles_stand_among_the_models_unless_their_name_is_taken(server: Serving) -> None:
    listed = {model.id: model for model in (await server.client.models.list()).data}
    assert list(listed) == ["starter", "tiny-windowed", "taken", "parrot", "lost"]
    assert [name for name, model in listed.items() if model.source == "profile"] == ["parrot", "lost"]
    assert listed["parrot"].profile == {"model": "tiny-windowed", "prompt_config": "parrot.json", "max_context_tokens": 999}
    assert "nobody" in listed["lost"].problem
    async with httpx.AsyncClient(base_url=server.url) as client:
        assert (await client.get("/v1/models/parrot")).json()["source"] == "profile"
        assert (await client.get("/v1/models/starter")).json()["source"] == "bundled"


async def test_a_model_s_and_an_alias_s_own_name_come_first(server: Serving) -> None:
    assert (await asked(server, model="starter"))[0] == "starter"
    assert (await asked(server, model="taken"))[0] == "tiny-windowed"


async def test_a_profile_that_cannot_be_used_says_why(server: Serving, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nobody"):
        await asked(server, model="lost")
    (tmp_path / "profiles.json").write_text("{")
    with pytest.raises(NotFoundError, match="No model 'parrot'"):
        await asked(server)
    assert [model.id for model in (await server.client.models.list()).data] == ["starter", "tiny-windowed", "taken"]
