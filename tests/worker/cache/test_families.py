"""Every family of caches: what is reused gives the logits of a fresh reading, from memory and from disk, and stays as it was."""

from pathlib import Path

import mlx.core as mx
import pytest
from mlx_lm.models.cache import KVCache, QuantizedKVCache

from mlx_harmony.worker.cache.layers import divisible
from mlx_harmony.worker.load import LoadedModel
from mlx_harmony.worker.prompt_cache import PromptCache
from tests.worker.cache.reading import cache_on, close, read, shelf_at, tokens


@pytest.mark.parametrize("length", [9, 16, 17, 53, 300])
def test_a_reused_prefix_gives_the_logits_of_a_fresh_reading(family: LoadedModel, length: int) -> None:
    prompt, cache = tokens(length + 20), PromptCache()
    layers, _ = read(family, prompt[:length])
    assert cache.put(prompt[:length], layers)
    reused, restored = cache.take(prompt)
    assert reused == length
    assert close(read(family, prompt[length:], restored)[1], read(family, prompt)[1])


def test_what_is_kept_survives_a_restart_and_gives_the_same_logits(family: LoadedModel, tmp_path: Path) -> None:
    prompt = tokens(90)
    before = cache_on(shelf_at(tmp_path), family)
    layers, _ = read(family, prompt[:30])
    before.put(prompt[:30], layers)
    layers, _ = read(family, prompt[30:70], layers)
    before.put(prompt[:70], layers)
    before.flush()
    after = cache_on(shelf_at(tmp_path), family)
    taken = after.lookup(prompt)
    assert (taken.length, taken.reuse.disk, taken.reuse.memory) == (70, 70, 0)
    assert close(read(family, prompt[70:], taken.layers)[1], read(family, prompt)[1])
    again = after.lookup([*prompt[:30], *tokens(20, seed=4)])
    assert again.length == 30
    assert again.reuse.memory == (30 if divisible(layers) else 0)
    assert close(read(family, tokens(20, seed=4), again.layers)[1], read(family, [*prompt[:30], *tokens(20, seed=4)])[1])


def test_using_what_is_kept_and_its_source_does_not_change_it(family: LoadedModel) -> None:
    prompt, cache = tokens(48), PromptCache()
    layers, _ = read(family, prompt[:-8])
    cache.put(prompt[:-8], layers)
    for token in tokens(32, seed=5):
        read(family, [token], layers)
    for other in range(3):
        _, restored = cache.take([*prompt[:-8], *tokens(16, seed=other)])
        for token in tokens(32, seed=other):
            read(family, [token], restored)
    _, restored = cache.take(prompt)
    assert close(read(family, prompt[-8:], restored)[1], read(family, prompt)[1])


def test_prompts_that_part_share_what_they_begin_with(family: LoadedModel) -> None:
    common, cache = tokens(400), PromptCache()
    layers, _ = read(family, common)
    cache.put(common, layers)
    alone = cache.bytes
    for other in range(5):
        branch = tokens(16, seed=50 + other)
        _, restored = cache.take([*common, *branch])
        assert restored is not None
        read(family, branch, restored)
        assert cache.put([*common, *branch], restored)
    states = sum(len(entry.snapshots) for entry in cache.look().entries)
    assert states == (0 if divisible(layers) else 6)
    if divisible(layers):
        assert cache.bytes < alone * 1.3
    for other in range(5):
        prompt = [*common, *tokens(16, seed=50 + other), 9, 10]
        length, restored = cache.take(prompt)
        assert length == 416
        assert close(read(family, prompt[416:], restored)[1], read(family, prompt)[1])


@pytest.mark.parametrize("bits", [4, 8])
def test_quantised_keys_and_values_are_kept_as_they_are(families: dict[str, LoadedModel], tmp_path: Path, bits: int) -> None:
    loaded, prompt = families["qwen3"], tokens(120)

    def fresh() -> list[QuantizedKVCache]:
        return [QuantizedKVCache(group_size=32, bits=bits) for _ in range(2)]

    whole, _ = read(loaded, prompt[:80], fresh())
    _, expected = read(loaded, prompt[80:], whole)
    cache = PromptCache()
    cache.open_disk(shelf_at(tmp_path), fresh())
    cache.put(prompt[:80], read(loaded, prompt[:80], fresh())[0])
    cache.flush()
    again = PromptCache()
    again.open_disk(shelf_at(tmp_path), fresh())
    for kept in (cache, again):
        length, restored = kept.take([*prompt[:80], 5, *prompt[80:]])
        assert length == 80
        assert restored is not None
        assert {type(layer) for layer in restored} == {QuantizedKVCache}
        assert close(read(loaded, prompt[80:], restored)[1], expected)
    assert not cache.put(prompt, [KVCache(), KVCache()])
    assert not cache.put(prompt[:80], read(loaded, prompt[:80])[0])


def test_half_precision_survives_the_disk_bit_by_bit(families: dict[str, LoadedModel], tmp_path: Path) -> None:
    prompt, layers = tokens(40), [KVCache()]
    keys, values = (mx.random.normal((1, 2, 40, 16), key=mx.random.key(seed)).astype(mx.bfloat16) for seed in (1, 2))
    layers[0].update_and_fetch(keys, values)
    cache = PromptCache()
    cache.open_disk(shelf_at(tmp_path), [KVCache()])
    assert cache.put(prompt, layers)
    cache.flush()
    again = PromptCache()
    again.open_disk(shelf_at(tmp_path), [KVCache()])
    _, restored = again.take([*prompt, 7])
    assert restored is not None
    kept_keys, kept_values = restored[0].keys_and_values()
    assert kept_keys.dtype == mx.bfloat16
    assert mx.array_equal(kept_keys, keys).item() and mx.array_equal(kept_values, values).item()
