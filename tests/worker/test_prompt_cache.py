"""Snapshots of KV caches: reused only where they are right, never changed by use, within their budget."""

from collections.abc import Sequence

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models.cache import make_prompt_cache

from mlx_harmony.worker.load import LoadedModel
from mlx_harmony.worker.prompt_cache import Layers, PromptCache, Snapshot, divisible

WINDOW = 16


def tokens(length: int, seed: int = 0) -> list[int]:
    return [int(token) for token in np.random.default_rng(seed).integers(10, 380, length)]


def read(loaded: LoadedModel, prompt: Sequence[int], layers: Layers | None = None) -> tuple[Layers, mx.array]:
    """Read a prompt into caches; the last logits say whether the caches were right."""
    layers = layers if layers is not None else make_prompt_cache(loaded.model)
    logits = loaded.model(mx.array([list(prompt)]), cache=layers)
    mx.eval(logits)
    return layers, logits[0, -1]


def close(first: mx.array, second: mx.array) -> bool:
    return bool(mx.allclose(first, second, rtol=1e-3, atol=1e-4).item())


@pytest.fixture(params=["llama", "gpt_oss"])
def loaded(request: pytest.FixtureRequest) -> LoadedModel:
    model: LoadedModel = request.getfixturevalue(request.param)
    return model


@pytest.mark.parametrize("length", [9, WINDOW - 1, WINDOW, WINDOW + 1, 3 * WINDOW + 5])
def test_a_reused_prefix_gives_the_logits_of_a_fresh_reading(loaded: LoadedModel, length: int) -> None:
    prompt, cache = tokens(length + 20), PromptCache()
    layers, _ = read(loaded, prompt[:length])
    assert cache.put(prompt[:length], layers)
    reused, restored = cache.take(prompt)
    assert reused == length
    _, with_cache = read(loaded, prompt[length:], restored)
    _, without = read(loaded, prompt)
    assert close(with_cache, without)


def test_using_a_snapshot_and_its_source_does_not_change_it(loaded: LoadedModel) -> None:
    prompt, cache = tokens(3 * WINDOW), PromptCache()
    layers, _ = read(loaded, prompt[:-8])
    cache.put(prompt[:-8], layers)
    for token in tokens(2 * WINDOW, seed=5):
        read(loaded, [token], layers)
    for other in range(3):
        _, restored = cache.take([*prompt[:-8], *tokens(WINDOW, seed=other)])
        assert restored is not None
        for token in tokens(2 * WINDOW, seed=other):
            read(loaded, [token], restored)
    _, restored = cache.take(prompt)
    assert close(read(loaded, prompt[-8:], restored)[1], read(loaded, prompt)[1])


def test_a_sliding_window_is_only_reused_whole(gpt_oss: LoadedModel) -> None:
    prompt, cache = tokens(60), PromptCache()
    layers, _ = read(gpt_oss, prompt[:50])
    assert not divisible(layers)
    cache.put(prompt[:50], layers)
    assert cache.take([*prompt[:40], *tokens(20, seed=9)]) == (0, None)
    assert cache.take(prompt[:50]) == (0, None)
    assert cache.take(prompt[:51])[0] == 50


def test_plain_caches_are_reused_as_far_as_the_prompts_agree(llama: LoadedModel) -> None:
    prompt, cache = tokens(60), PromptCache()
    layers, _ = read(llama, prompt)
    cache.put(prompt, layers)
    changed = [*prompt[:40], *tokens(20, seed=9)]
    reused, restored = cache.take(changed)
    assert reused == 40
    assert close(read(llama, changed[40:], restored)[1], read(llama, changed)[1])
    assert cache.take(prompt)[0] == 59


def test_a_snapshot_that_does_not_hold_its_tokens_is_refused(loaded: LoadedModel) -> None:
    prompt, cache = tokens(30), PromptCache()
    layers, _ = read(loaded, prompt)
    assert not cache.put(prompt[:-1], layers)
    assert not cache.put([*prompt, 5], layers)
    assert not cache.put(prompt, make_prompt_cache(loaded.model))
    assert len(cache) == 0


def test_the_least_recently_used_snapshots_leave_when_the_budget_is_full(gpt_oss: LoadedModel) -> None:
    prompts = [tokens(40, seed=seed) for seed in range(4)]
    size = Snapshot(np.array(prompts[0], np.int32), read(gpt_oss, prompts[0])[0]).bytes
    cache = PromptCache(budget_bytes=3 * size)
    for prompt in prompts[:3]:
        cache.put(prompt, read(gpt_oss, prompt)[0])
    cache.take([*prompts[0], 11])
    cache.put(prompts[3], read(gpt_oss, prompts[3])[0])
    assert [cache.take([*prompt, 11])[0] for prompt in prompts] == [40, 0, 40, 40]
    assert cache.bytes <= cache.budget_bytes


def test_one_prompt_over_the_budget_pushes_nothing_out(gpt_oss: LoadedModel) -> None:
    small, large = tokens(20), tokens(600, seed=1)
    cache = PromptCache(budget_bytes=40_000)
    assert cache.put(small, read(gpt_oss, small)[0])
    assert not cache.put(large, read(gpt_oss, large)[0])
    assert cache.take([*small, 11])[0] == 20


def test_a_longer_plain_snapshot_takes_the_place_of_what_it_begins_with(llama: LoadedModel) -> None:
    prompt, cache = tokens(60), PromptCache()
    for length in (20, 40, 60):
        cache.put(prompt[:length], read(llama, prompt[:length])[0])
    assert len(cache) == 1
    cache.put(prompt, read(llama, prompt)[0])
    assert len(cache) == 1
    cache.clear()
    assert cache.bytes == 0
