"""Chunks of plain text are encoded around their text once; what they say is what the whole chunk would say, whatever the text."""

from typing import Any

import msgspec
import pytest

from mlx_harmony.api.openai_chat import ChunkedAnswer, Reply
from mlx_harmony.events import Routed, TextDelta
from mlx_harmony.records import Channel

TEXTS = [
    "plain",
    "",
    ' "quoted" \\ and / ',
    "line\nbreak\r\ttab",
    "\x00\x1f\x7f",
    "grüß dich 👋",
    "\u2028\u2029",
    '"delta":{"content":""}',
    "data: [DONE]",
]


def told(answer: ChunkedAnswer, text: str, channel: Channel = "final") -> list[Any]:
    """The chunks as a client reads them."""
    return [msgspec.json.decode(msgspec.json.encode(chunk)) for chunk in answer.chunks(TextDelta(index=0, channel=channel, text=text))]


def expected(delta: dict[str, Any], model: str = "m", **beside: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
    head = {"id": "1", "object": "chat.completion.chunk", "created": 7, "model": model, "system_fingerprint": None}
    return {**head, "choices": [choice], **beside}


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_comes_through_a_chunk_as_it_is(text: str) -> None:
    answer = ChunkedAnswer(Reply(id="1", created=7, model="m"))
    assert told(answer, "first")[-1] == expected({"content": "first"})
    assert told(answer, text) == [expected({"content": text})]
    assert told(answer, text, "analysis") == [expected({"reasoning": text})]


@pytest.mark.parametrize("name", ['"delta":{"content":""}', 'a "b" \\', "modèle"])
def test_a_model_s_name_may_look_like_a_chunk(name: str) -> None:
    answer = ChunkedAnswer(Reply(id="1", created=7, model=name, include_usage=True))
    assert told(answer, "x")[-1] == expected({"content": "x"}, name, usage=None)


def test_every_chunk_of_text_has_the_bytes_of_a_chunk_that_is_encoded_whole() -> None:
    answer = ChunkedAnswer(Reply(id="1", created=7, model="m"))
    (_, first), (second,) = (answer.chunks(TextDelta(index=0, channel="final", text=text)) for text in ("a", 'b"'))
    assert msgspec.json.encode(first) == msgspec.json.encode(expected({"content": "a"}))
    assert msgspec.json.encode(second) == msgspec.json.encode(expected({"content": 'b"'}))


def test_who_answers_in_the_end_is_named_from_then_on() -> None:
    answer = ChunkedAnswer(Reply(id="1", created=7, model="alias"))
    told(answer, "before")
    answer.chunks(Routed(alias="alias", model="other", note=""))
    assert told(answer, "after") == [expected({"content": "after"}, "other")]
