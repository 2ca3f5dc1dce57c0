"""Caches go back to where they were, for every family; and a model whose caches do not is found out."""

from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.models.cache import ChunkedKVCache, make_prompt_cache

from mlx_harmony.worker.load import LoadedModel
from mlx_harmony.worker.speculation.going_back import Before, can_go_back
from mlx_harmony.worker.speculation.trial import Trial

TEXT = [(at * 37) % 300 + 20 for at in range(60)]


def read(model: Any, layers: Any, tokens: list[int]) -> Any:
    logits = model(mx.array(tokens)[None], cache=layers)[0, -1]
    mx.eval(logits)
    return logits


def straight(model: Any, tokens: list[int]) -> Any:
    layers = make_prompt_cache(model)
    read(model, layers, tokens[:-1])
    return read(model, layers, tokens[-1:])


@pytest.mark.parametrize("length", [3, 14, 40])
@pytest.mark.parametrize("kept", [1, 2, 5])
def test_after_a_pass_of_several_tokens(family: LoadedModel, length: int, kept: int) -> None:
    # Before, around and past gpt_oss's window of 16.
    model, layers = family.model, list(make_prompt_cache(family.model))
    read(model, layers, TEXT[:length])
    before = Before(layers)
    said = TEXT[length : length + kept]
    read(model, layers, [*said, 21, 22, 23])
    if before.cuttable:
        before.cut(kept)
        said = []
    else:
        before.restore()
    after = read(model, layers, [*said, TEXT[length + kept]])
    assert mx.allclose(after, straight(model, TEXT[: length + kept + 1]), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("length", [3, 14, 40])
def test_after_single_tokens_any_number_of_times(family: LoadedModel, length: int) -> None:
    model, layers = family.model, list(make_prompt_cache(family.model))
    read(model, layers, TEXT[:length])
    before = Before(layers, passes=True)
    for wrong in ([21, 22, 23], [24], [25, 26]):
        for token in wrong:
            read(model, layers, [token])
        if before.cuttable:
            before.cut(0)
        else:
            before.restore()
    after = read(model, layers, TEXT[length : length + 1])
    assert mx.allclose(after, straight(model, TEXT[: length + 1]), rtol=1e-3, atol=1e-3)


def test_caches_of_an_unknown_kind_are_not_trusted(llama: LoadedModel) -> None:
    assert not can_go_back([ChunkedKVCache(16)])
    assert Trial(llama.model).passed()


class Counting:
    """A model that counts for itself what it has read, and so cannot be taken back by its caches."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._read = 0

    def __call__(self, tokens: Any, cache: Any) -> Any:
        self._read += tokens.shape[1]
        return mx.roll(self._model(tokens, cache=cache), self._read, axis=-1)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


class Failing(Counting):
    """A model that raises on several tokens at once after the first."""

    def __call__(self, tokens: Any, cache: Any) -> Any:
        if tokens.shape[1] > 1 and not cache[0].empty():
            raise ValueError("one at a time")
        return self._model(tokens, cache=cache)


def test_a_model_that_counts_for_itself_is_found_out(llama: LoadedModel) -> None:
    assert not Trial(Counting(llama.model)).passed()  # type: ignore[arg-type]
    assert not Trial(Failing(llama.model)).passed()  # type: ignore[arg-type]
