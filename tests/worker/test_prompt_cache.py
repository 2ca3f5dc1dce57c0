"""What was read is reused only where it is right, the budget holds, and every look-up says what was reused and why not more."""

import pytest
from mlx_lm.models.cache import make_prompt_cache

from mlx_harmony.cache_records import Reuse
from mlx_harmony.worker.load import LoadedModel
from mlx_harmony.worker.prompt_cache import PromptCache, divisible
from tests.worker.cache.reading import close, read, tokens


@pytest.fixture(params=["llama", "gpt_oss"])
def loaded(request: pytest.FixtureRequest) -> LoadedModel:
    model: LoadedModel = request.getfixturevalue(request.param)
    return model


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


def test_the_least_recently_used_leave_when_the_budget_is_full(loaded: LoadedModel) -> None:
    prompts = [tokens(40, seed=seed) for seed in range(4)]
    one = PromptCache()
    one.put(prompts[0], read(loaded, prompts[0])[0])
    cache = PromptCache(budget_bytes=3 * one.bytes)
    for prompt in prompts[:3]:
        cache.put(prompt, read(loaded, prompt)[0])
    cache.take([*prompts[0], 11])
    cache.put(prompts[3], read(loaded, prompts[3])[0])
    assert [cache.take([*prompt, 11])[0] for prompt in prompts] == [40, 0, 40, 40]
    assert cache.bytes <= cache.budget_bytes


def test_what_was_evicted_is_read_anew_and_kept_again(loaded: LoadedModel) -> None:
    prompts = [tokens(40, seed=seed) for seed in range(3)]
    one = PromptCache()
    one.put(prompts[0], read(loaded, prompts[0])[0])
    cache = PromptCache(budget_bytes=2 * one.bytes)
    for prompt in (*prompts, prompts[0]):
        cache.put(prompt, read(loaded, prompt)[0])
    longer = [*prompts[0], *tokens(20, seed=8)]
    reused, restored = cache.take(longer)
    assert reused == 40
    assert close(read(loaded, longer[40:], restored)[1], read(loaded, longer)[1])


def test_one_prompt_over_the_budget_pushes_nothing_out(gpt_oss: LoadedModel) -> None:
    small, large = tokens(20), tokens(600, seed=1)
    cache = PromptCache(budget_bytes=40_000)
    assert cache.put(small, read(gpt_oss, small)[0])
    assert not cache.put(large, read(gpt_oss, large)[0])
    assert cache.take([*small, 11])[0] == 20


def test_what_goes_on_is_kept_beside_what_it_goes_on_from_and_costs_its_own_tokens_only(llama: LoadedModel) -> None:
    prompt, whole, cache = tokens(60), PromptCache(), PromptCache()
    for length in (20, 40, 60, 60):
        cache.put(prompt[:length], read(llama, prompt[:length])[0])
    whole.put(prompt, read(llama, prompt)[0])
    assert (len(cache), cache.bytes) == (3, whole.bytes)
    cache.clear()
    assert (len(cache), cache.bytes) == (0, 0)
    assert cache.lookup(prompt).reuse.reason == "nothing"


def kept(loaded: LoadedModel, *prompts: list[int], answer_from: int | None = None) -> PromptCache:
    cache = PromptCache()
    for prompt in prompts:
        cache.put(prompt, read(loaded, prompt)[0], answer_from)
    return cache


def test_the_first_difference_is_told_with_the_tokens_of_both_sides(loaded: LoadedModel) -> None:
    prompt = tokens(60)
    changed = [*prompt[:40], 391, 392, *prompt[42:]]
    reuse = kept(loaded, prompt).lookup(changed).reuse
    # A sliding window cannot go back to token 40, so there the snapshot's place is what is wrong, and the difference is told all the same.
    assert (reuse.reason, reuse.reused) == (("differs", 40) if loaded.card.architecture == "llama" else ("boundary", 0))
    assert (reuse.position, reuse.matched, reuse.prompt) == (40, 40, 60)
    assert reuse.kept == tuple(prompt[40:56])
    assert reuse.asked == tuple(changed[40:56])


@pytest.mark.parametrize(
    ("asked", "reason", "reused"),
    [
        ([*tokens(60), 9, 10], "new", 60),
        ([*tokens(60), 9], "whole", 60),
        ([*tokens(50), 381, 382], "answer", 50),
        ([381, *tokens(40)], "differs", 0),
    ],
)
def test_each_look_up_has_its_reason(llama: LoadedModel, asked: list[int], reason: str, reused: int) -> None:
    cache = kept(llama, tokens(60), answer_from=45)
    reuse = cache.lookup(asked).reuse
    assert (reuse.reason, reuse.reused, reuse.memory) == (reason, reused, reused)


def test_a_prompt_that_is_known_whole_is_read_from_its_last_token(llama: LoadedModel) -> None:
    taken = kept(llama, tokens(60)).lookup(tokens(60)).reuse
    assert taken == Reuse(prompt=60, memory=59, matched=60, reason="whole")


def test_without_a_budget_nothing_is_kept_and_that_is_said(llama: LoadedModel) -> None:
    cache = PromptCache(0)
    assert not cache.put(tokens(60), read(llama, tokens(60))[0])
    assert cache.lookup(tokens(60)).reuse == Reuse(prompt=60, reason="off")


def test_the_state_tells_what_is_kept_and_what_came_of_it(gpt_oss: LoadedModel) -> None:
    prompt, cache = tokens(60), PromptCache(spell=lambda ids: " ".join(map(str, ids)))
    for length in (20, 50):
        cache.put(prompt[:length], read(gpt_oss, prompt[:length])[0])
    cache.take(prompt)
    cache.take([*prompt[:30], 391, *prompt[31:]])
    state = cache.look()
    assert (state.requests, state.hits, state.tokens_asked, state.tokens_reused) == (2, 2, 120, 70)
    assert state.misses == {"differs": 1}
    assert {(entry.start, entry.end, entry.snapshots, entry.where) for entry in state.entries} == {
        (0, 20, (20,), "memory"),
        (20, 50, (50,), "memory"),
    }
    assert sum(entry.memory_bytes for entry in state.entries) == state.memory_bytes == cache.bytes
    newest = state.recent[0]
    assert (newest.reuse.position, newest.asked_text.split()[0], newest.kept_text.split()[0]) == (30, "391", str(prompt[30]))
    assert max(state.entries, key=lambda entry: entry.hits).end == 20


def test_an_entry_is_dropped_with_what_goes_on_from_it(llama: LoadedModel) -> None:
    prompt = tokens(60)
    cache = kept(llama, prompt[:20], prompt[:40], tokens(30, seed=3))
    entry = next(entry for entry in cache.look().entries if entry.end == 20)
    state = cache.act("drop", entry.id)
    assert [entry.end for entry in state.entries] == [30]
    assert state.memory_bytes == cache.bytes
    assert cache.act("drop", "nobody") == cache.look()
    assert cache.act("clear_memory").memory_bytes == 0
    assert cache.lookup([*tokens(30, seed=3), 9, 9]).reuse.matched == 30


def test_what_is_pinned_stays_with_all_it_goes_on_from(llama: LoadedModel) -> None:
    prompt = tokens(60)
    cache = kept(llama, prompt[:20], prompt[:40])
    entry = next(entry for entry in cache.look().entries if entry.end == 40)
    cache.act("pin", entry.id)
    cache._memory.budget_bytes = cache.bytes * 2
    for seed in range(5):
        other = tokens(60, seed=20 + seed)
        cache.put(other, read(llama, other)[0])
    assert cache.take(prompt)[0] == 40
    cache.act("unpin", entry.id)
    cache._memory.budget_bytes = 6000
    cache.put(tokens(10, seed=2), read(llama, tokens(10, seed=2))[0])
    assert {entry.end for entry in cache.look().entries if entry.where == "memory"} <= {20, 10}
