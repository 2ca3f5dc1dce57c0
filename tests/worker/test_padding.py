"""Answers of very different lengths go apart: padding is bounded by what the weights take, and a join by the memory that is free."""

from typing import Any

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten
from mlx_lm.models.cache import make_prompt_cache

from mlx_harmony.worker.agreement import STEPS
from mlx_harmony.worker.cache.layers import Layers
from mlx_harmony.worker.load import LoadedModel
from mlx_harmony.worker.padding import Bounds, padded
from tests.worker.company import Watched, alone, ask, text, together

LONG = 2100


def read(loaded: LoadedModel, tokens: int) -> Layers:
    layers: Layers = list(make_prompt_cache(loaded.model))
    mx.eval(loaded.model(mx.arange(tokens)[None] % 300 + 20, cache=layers))
    return layers


def weights(loaded: LoadedModel) -> int:
    return sum(leaf.nbytes for _, leaf in tree_flatten(loaded.model.parameters()))


def test_what_padding_is_said_to_take_is_what_it_takes(family: LoadedModel) -> None:
    lengths = (300, 40)
    singles = [read(family, length) for length in lengths]
    cost = padded(singles[1], lengths)
    merged = [column[0].merge(list(column)) for column in zip(*singles, strict=True)]
    keys = [
        leaf for layer in merged for leaf in getattr(layer, "caches", [layer]) if hasattr(leaf, "left_padding") and hasattr(leaf, "keys")
    ]
    assert cost.total == sum(leaf.keys.nbytes + leaf.values.nbytes for leaf in keys)
    assert (cost.empty > 0) == bool(keys)
    assert padded(singles[0], (40, 40, 40)).empty == 0


def test_a_window_is_not_padded_beyond_itself(gpt_oss: LoadedModel) -> None:
    layers = read(gpt_oss, 40)
    near, far = padded(layers, (40, 300)).empty, padded(layers, (40, 3000)).empty
    cut = [leaf for leaf in layers if type(leaf).__name__ == "KVCache"]
    each = sum((leaf.keys.nbytes + leaf.values.nbytes) // leaf.keys.shape[2] for leaf in cut)
    assert 0 < len(cut) < len(layers)
    assert (near, far) == (260 * each, 2960 * each)


def test_padding_is_bounded_by_what_the_weights_take(llama: LoadedModel) -> None:
    layers, bounds = read(llama, 40), Bounds(llama.model, lambda: None)
    each = padded(layers, (1,)).total
    longest = 4000 + weights(llama) // 4 // each
    assert bounds.allow(layers, (4000, longest))
    assert not bounds.allow(layers, (4000, longest + 1))
    assert bounds.allow(layers, (40, 2048))


def test_caches_are_brought_together_only_where_there_is_room_for_both(llama: LoadedModel) -> None:
    layers = read(llama, 40)
    needed = padded(layers, (500, 400)).total
    assert Bounds(llama.model, lambda: 2 * needed).allow(layers, (500, 400))
    assert not Bounds(llama.model, lambda: 2 * needed - 1).allow(layers, (500, 400))


@pytest.mark.parametrize(("other", "shared"), [(30, False), (LONG - 40, True)], ids=["short", "as long"])
def test_a_short_chat_beside_a_long_one_is_not_padded_to_it(llama: LoadedModel, other: int, shared: bool) -> None:
    watched: Any = Watched(llama.model)
    requests = [ask("long", length=LONG, max_tokens=120), ask("other", start=90, length=other, max_tokens=120)]
    heard = together(llama._replace(model=watched), requests)
    # The model is tried out in a batch before anybody is: a step each for STEPS tokens.
    batched = [rows for rows, _ in watched.calls].count(2)
    assert batched > STEPS if shared else batched == STEPS
    for request in requests:
        assert text(heard[request.id]) == text(alone(llama, request))
