"""Mutated requests, thousands in a second: reading one ends in a request or in a refusal below 500, never in anything else."""

import json
import random
from typing import Any

import msgspec
import pytest

from mlx_harmony.api.body import parse
from mlx_harmony.api.chat_request import generation_request, read_body
from mlx_harmony.api.errors import error_response
from mlx_harmony.errors import HarmonyError

CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}
FULL: dict[str, Any] = {
    "model": "starter",
    "messages": [
        {"role": "system", "content": "x"},
        {"role": "user", "content": [{"type": "text", "text": "a"}]},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "user", "content": "hi"},
    ],
    "tools": [{"type": "function", "function": FUNCTION}, {"type": "python"}],
    "tool_choice": "auto",
    "temperature": 1,
    "top_p": 0.5,
    "top_k": 5,
    "logit_bias": {"1": 2},
    "stop": ["a"],
    "stream_options": {"include_usage": True},
    "logprobs": True,
    "top_logprobs": 2,
    "seed": 1,
    "response_format": {"type": "text"},
    "reasoning_effort": "low",
    "max_tokens": 5,
}
NUMBERS: list[Any] = [0, -1, 1, 2**31, 2**63, 2**64, 10**400, 0.5, -0.0, 1e308, 5e-324]
ATOMS: list[Any] = [None, True, *NUMBERS, "", "x", "\x00", "é", "😀", "<|end|>", "1", "user", [], {}, [[]], [None], {"": None}, "x" * 1000]


def mutated(value: Any, dice: random.Random) -> Any:
    if dice.random() < 0.015:
        return dice.choice(ATOMS)
    if isinstance(value, dict):
        return {name: mutated(child, dice) for name, child in value.items() if dice.random() > 0.005}
    if isinstance(value, list):
        return [mutated(child, dice) for child in value]
    return value


def garbled(raw: bytes, dice: random.Random) -> bytes:
    broken = bytearray(raw)
    for _ in range(dice.randint(1, 4)):
        broken[dice.randrange(len(broken))] = dice.randrange(256)
    return bytes(broken)


@pytest.mark.parametrize("seed", range(4))
def test_a_mutated_body_is_a_request_or_a_clear_refusal(seed: int) -> None:
    dice = random.Random(seed)
    passed = 0
    for round_ in range(1000):
        raw = json.dumps(mutated(FULL, dice)).encode()
        try:
            request = generation_request(read_body(parse(garbled(raw, dice) if round_ % 4 == 0 else raw)))
        except HarmonyError as error:
            assert 400 <= error_response(error).status_code < 500, raw
        else:
            msgspec.msgpack.encode(request)
            passed += 1
    assert passed > 100
