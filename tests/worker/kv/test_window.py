"""A window over KV: memory that stays the same, the first tokens kept, and any way of reading the same text gives the same."""

from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.models.cache import RotatingKVCache

from mlx_harmony.errors import InvalidRequest
from mlx_harmony.records import KvOptions, Timings
from mlx_harmony.worker.cache.layers import leaves
from mlx_harmony.worker.kv import KEEP, KvForm, held_by, size_of
from mlx_harmony.worker.kv_trial import check_form
from mlx_harmony.worker.load import LoadedModel
from mlx_harmony.worker.speculation.gain import MOST
from tests.fixtures.wide import build_wide
from tests.worker.cache.reading import close, read, tokens
from tests.worker.kv.asking import fresh

SIZE = 24


def held_after(loaded: LoadedModel, **asked: Any) -> Timings:
    """What an answer with the window has left, drawn token by token where nothing else is asked."""
    return fresh(loaded, kv=KvOptions(max_kv_size=SIZE), **{"speculation": "off", **asked})[1].timings


def test_memory_stays_the_same_for_four_times_the_window(wide: LoadedModel) -> None:
    ends = [held_after(wide, length=10, max_tokens=length) for length in (SIZE, 2 * SIZE, 4 * SIZE)]
    assert [end.kv_length for end in ends] == [SIZE] * 3
    assert len({end.kv_bytes for end in ends}) == 1
    assert fresh(wide, length=10, max_tokens=4 * SIZE)[1].timings.kv_length == 10 + 4 * SIZE - 1


def test_a_prompt_longer_than_the_window_leaves_no_more_of_it(wide: LoadedModel) -> None:
    end = held_after(wide, length=10 * SIZE, max_tokens=4)
    assert end.kv_length == SIZE
    assert end.kv_bytes == held_after(wide, length=3, max_tokens=2 * SIZE).kv_bytes


def test_a_pass_over_guesses_leaves_no_more_than_itself_beyond_the_window(wide: LoadedModel) -> None:
    alone = held_after(wide, length=10, max_tokens=4 * SIZE)
    ahead = held_after(wide, length=10, max_tokens=4 * SIZE, speculation="lookup")
    assert ahead.kv_length == SIZE
    assert alone.kv_bytes <= ahead.kv_bytes <= alone.kv_bytes * (SIZE + MOST) / SIZE


@pytest.mark.parametrize("options", [KvOptions(max_kv_size=SIZE), KvOptions(max_kv_size=SIZE, kv_keep=0), KvOptions(max_kv_size=5)])
def test_chunks_do_not_matter(wide: LoadedModel, options: KvOptions) -> None:
    prompt, form = tokens(100), KvForm.of(options)
    stepped = form.fresh(wide.model)
    for token in prompt:
        stepped, expected = read(wide, [token], stepped)
    for cuts in ((100,), (1, 30, 31, 100), (SIZE, 2 * SIZE, 100), (90, 99, 100)):
        layers, start = form.fresh(wide.model), 0
        for until in cuts:
            layers, logits = read(wide, prompt[start:until], layers)
            start = until
        assert close(expected, logits), cuts


@pytest.mark.parametrize("name", ["llama", "qwen3"])
@pytest.mark.parametrize("keep", [0, KEEP])
def test_logits_are_those_of_mlx_lms_own_rotating_cache(wide_models: dict[str, LoadedModel], name: str, keep: int) -> None:
    loaded = wide_models[name]
    theirs = [RotatingKVCache(SIZE, keep) for _ in loaded.model.layers]
    ours = KvForm.of(KvOptions(max_kv_size=SIZE, kv_keep=keep)).fresh(loaded.model)
    for token in tokens(4 * SIZE):
        # One by one: in longer chunks mlx-lm's hides the tokens that it keeps.
        assert close(read(loaded, [token], theirs)[1], read(loaded, [token], ours)[1])


def test_the_first_tokens_are_kept_and_those_after_them_forgotten(llama: LoadedModel) -> None:
    single = llama._replace(model=build_wide("llama", llama.card.vocabulary_size, layers=1))
    prompt, form = tokens(60), KvForm.of(KvOptions(max_kv_size=SIZE, kv_keep=3))

    def after(changed_at: int | None, cuts: tuple[int, ...]) -> mx.array:
        asked = [token if at != changed_at else (token + 7) % 300 + 10 for at, token in enumerate(prompt)]
        layers, start = form.fresh(single.model), 0
        for until in cuts:
            layers, logits = read(single, asked[start:until], layers)
            start = until
        return logits

    for cuts in ((60,), (20, 45, 60), tuple(range(1, 61))):
        plain = after(None, cuts)
        for kept in (0, 2, 60 - SIZE + 3, 58):
            assert not close(plain, after(kept, cuts)), kept
        for forgotten in (3, 20, 60 - SIZE + 2):
            assert close(plain, after(forgotten, cuts)), forgotten


def test_smaller_sliding_windows_of_the_model_stay_and_larger_ones_shrink(wide_models: dict[str, LoadedModel]) -> None:
    def sizes(window: int) -> list[int]:
        return [leaf.max_size for leaf in leaves(KvForm.of(KvOptions(max_kv_size=window)).fresh(wide_models["gpt_oss"].model))]

    assert sizes(100) == [16, 100]
    assert sizes(8) == [8, 8]


def test_state_spaces_of_a_hybrid_are_left_alone(wide_models: dict[str, LoadedModel]) -> None:
    layers = KvForm.of(KvOptions(max_kv_size=8)).fresh(wide_models["falcon_h1"].model)
    read(wide_models["falcon_h1"], tokens(40), layers)
    assert [held_by(leaf) for leaf in leaves(layers)] == [0, 8] * 2
    assert size_of(layers).length == 8


def test_a_model_without_kv_says_that_there_is_nothing_to_limit(wide_models: dict[str, LoadedModel]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_form(wide_models["mamba2"].model, KvForm.of(KvOptions(max_kv_size=SIZE)))
    assert caught.value.param == "max_kv_size" and "a state of fixed size" in caught.value.message


def test_a_cache_of_another_kind_is_refused_by_its_name(wide_models: dict[str, LoadedModel]) -> None:
    from mlx_lm.models.cache import ConcatenateKVCache, KVCache

    class Odd:
        def make_cache(self) -> list[object]:
            return [KVCache(), ConcatenateKVCache(), ConcatenateKVCache()]

    with pytest.raises(InvalidRequest, match="2 of its layers keep ConcatenateKVCache"):
        check_form(Odd(), KvForm.of(KvOptions(max_kv_size=SIZE)))  # type: ignore[arg-type]
