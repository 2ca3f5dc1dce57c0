"""The bundled model through the official client: what the README promises of the API."""

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from mlx_harmony.models.catalog import starter_folder
from tests.api.serving import Options, Serving, serving

pytestmark = [
    pytest.mark.integration,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not (starter_folder() / "config.json").exists(), reason="this checkout has no Starter yet"),
]

PRODUCT = [{"role": "user", "content": "What is 417 × 36?"}]
PYTHON = [{"type": "python"}]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Serving]:
    async with serving(tmp_path_factory.mktemp("home"), Options(real=True)) as running:
        yield running


async def test_it_streams_its_thinking_and_its_answer(server: Serving) -> None:
    asked = server.client.chat.completions.create(
        model="starter",
        messages=[{"role": "user", "content": "Hello!"}],
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in await asked]
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    answer = "".join(delta.content or "" for delta in deltas)
    assert len([delta for delta in deltas if delta.content]) > 3
    assert answer.strip()
    assert "<|" not in answer
    assert "".join(getattr(delta, "reasoning", None) or "" for delta in deltas).strip()
    assert chunks[-1].timings["predicted_n"] == chunks[-1].usage.completion_tokens > 3


async def test_it_calls_python_and_answers_from_the_result(server: Serving) -> None:
    first = await server.client.chat.completions.create(model="starter", messages=PRODUCT, tools=PYTHON, temperature=0)
    assert first.choices[0].finish_reason == "tool_calls"
    call = first.choices[0].message.tool_calls[0]
    assert call.function.name == "python"
    code = json.loads(call.function.arguments)["code"]
    assert "417" in code
    assert "36" in code
    spoken = first.choices[0].message.model_dump(exclude_none=True)
    result = {"role": "tool", "tool_call_id": call.id, "content": "15012"}
    last = await server.client.chat.completions.create(model="starter", messages=[*PRODUCT, spoken, result], tools=PYTHON, temperature=0)
    assert last.choices[0].finish_reason == "stop"
    assert "15012" in last.choices[0].message.content.replace(",", "")


async def test_a_follow_up_reads_only_what_is_new(server: Serving) -> None:
    talk = [{"role": "user", "content": "My name is Mira. Please remember that."}]
    first = await server.client.chat.completions.create(model="starter", messages=talk, temperature=0)
    talk += [{"role": "assistant", "content": first.choices[0].message.content}, {"role": "user", "content": "Thank you!"}]
    second = await server.client.chat.completions.create(model="starter", messages=talk, temperature=0)
    assert second.usage.prompt_tokens_details.cached_tokens > 0
    assert second.timings["prompt_n"] < second.usage.prompt_tokens
