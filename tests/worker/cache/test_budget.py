"""A hundred long prompts, none like another: memory stays what the model and the cache may take, and what was evicted is counted."""

import gc
from pathlib import Path

import mlx.core as mx
import pytest

from mlx_harmony.shelf.shelf import pieces
from mlx_harmony.worker.load import LoadedModel
from mlx_harmony.worker.prompt_cache import PromptCache
from tests.worker.cache.reading import cache_on, read, shelf_at, tokens

PROMPTS = 100
LENGTH = 300
CAP = 1_000_000
DISK_CAP = 1_500_000
SLACK = 2_000_000
"""One prompt on its way, and what mlx holds beside arrays."""


@pytest.mark.parametrize(("name", "on_disk"), [("llama", True), ("gpt_oss", False)])
def test_a_hundred_long_prompts_take_no_more_than_the_caps(
    families: dict[str, LoadedModel], tmp_path: Path, name: str, on_disk: bool
) -> None:
    loaded = families[name]
    gc.collect()
    mx.clear_cache()
    before = mx.get_active_memory()
    cache = cache_on(shelf_at(tmp_path, DISK_CAP), loaded, CAP) if on_disk else PromptCache(CAP)
    for seed in range(PROMPTS):
        prompt = tokens(LENGTH, seed=seed)
        cache.put(prompt, read(loaded, prompt)[0])
        assert cache.bytes <= CAP
        if seed % 10 == 9:
            gc.collect()
            mx.clear_cache()
            cache.flush()
            assert mx.get_active_memory() - before <= CAP + SLACK
    state = cache.look()
    assert state.evictions > 0
    assert state.memory_bytes == sum(entry.memory_bytes for entry in state.entries) <= state.memory_budget
    assert state.disk_bytes <= DISK_CAP * on_disk
    assert sum(file.bytes for file in pieces(shelf_at(tmp_path).folder)) == state.disk_bytes
    newest, oldest = tokens(LENGTH, seed=PROMPTS - 1), tokens(LENGTH, seed=0)
    assert cache.lookup([*newest, 9]).length == LENGTH
    assert cache.lookup([*oldest, 9]).reuse.reason == "evicted"
