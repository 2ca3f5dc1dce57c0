"""The table of ranges: complete, and every value outside of it refused by name."""

from typing import Any

import msgspec
import pytest

from mlx_harmony.errors import InvalidRequest
from mlx_harmony.field import check_field
from mlx_harmony.kv_ranges import KV_FIELDS
from mlx_harmony.ranges import MAX_TOKENS, SAMPLING_FIELDS, check_request, check_sampling
from mlx_harmony.records import ChatPrompt, GenerationRequest, KvOptions, Message, Prompt, Sampling, TextPrompt, TokenPrompt, Tool

NO_NUMBERS = {"logit_bias", "xtc_special_tokens"}
HELLO = ChatPrompt(messages=(Message(role="user", content="Hello"),))


def refused(**fields: Any) -> str:
    """The name of the field that the request is refused for."""
    with pytest.raises(InvalidRequest) as caught:
        check_request(GenerationRequest(**{"id": "r", "prompt": HELLO, **fields}))
    assert caught.value.message.endswith(".")
    return caught.value.param or ""


def test_every_number_of_sampling_is_in_the_table_with_its_default() -> None:
    defaults = {field.name: field.default for field in msgspec.structs.fields(Sampling)}
    assert {field.name for field in SAMPLING_FIELDS} == defaults.keys() - NO_NUMBERS
    for field in SAMPLING_FIELDS:
        assert field.default == defaults[field.name] and field.low <= field.reach <= field.high
        assert field.help.endswith(".") and field.step > 0
    check_sampling(Sampling())


@pytest.mark.parametrize("field", [*SAMPLING_FIELDS, MAX_TOKENS], ids=lambda field: field.name)
def test_each_number_is_taken_up_to_its_ends_and_refused_beyond(field: Any) -> None:
    whole = int if field.integer else float
    for good in (field.low, field.high, field.default):
        check_field(field, whole(good) if good is not None else None if field.default is None else field.low)
    for bad in (
        whole(field.low - 1),
        whole(field.high + 1) if field.integer else field.high * 2 + 1,
        float("nan"),
        float("inf"),
        "1",
        True,
    ):
        with pytest.raises(InvalidRequest) as caught:
            check_field(field, bad)
        assert caught.value.param == field.name and field.span in caught.value.message and field.label in caught.value.hint
    if field.default is not None:
        with pytest.raises(InvalidRequest):
            check_field(field, None)
    if field.integer:
        with pytest.raises(InvalidRequest, match="whole"):
            check_field(field, 1.5)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"sampling": Sampling(logit_bias={-1: 1.0})}, "logit_bias"),
        ({"sampling": Sampling(logit_bias={2**31: 1.0})}, "logit_bias"),
        ({"sampling": Sampling(logit_bias={1: float("nan")})}, "logit_bias"),
        ({"sampling": Sampling(logit_bias={1: 100.5})}, "logit_bias"),
        ({"sampling": Sampling(xtc_special_tokens=(-2,))}, "xtc_special_tokens"),
        ({"stop": ("",)}, "stop"),
        ({"stop": tuple("x" * 17)}, "stop"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"top_logprobs": -1}, "top_logprobs"),
        ({"max_tokens": 0}, "max_tokens"),
    ],
)
def test_lists_and_limits_are_checked(fields: dict[str, Any], param: str) -> None:
    assert refused(**fields) == param


@pytest.mark.parametrize(
    ("prompt", "param"),
    [
        (ChatPrompt(messages=()), "messages"),
        (ChatPrompt(messages=(Message(role="user", content=" \n"),)), "messages"),
        (ChatPrompt(messages=(Message(role="user", content="\ud83d"),)), "prompt"),
        (ChatPrompt(messages=HELLO.messages, tools=(Tool(kind="function", name="f", parameters={"a": 2**70}),)), "prompt"),
        (TextPrompt(text=""), "prompt"),
        (TokenPrompt(tokens=()), "prompt"),
        (TokenPrompt(tokens=(1, -1)), "prompt"),
        (TokenPrompt(tokens=(True,)), "prompt"),
    ],
)
def test_a_prompt_that_nothing_could_answer_is_refused(prompt: Prompt, param: str) -> None:
    assert refused(prompt=prompt) == param


def test_what_is_usable_passes() -> None:
    sampling = Sampling(temperature=0, top_k=5, logit_bias={0: -100, 7: 100}, seed=2**62, repetition_penalty=1.1)
    check_request(GenerationRequest(id="r", prompt=HELLO, sampling=sampling, max_tokens=1, stop=("END",), top_logprobs=20))
    check_request(GenerationRequest(id="r", prompt=TextPrompt(text=" ")))
    check_request(GenerationRequest(id="r", prompt=TokenPrompt(tokens=(0, 5))))


@pytest.mark.parametrize(
    ("kv", "param"),
    [
        ({"kv_bits": 3}, "kv_bits"),
        ({"kv_bits": True}, "kv_bits"),
        ({"kv_bits": 8, "kv_group_size": 96}, "kv_group_size"),
        ({"kv_bits": 8, "quantized_kv_start": -1}, "quantized_kv_start"),
        ({"kv_group_size": 64}, "kv_group_size"),
        ({"kv_bits": 0, "quantized_kv_start": 5}, "quantized_kv_start"),
        ({"max_kv_size": -1}, "max_kv_size"),
        ({"kv_keep": 4}, "kv_keep"),
        ({"max_kv_size": 0, "kv_keep": 4}, "kv_keep"),
        ({"max_kv_size": 4, "kv_keep": 4}, "kv_keep"),
        ({"kv_bits": 8, "max_kv_size": 100}, "kv_bits"),
    ],
)
def test_what_of_kv_is_out_of_range_or_does_not_go_together_is_refused(kv: dict[str, Any], param: str) -> None:
    assert refused(kv=KvOptions(**kv)) == param


@pytest.mark.parametrize(
    "kv",
    [
        {},
        {"kv_bits": 0},
        {"kv_bits": 4, "kv_group_size": 32, "quantized_kv_start": 0},
        {"max_kv_size": 1},
        {"max_kv_size": 9, "kv_keep": 0},
    ],
)
def test_what_of_kv_goes_together_is_taken(kv: dict[str, Any]) -> None:
    check_request(GenerationRequest(id="r", prompt=HELLO, kv=KvOptions(**kv)))


def test_every_number_of_kv_is_in_the_table() -> None:
    assert [field.name for field in KV_FIELDS] == [field.name for field in msgspec.structs.fields(KvOptions)]
    for field in KV_FIELDS:
        assert field.default is None and field.help.endswith(".") and field.low <= field.reach <= field.high
        for good in field.choices or (int(field.low), int(field.high)):
            check_field(field, good)
    assert KV_FIELDS[1].span == "32, 64 or 128"
