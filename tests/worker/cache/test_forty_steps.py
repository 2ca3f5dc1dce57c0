"""Forty steps of a life: every answer is that of a model without a cache, and no step reads more than what is new in it."""

import time
from pathlib import Path

import pytest

from mlx_harmony.api.chat_request import generation_request, read_body
from mlx_harmony.events import Finished, TextDelta
from mlx_harmony.records import GenerationRequest
from mlx_harmony.worker.generation import Desk, Generation
from mlx_harmony.worker.load import LoadedModel
from mlx_harmony.worker.pace import Pace
from mlx_harmony.worker.prompt_cache import PromptCache
from tests.fixtures.life import LIFE, SLACK, Step, new
from tests.worker.cache.reading import cache_on, shelf_at

MEMORY = 1_000_000
"""Less than the ten other chats take: what is needed again comes back from the disk."""


def asked(step: Step, tools: bool) -> GenerationRequest:
    body = step.body(max_tokens=8)
    if not tools:
        body.pop("tools", None)
        body["messages"] = [message for message in body["messages"] if message["role"] != "tool" and "tool_calls" not in message]
    return generation_request(read_body(body))


def answered(loaded: LoadedModel, cache: PromptCache, request: GenerationRequest) -> tuple[str, Finished]:
    events = list(Generation(Desk(loaded, cache, Pace()), request, lambda: False, time.perf_counter()).run())
    assert isinstance(events[-1], Finished)
    return "".join(event.text for event in events if isinstance(event, TextDelta)), events[-1]


@pytest.mark.parametrize("name", ["gpt_oss", "llama", "lfm2"])
def test_no_step_of_a_life_reads_more_than_is_new_or_answers_otherwise(families: dict[str, LoadedModel], tmp_path: Path, name: str) -> None:
    loaded, cold = families[name], PromptCache(0)
    cache = cache_on(shelf_at(tmp_path), loaded, MEMORY)
    prompts: list[list[int]] = []
    evictions = read = 0
    for step in LIFE:
        if step.restart:
            evictions = cache.look().evictions
            cache.flush()
            cache = cache_on(shelf_at(tmp_path), loaded, MEMORY)
        request = asked(step, tools=name == "gpt_oss")
        text, end = answered(loaded, cache, request)
        assert text == answered(loaded, cold, request)[0], step.name
        tokens = loaded.format.render(request.prompt).tokens
        assert end.timings.prompt_n <= new(tokens, prompts) + SLACK, step.name
        prompts.append(tokens)
        read += end.timings.prompt_n
    assert evictions > 0
    assert cache.look().tokens_from_disk > 0
    assert read < sum(map(len, prompts)) / 4
