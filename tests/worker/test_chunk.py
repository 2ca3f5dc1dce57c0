"""A chunk is the same in one go or layer by layer, stands still between its layers, and leaves no trace where it is given up."""

import itertools
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.models.cache import make_prompt_cache

from mlx_harmony.errors import InvalidRequest
from mlx_harmony.events import Event, Prefill
from mlx_harmony.records import KvOptions
from mlx_harmony.worker.cache.layers import Layers, cut_arrays
from mlx_harmony.worker.chunk import Chunk
from mlx_harmony.worker.generation import Desk, Generation
from mlx_harmony.worker.kv_caches import KvCaches
from mlx_harmony.worker.load import LoadedModel
from mlx_harmony.worker.pace import FIRST, Pace
from mlx_harmony.worker.prompt_cache import PromptCache
from tests.fixtures.architectures import build
from tests.worker.company import Watched, alone, ask, end, text, together

DEEP = ("gpt_oss", "qwen3", "mamba2", "lfm2", "falcon_h1")
LAYERS = 6
TEXT = [(at * 37) % 300 + 20 for at in range(90)]
ONE_BY_ONE = 1e-9
"""So few seconds suffice for no layer, and one is taken nevertheless."""


@pytest.fixture(params=DEEP)
def deep(request: pytest.FixtureRequest, llama: LoadedModel, gpt_oss: LoadedModel) -> LoadedModel:
    """A model of several layers for each kind of caches."""
    if request.param == "gpt_oss":
        return gpt_oss
    return llama._replace(model=build(request.param, llama.card.vocabulary_size, layers=LAYERS))


def read(model: Any, layers: Layers, tokens: list[int], target_s: float = ONE_BY_ONE) -> Chunk:
    chunk = Chunk(model, layers, tokens)
    while not chunk.over:
        chunk.go_on(target_s)
    return chunk


def after(model: Any, layers: Layers, token: int = 25) -> mx.array:
    """The logits of what may follow `token`."""
    logits = model(mx.array([[token]]), cache=layers)[0, -1]
    mx.eval(logits)
    return logits


def straight(model: Any, tokens: list[int]) -> mx.array:
    layers = list(make_prompt_cache(model))
    model(mx.array(tokens)[None], cache=layers)
    return after(model, layers)


@pytest.mark.parametrize("length", [10, 40])
def test_layer_by_layer_is_as_in_one_go(family: LoadedModel, length: int) -> None:
    # Within gpt_oss's window of 16, and past it in the second chunk.
    layers = list(make_prompt_cache(family.model))
    read(family.model, layers, TEXT[:5])
    read(family.model, layers, TEXT[5:length])
    assert mx.allclose(after(family.model, layers), straight(family.model, TEXT[:length]), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("length", [0, 7, 40])
def test_given_up_between_any_two_layers_it_leaves_no_trace(family: LoadedModel, length: int) -> None:
    model = family.model
    for steps in range(len(make_prompt_cache(model))):
        layers = list(make_prompt_cache(model))
        if length:
            read(model, layers, TEXT[:length])
        chunk = Chunk(model, layers, TEXT[60:80])
        for _ in range(steps):
            chunk.go_on(ONE_BY_ONE)
        chunk.give_up()
        read(model, layers, TEXT[length : length + 9])
        assert mx.allclose(after(model, layers), straight(model, TEXT[: length + 9]), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kv", [KvOptions(kv_bits=8), KvOptions(max_kv_size=64)])
def test_the_same_with_kv_of_other_forms(family: LoadedModel, kv: KvOptions) -> None:
    try:
        form = KvCaches(family.model, PromptCache(0)).use(kv).form
    except InvalidRequest:
        pytest.skip("this family has no such KV")
    twice: list[mx.array] = []
    for given_up in (False, True):
        layers = form.at(9, _read(family.model, form.fresh(family.model), TEXT[:9]))
        if given_up:
            chunk = Chunk(family.model, layers, TEXT[60:80])
            chunk.go_on(ONE_BY_ONE)
            chunk.give_up()
        twice.append(after(family.model, _read(family.model, layers, TEXT[9:40])))
    assert mx.array_equal(*twice)


def _read(model: Any, layers: Layers, tokens: list[int]) -> Layers:
    read(model, layers, tokens)
    return layers


def test_it_takes_as_many_layers_at_once_as_are_expected_to_take_the_time(llama: LoadedModel) -> None:
    model = build("qwen3", llama.card.vocabulary_size, layers=LAYERS)
    # The first layer's keys and values cost next to nothing, so it is always one more.
    for layer_s, target_s, layers in ((1.0, 1.0, 2), (1.0, 2.5, 3), (0.001, 1.0, LAYERS), (0.0, 1.0, 2)):
        chunk = Chunk(model, list(make_prompt_cache(model)), TEXT[:20], layer_s)
        chunk.go_on(target_s)
        assert chunk.share == layers / LAYERS


def test_a_layer_is_written_to_in_place_where_it_can_be_cut(llama: LoadedModel) -> None:
    model = build("qwen3", llama.card.vocabulary_size, layers=LAYERS)
    layers = list(make_prompt_cache(model))
    read(model, layers, TEXT)
    mx.clear_cache()
    held, _ = mx.get_active_memory(), mx.reset_peak_memory()
    read(model, layers, TEXT[:8])
    # Room for the new tokens is there: had each layer to be copied, all of them would be there twice in the end.
    assert mx.get_active_memory() <= held
    assert mx.get_peak_memory() - held < sum(array.nbytes for array in cut_arrays(layers)) / 2


class Deliberate(LoadedModel):
    """Read one layer at a step."""

    def new_pace(self) -> Pace:
        return Pace(target_s=ONE_BY_ONE, least=512)


def test_answers_go_on_between_two_layers_of_somebody_s_chunk(deep: LoadedModel) -> None:
    model, marks = Watched(deep.model), list[int]()
    writer, reader = ask("writer", max_tokens=60), ask("reader", start=150, length=400, max_tokens=8)
    acts: dict[tuple[str, int], Any] = {("reader", at): lambda _inbox: marks.append(len(model.calls)) for at in range(3, 6)}
    heard = together(Deliberate(*deep._replace(model=model)), [writer, reader], acts)
    # After the layers of each step, one token of the answer; the chunk itself was begun before.
    assert [model.calls[start:stop] for start, stop in itertools.pairwise(marks)] == [[(1, 1)], [(1, 1)]]
    done = [event.done for event in heard["reader"] if isinstance(event, Prefill)]
    assert done == sorted(done)
    assert 0 < done[1] < done[2] < 399
    for request in (writer, reader):
        assert text(heard[request.id]) == text(alone(deep, request))


def test_who_cancels_within_a_chunk_loses_only_that_chunk(deep: LoadedModel) -> None:
    desk = Desk(deep, PromptCache(), Pace(target_s=ONE_BY_ONE, least=FIRST))
    request = ask("r", length=3 * FIRST + 9)
    events: list[Event] = []
    for event in Generation(desk, request, lambda: _within_a_chunk(events), 0.0).run():
        events.append(event)
    assert end(events).reason == "cancelled"
    again = list(Generation(desk, request, lambda: False, 0.0).run())
    assert text(again) == text(alone(deep, request))
    assert end(again).usage.cached_tokens == 2 * FIRST


def _within_a_chunk(events: list[Event]) -> bool:
    """Whether the third chunk is under way."""
    return any(isinstance(event, Prefill) and 2 * FIRST < event.done < 3 * FIRST for event in events)
