"""Packed KV: less memory, nearly the same answer, for every family whose KV grows; refused in words where there is nothing to pack."""

import mlx.core as mx
import pytest
from mlx_lm.models.cache import KVCache, QuantizedKVCache, make_prompt_cache

from mlx_harmony.errors import InvalidRequest
from mlx_harmony.records import KvOptions
from mlx_harmony.worker.cache.layers import leaves
from mlx_harmony.worker.cache.packed import PackedKVCache
from mlx_harmony.worker.kv import KvForm, size_of
from mlx_harmony.worker.kv_caches import KvCaches
from mlx_harmony.worker.kv_trial import check_form
from mlx_harmony.worker.load import LoadedModel
from mlx_harmony.worker.prompt_cache import PromptCache
from tests.worker.cache.reading import close, read, tokens
from tests.worker.company import ask, tokens_of
from tests.worker.kv.asking import BITS4, BITS8, fresh

LONG = 1500


@pytest.mark.parametrize(("bits", "share"), [(8, 0.6), (4, 0.35)])
def test_a_long_prompt_takes_less_memory_than_in_half_precision(wide_models: dict[str, LoadedModel], bits: int, share: float) -> None:
    plain = fresh(wide_models["llama"], length=LONG, max_tokens=4)[1].timings
    packed = fresh(wide_models["llama"], length=LONG, max_tokens=4, kv=KvOptions(kv_bits=bits))[1].timings
    in_half_precision = plain.kv_bytes / 2
    assert packed.kv_length == plain.kv_length == LONG + 3
    assert packed.kv_bytes <= share * in_half_precision


def test_every_family_takes_less_memory_packed(wide: LoadedModel) -> None:
    plain, packed = fresh(wide, length=600)[1].timings, fresh(wide, length=600, kv=BITS8)[1].timings
    assert 0 < packed.kv_bytes < 0.75 * plain.kv_bytes


@pytest.mark.parametrize(("options", "least"), [(BITS8, 0.95), (BITS4, 0.6)])
def test_the_likeliest_tokens_agree_with_plain_kv(wide: LoadedModel, options: KvOptions, least: float) -> None:
    prompt = mx.array([tokens(300)])
    plain = wide.model(prompt, cache=make_prompt_cache(wide.model))
    packed = wide.model(prompt, cache=KvForm.of(options).fresh(wide.model))
    agreeing = float(mx.mean((mx.argmax(plain, axis=-1) == mx.argmax(packed, axis=-1)).astype(mx.float32)))
    assert agreeing >= least, f"greedy agreement {agreeing:.2f}"


@pytest.mark.parametrize("name", ["llama", "qwen3"])
@pytest.mark.parametrize("options", [BITS8, BITS4])
def test_logits_are_those_of_mlx_lms_own_quantised_cache(wide_models: dict[str, LoadedModel], name: str, options: KvOptions) -> None:
    loaded, prompt = wide_models[name], tokens(90)
    form = KvForm.of(options)
    theirs = [QuantizedKVCache(form.group_size, form.bits) for _ in loaded.model.layers]
    read(loaded, prompt[:70], theirs)
    ours, _ = read(loaded, prompt[:70], form.fresh(loaded.model))
    for token in prompt[70:]:
        expected, found = read(loaded, [token], theirs)[1], read(loaded, [token], ours)[1]
        assert close(expected, found)


def test_chunks_do_not_matter(wide: LoadedModel) -> None:
    prompt, form = tokens(80), KvForm.of(BITS4)
    whole = read(wide, prompt, form.fresh(wide.model))[1]
    layers = form.fresh(wide.model)
    for start, until in ((0, 7), (7, 8), (8, 50), (50, 80)):
        layers, last = read(wide, prompt[start:until], layers)
    assert close(whole, last)


def test_sliding_windows_stay_as_they_are_beside_packed_layers(wide_models: dict[str, LoadedModel]) -> None:
    kinds = [type(leaf).__name__ for leaf in leaves(KvForm.of(BITS8).fresh(wide_models["gpt_oss"].model))]
    assert kinds == ["RotatingKVCache", "PackedKVCache"]


@pytest.mark.parametrize("start", [1, 20, 33, 45])
def test_kv_is_packed_exactly_from_the_token_that_was_asked_for(wide: LoadedModel, start: int) -> None:
    options = KvOptions(kv_bits=4, kv_group_size=32, quantized_kv_start=start)
    prompt, form, expected = list(tokens_of(ask("a", length=60))), KvForm.of(options), []
    layers, _ = read(wide, prompt[:start], form.fresh(wide.model))
    assert all(type(leaf) is not PackedKVCache for leaf in leaves(layers))
    layers = form.at(start, layers)
    assert any(type(leaf) is PackedKVCache for leaf in leaves(layers))
    layers, logits = read(wide, prompt[start:], layers)
    for _ in range(8):
        expected.append(int(mx.argmax(logits)))
        layers, logits = read(wide, expected[-1:], layers)
    assert fresh(wide, length=60, kv=options, max_tokens=8)[0] == expected


def test_an_answer_that_grows_past_the_start_is_packed_on_the_way(wide_models: dict[str, LoadedModel]) -> None:
    at_once = fresh(wide_models["llama"], length=30, max_tokens=40, kv=BITS8)[1].timings
    later = KvOptions(kv_bits=8, kv_group_size=32, quantized_kv_start=50)
    assert fresh(wide_models["llama"], length=30, max_tokens=40, kv=later)[1].timings.kv_bytes == at_once.kv_bytes
    plain = fresh(wide_models["llama"], length=30, max_tokens=10)[1].timings
    assert fresh(wide_models["llama"], length=30, max_tokens=10, kv=later)[1].timings.kv_bytes == plain.kv_bytes


def test_packing_what_is_held_gives_what_packing_from_the_start_gives() -> None:
    plain, packed = KVCache(), PackedKVCache(32, 8)
    keys, values = mx.random.normal((1, 2, 300, 64)), mx.random.normal((1, 2, 300, 64))
    plain.update_and_fetch(keys, values)
    ours, theirs = PackedKVCache.of(plain, 32, 8), packed.update_and_fetch(keys, values)
    more = mx.zeros((1, 2, 1, 64))
    for mine, other in zip(ours.update_and_fetch(more, more), packed.update_and_fetch(more, more), strict=True):
        assert bool(mx.array_equal(mine, other))
    assert ours.offset == 301 and theirs[0].shape == (1, 2, 300, 64)
    assert size_of([ours]).length == 301


def refused(loaded: LoadedModel, options: KvOptions) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        check_form(loaded.model, KvForm.of(options))
    assert caught.value.hint.endswith(".")
    return caught.value


def test_a_model_without_kv_says_that_there_is_nothing_to_pack(wide_models: dict[str, LoadedModel]) -> None:
    error = refused(wide_models["mamba2"], BITS8)
    assert error.param == "kv_bits" and "2 layers keep a state of fixed size" in error.message and "unset" in error.hint


def test_a_group_that_does_not_divide_the_heads_names_those_that_do(wide_models: dict[str, LoadedModel], llama: LoadedModel) -> None:
    error = refused(wide_models["llama"], KvOptions(kv_bits=8, kv_group_size=128))
    assert error.param == "kv_group_size" and "64 numbers" in error.message and error.hint == "Set kv_group_size to 64 or 32."
    narrow = refused(llama, BITS8)
    assert narrow.param == "kv_bits" and "16 numbers" in narrow.message


def test_a_model_that_only_slides_says_so(wide_models: dict[str, LoadedModel]) -> None:
    from mlx_lm.models.cache import RotatingKVCache

    class Sliding:
        def make_cache(self) -> list[RotatingKVCache]:
            return [RotatingKVCache(16), RotatingKVCache(16)]

    error = refused(wide_models["llama"]._replace(model=Sliding()), BITS8)  # type: ignore[arg-type]
    assert "2 layers have sliding windows of 16 tokens" in error.message


def test_a_model_that_answers_otherwise_packed_is_refused(wide_models: dict[str, LoadedModel]) -> None:
    model = wide_models["llama"].model

    class Reaching:
        """Reaches into its caches, as some architectures do."""

        def __call__(self, ids: mx.array, cache: list[object]) -> mx.array:
            logits = model(ids, cache=cache)
            return logits + mx.sum(cache[0].keys)  # type: ignore[attr-defined]

        def make_cache(self) -> list[KVCache]:
            return [KVCache() for _ in model.layers]

    error = refused(wide_models["llama"]._replace(model=Reaching()), KvOptions(kv_bits=8))  # type: ignore[arg-type]
    assert error.param == "kv_bits" and "a way of its own" in error.message


def test_where_no_group_is_asked_for_one_is_taken_that_the_heads_can_have(wide_models: dict[str, LoadedModel], llama: LoadedModel) -> None:
    def group(loaded: LoadedModel) -> int:
        return KvCaches(loaded.model, PromptCache()).use(KvOptions(kv_bits=8)).form.group_size

    assert [group(wide_models[name]) for name in ("llama", "gpt_oss", "qwen3", "falcon_h1")] == [64, 64, 32, 32]
    with pytest.raises(InvalidRequest, match="each head has 16 numbers"):
        group(llama)
    with pytest.raises(InvalidRequest, match="nothing to pack"):
        group(wide_models["mamba2"])
