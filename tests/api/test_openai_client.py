"""The official openai client, sync and async, against a real server whose model is scripted."""

import asyncio
import json
from pathlib import Path

import openai
import pytest
from openai import OpenAI

from mlx_harmony.events import Event, Failed, Finished, MessageEnded, MessageStarted, TextDelta, TokenLogprob, ToolCallDelta
from mlx_harmony.records import ChatPrompt, GenerationRequest, ToolCall
from tests.api.serving import Options, Serving, serving
from tests.fixtures.scripted import call, finished, say

HELLO = [{"role": "user", "content": "hello"}]
WEATHER = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


async def test_a_whole_answer_has_text_thinking_usage_and_timings(server: Serving) -> None:
    answer = await server.client.chat.completions.create(model="starter", messages=HELLO)
    message = answer.choices[0].message
    assert (message.role, message.content, message.reasoning) == ("assistant", "You said: hello", "They said something.")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "starter"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (10, 8, 18)
    assert answer.usage.prompt_tokens_details.cached_tokens == 0
    assert answer.timings == {
        "prompt_n": 10,
        "cached_n": 0,
        "prompt_ms": 5.0,
        "predicted_n": 8,
        "predicted_ms": 40.0,
        "predicted_per_second": 200.0,
        "kv_length": 0,
        "kv_bytes": 0,
    }


async def test_a_request_without_a_model_is_answered_by_the_default_one_which_is_named(server: Serving) -> None:
    answer = await server.client.chat.completions.create(model=None, messages=HELLO)
    assert answer.model == "starter"


async def test_a_streamed_answer_comes_in_pieces_and_ends_with_its_reason_and_usage(server: Serving) -> None:
    stream = await server.client.chat.completions.create(
        model="starter", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert deltas[0].role == "assistant"
    assert "".join(delta.content or "" for delta in deltas) == "You said: hello"
    assert "".join(getattr(delta, "reasoning", None) or "" for delta in deltas) == "They said something."
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.prompt_tokens_details.cached_tokens == 0
    assert chunks[-1].timings["predicted_n"] == 8
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    assert all(chunk.usage is None for chunk in chunks[:-1])


async def test_without_include_usage_the_last_chunk_brings_the_timings(server: Serving) -> None:
    stream = await server.client.chat.completions.create(model="starter", messages=HELLO, stream=True)
    chunks = [chunk async for chunk in stream]
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert chunks[-1].timings["prompt_n"] == 10
    assert not any(hasattr(chunk, "timings") for chunk in chunks[:-1])


async def test_the_first_piece_arrives_long_before_the_last(tmp_path: Path) -> None:
    async with serving(tmp_path, Options(script=lambda _: say("one two three four", pieces=6), pause_s=0.1)) as server:
        loop = asyncio.get_running_loop()
        times: list[float] = []
        async for _ in await server.client.chat.completions.create(model="starter", messages=HELLO, stream=True):
            times.append(loop.time())
        assert times[-1] - times[0] > 0.4


def test_the_synchronous_client_works_too(tmp_path: Path) -> None:
    def ask(url: str) -> tuple[str, str]:
        with OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0) as sync:
            whole = sync.chat.completions.create(model="starter", messages=HELLO)
            stream = sync.chat.completions.create(model="starter", messages=HELLO, stream=True)
            return whole.choices[0].message.content, "".join(chunk.choices[0].delta.content or "" for chunk in stream)

    async def check() -> None:
        async with serving(tmp_path) as server:
            assert await asyncio.to_thread(ask, server.url) == ("You said: hello", "You said: hello")

    asyncio.run(check())


def weather_or_answer(request: GenerationRequest) -> list[Event]:
    assert isinstance(request.prompt, ChatPrompt)
    last = request.prompt.messages[-1]
    if last.role == "tool":
        return say(f"It is {last.content}.")
    return call("get_weather", "functions.get_weather", '{"city": "Oslo"}')


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_tool_call_goes_out_and_its_result_comes_back_in(tmp_path: Path, streamed: bool) -> None:
    async with serving(tmp_path, Options(script=weather_or_answer)) as server:
        if streamed:
            message = await streamed_call(server)
        else:
            answer = await server.client.chat.completions.create(model="starter", messages=HELLO, tools=[WEATHER])
            assert answer.choices[0].finish_reason == "tool_calls"
            assert answer.choices[0].message.content is None
            message = answer.choices[0].message.model_dump(exclude_none=True)
        called = message["tool_calls"][0]
        assert (called["type"], called["function"]["name"], json.loads(called["function"]["arguments"])) == (
            "function",
            "get_weather",
            {"city": "Oslo"},
        )
        result = {"role": "tool", "tool_call_id": called["id"], "content": "cold"}
        answer = await server.client.chat.completions.create(model="starter", messages=[*HELLO, message, result], tools=[WEATHER])
        assert answer.choices[0].message.content == "It is cold."
        prompt = server.engine.requests[-1].prompt
        assert isinstance(prompt, ChatPrompt)
        assert prompt.messages[1].tool_calls == (ToolCall(id=called["id"], name="get_weather", arguments='{"city": "Oslo"}'),)
        assert prompt.messages[2].name == "get_weather"


async def streamed_call(server: Serving) -> dict[str, object]:
    stream = await server.client.chat.completions.create(model="starter", messages=HELLO, tools=[WEATHER], stream=True)
    calls: dict[int, dict[str, str]] = {}
    reasons = set()
    async for chunk in stream:
        reasons.add(chunk.choices[0].finish_reason)
        for piece in chunk.choices[0].delta.tool_calls or ():
            known = calls.setdefault(piece.index, {"id": "", "name": "", "arguments": ""})
            known["id"] += piece.id or ""
            known["name"] += piece.function.name or ""
            known["arguments"] += piece.function.arguments or ""
    assert reasons == {None, "tool_calls"}
    assert list(calls) == [0]
    function = {"name": calls[0]["name"], "arguments": calls[0]["arguments"]}
    return {"role": "assistant", "tool_calls": [{"id": calls[0]["id"], "type": "function", "function": function}]}


async def test_built_in_tools_are_declared_by_their_bare_type(tmp_path: Path) -> None:
    async with serving(tmp_path, Options(script=lambda _: call("python", "python", '{"code": "1+1"}'))) as server:
        tools = [{"type": "python"}, {"type": "browser"}, {"type": "apply_patch"}]
        answer = await server.client.chat.completions.create(model="starter", messages=HELLO, tools=tools)
        prompt = server.engine.requests[-1].prompt
        assert isinstance(prompt, ChatPrompt)
        assert [tool.kind for tool in prompt.tools] == ["python", "browser", "apply_patch"]
        function = answer.choices[0].message.tool_calls[0].function
        assert (function.name, json.loads(function.arguments)) == ("python", {"code": "1+1"})


def with_logprobs(request: GenerationRequest) -> list[Event]:
    told = TokenLogprob(token="Hi", token_id=5, logprob=-0.5, top=(("Hi", 5, -0.5), ("Ho", 6, float("-inf"))))
    return [
        MessageStarted(index=0, channel="final"),
        TextDelta(index=0, channel="final", text="Hi", logprobs=(told,)),
        MessageEnded(index=0),
        finished("stop"),
    ]


@pytest.mark.parametrize("streamed", [False, True])
async def test_logprobs_are_listed_as_openai_lists_them(tmp_path: Path, streamed: bool) -> None:
    async with serving(tmp_path, Options(script=with_logprobs)) as server:
        asked = server.client.chat.completions.create(model="starter", messages=HELLO, logprobs=True, top_logprobs=2, stream=streamed)
        if streamed:
            told = [chunk.choices[0].logprobs async for chunk in await asked]
            entry = next(each.content[0] for each in told if each and each.content)
        else:
            entry = (await asked).choices[0].logprobs.content[0]
        assert (entry.token, entry.logprob, entry.bytes) == ("Hi", -0.5, [72, 105])
        assert [(top.token, top.logprob) for top in entry.top_logprobs] == [("Hi", -0.5), ("Ho", -9999.0)]
        assert server.engine.requests[-1].top_logprobs == 2


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_error_before_the_first_byte_has_its_own_status(tmp_path: Path, streamed: bool) -> None:
    async with serving(
        tmp_path, Options(script=lambda _: [Failed(code="context_too_long", message="Too long.", param="messages")])
    ) as server:
        with pytest.raises(openai.BadRequestError) as caught:
            await server.client.chat.completions.create(model="starter", messages=HELLO, stream=streamed)
        assert caught.value.code == "context_length_exceeded"
        assert caught.value.param == "messages"


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_full_queue_says_429_and_when_to_come_back(tmp_path: Path, streamed: bool) -> None:
    async with serving(tmp_path, Options(script=lambda _: [Failed(code="queue_full", message="Too many are waiting.")])) as server:
        with pytest.raises(openai.RateLimitError) as caught:
            await server.client.chat.completions.create(model="starter", messages=HELLO, stream=streamed)
        assert int(caught.value.response.headers["retry-after"]) > 0


async def test_an_error_after_the_first_byte_is_an_event_the_client_raises(tmp_path: Path) -> None:
    def breaks(_: GenerationRequest) -> list[Event]:
        return [*say("half an answer")[:-2], Failed(code="engine_crashed", message="The model's process died.")]

    async with serving(tmp_path, Options(script=breaks)) as server:
        text = ""
        with pytest.raises(openai.APIError, match="process died"):
            async for chunk in await server.client.chat.completions.create(model="starter", messages=HELLO, stream=True):
                text += chunk.choices[0].delta.content or ""
        assert text == "half an answer"


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_answer_without_an_end_is_an_error_not_a_success(tmp_path: Path, streamed: bool) -> None:
    async with serving(tmp_path, Options(script=lambda _: [])) as server:
        with pytest.raises(openai.InternalServerError) as caught:
            await server.client.chat.completions.create(model="starter", messages=HELLO, stream=streamed)
        assert caught.value.status_code == 503


async def test_an_unknown_model_is_404_and_names_the_known_ones(server: Serving) -> None:
    with pytest.raises(openai.NotFoundError, match="starter") as caught:
        await server.client.chat.completions.create(model="no/such", messages=HELLO)
    assert caught.value.code == "model_not_found"


async def test_the_models_are_listed_and_read_one_by_one(server: Serving) -> None:
    listed = (await server.client.models.list()).data
    assert [model.id for model in listed] == ["starter"]
    assert (listed[0].object, listed[0].owned_by, listed[0].loaded) == ("model", "mlx-harmony", False)
    await server.service.load("starter")
    model = await server.client.models.retrieve("starter")
    assert (model.loaded, model.context_length, model.format) == (True, 4096, "harmony")
    with pytest.raises(openai.NotFoundError):
        await server.client.models.retrieve("some/other")


async def test_a_cancelled_answer_ends_as_one_that_is_not_complete(tmp_path: Path) -> None:
    def cut(_: GenerationRequest) -> list[Event]:
        end = finished("stop")
        return [*say("half")[:-1], Finished(reason="cancelled", usage=end.usage, timings=end.timings)]

    async with serving(tmp_path, Options(script=cut)) as server:
        answer = await server.client.chat.completions.create(model="starter", messages=HELLO)
        assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("half", "length")


async def test_a_spoken_preamble_is_content_and_stands_apart_from_the_answer(tmp_path: Path) -> None:
    def speaks(_: GenerationRequest) -> list[Event]:
        return [
            MessageStarted(index=0, channel="commentary"),
            TextDelta(index=0, channel="commentary", text="Let me see."),
            MessageEnded(index=0),
            MessageStarted(index=1, channel="final"),
            TextDelta(index=1, channel="final", text="It "),
            TextDelta(index=1, channel="final", text="is."),
            MessageEnded(index=1),
            finished("stop"),
        ]

    async with serving(tmp_path, Options(script=speaks)) as server:
        answer = await server.client.chat.completions.create(model="starter", messages=HELLO)
        assert answer.choices[0].message.content == "Let me see.\n\nIt is."
        stream = await server.client.chat.completions.create(model="starter", messages=HELLO, stream=True)
        assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "Let me see.\n\nIt is."


async def test_two_calls_in_one_turn_have_two_places(tmp_path: Path) -> None:
    def twice(_: GenerationRequest) -> list[Event]:
        first = ToolCallDelta(index=0, call_id="a", name="one", arguments="{")
        rest = [ToolCallDelta(index=1, call_id="b", name="two", arguments="{}"), ToolCallDelta(index=0, call_id="a", arguments="}")]
        return [first, *rest, finished("tool_calls")]

    async with serving(tmp_path, Options(script=twice)) as server:
        answer = await server.client.chat.completions.create(model="starter", messages=HELLO)
        calls = answer.choices[0].message.tool_calls
        assert [(each.id, each.function.name, each.function.arguments) for each in calls] == [("a", "one", "{}"), ("b", "two", "{}")]


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_answer_that_was_mended_says_so(tmp_path: Path, streamed: bool) -> None:
    def mended(_: GenerationRequest) -> list[Event]:
        end = finished("stop")
        return [
            *say("x")[:-1],
            Finished(reason="stop", usage=end.usage, timings=end.timings, repaired="A header was malformed.", note="Cut."),
        ]

    async with serving(tmp_path, Options(script=mended)) as server:
        answer = await server.client.chat.completions.create(model="starter", messages=HELLO, stream=streamed)
        last = [chunk async for chunk in answer][-1] if streamed else answer
        assert (last.repaired, last.note) == ("A header was malformed.", "Cut.")
