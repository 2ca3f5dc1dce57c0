"""What a look-up costs: it compares tokens and copies nothing; live caches are made of what it found afterwards, part by part."""

import time
from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models.cache import KVCache

from mlx_harmony.worker.cache import restoring
from mlx_harmony.worker.cache.tree import Run, token_array
from mlx_harmony.worker.prompt_cache import Layers, PromptCache

LAYERS, RUNS, EACH = 24, 40, 20
LOOK_UP_S = 0.005


def layers(length: int) -> Layers:
    """Caches whose values say which token they are of."""
    made = [KVCache() for _ in range(LAYERS)]
    for at, layer in enumerate(made):
        values = mx.arange(length, dtype=mx.float32).reshape(1, 1, length, 1) + 1000 * at
        layer.update_and_fetch(values, -values)
    return list(made)


def prompt(length: int) -> list[int]:
    return [int(token) for token in np.random.default_rng(3).integers(10, 200_000, length)]


class Counting:
    """An array that counts how often a part of it is taken."""

    slices = 0

    def __init__(self, array: mx.array) -> None:
        self._array = array

    def __getitem__(self, part: Any) -> mx.array:
        type(self).slices += 1
        return self._array[part]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._array, name)


@pytest.fixture
def chat() -> PromptCache:
    """A chat of many turns, a run for each, and another chat that parts in the middle of one."""
    cache, known = PromptCache(), prompt(RUNS * EACH)
    for turn in range(RUNS):
        length = (turn + 1) * EACH
        cache.put(known[:length], layers(length))
    other = [*known[: 10 * EACH + 5], *range(30, 60)]
    cache.put(other, layers(len(other)))
    return cache


@pytest.fixture
def counted(chat: PromptCache) -> Iterator[PromptCache]:
    """The same, its arrays counting."""
    Counting.slices = 0
    for run in chat._tree.runs():
        run.contents = [Counting(array) for array in run.contents]
    yield chat


def test_a_look_up_takes_no_array_apart(counted: PromptCache) -> None:
    taken = counted.lookup([*prompt(RUNS * EACH), 5, 6])
    assert (taken.length, taken.reuse.reason) == (RUNS * EACH, "new")
    assert Counting.slices == 0


def test_live_caches_are_made_of_whole_runs_but_the_one_that_the_prompt_leaves(chat: PromptCache, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = 10 * EACH + 5
    taken = chat.lookup([*prompt(wanted), *range(30, 60), 7])
    assert taken.kept is not None
    assert [(len(run.arrays), run.length) for run in taken.kept.runs] == [(2 * LAYERS, EACH)] * 10 + [(2 * LAYERS, 5), (2 * LAYERS, 30)]
    partly = [run for run in taken.kept.runs if run.arrays[0].shape[-2] != run.length]
    assert len(partly) == 1
    live = taken.layers
    assert live is not None
    for at, layer in enumerate(live):
        keys, values = layer.keys_and_values()
        assert layer.offset == wanted + 30
        assert keys.reshape(-1)[:wanted].tolist() == [1000 * at + token for token in range(wanted)]
        assert mx.array_equal(values, -keys).item()


def test_a_long_chat_s_caches_are_made_part_by_part(chat: PromptCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoring, "STEP_BYTES", 1)
    taken = chat.lookup([*prompt(RUNS * EACH), 5, 6])
    assert taken.kept is not None
    parts = 1
    making = taken.kept.making()
    while True:
        try:
            assert next(making) is None
        except StopIteration as end:
            made: Layers = end.value
            break
        parts += 1
    assert parts == 2 * LAYERS
    assert [layer.offset for layer in made] == [RUNS * EACH] * LAYERS


def test_what_a_run_holds_of_its_tokens_is_its_own(chat: PromptCache) -> None:
    runs: list[Run] = list(chat._tree.runs())
    assert all(run.tokens.base is None for run in runs), "a part of the prompt's array would keep all of it in memory"


def test_a_long_known_prompt_is_looked_up_in_milliseconds() -> None:
    cache, known, used = PromptCache(), prompt(60_000), []
    for length in range(3000, 60_001, 3000):
        cache.put(known[:length], layers(length))
    for _ in range(7):
        began = time.thread_time()
        assert cache.lookup([*known, 5, 6]).length == 60_000
        used.append(time.thread_time() - began)
    assert min(used) < LOOK_UP_S


class Children(dict[tuple[int, int], Run]):
    """What hangs on a run, counting how often somebody looks there."""

    looks = 0

    def get(self, *place: Any) -> Any:
        type(self).looks += 1
        return super().get(*place)

    def items(self) -> Any:
        type(self).looks += len(self)
        return super().items()


class Compared(np.ndarray):  # type: ignore[type-arg]
    """A run's tokens, counting how many of them are compared."""

    tokens = 0

    def tobytes(self, *order: Any) -> bytes:
        type(self).tokens += len(self)
        return super().tobytes(*order)


@pytest.mark.parametrize("others", [10, 1000])
def test_what_a_look_up_touches_grows_with_its_way_and_not_with_what_is_kept(chat: PromptCache, others: int) -> None:
    known, tree = prompt(RUNS * EACH), chat._tree
    for other in range(others):
        # Chats of their own, and chats that part from this one along its way.
        at = (other % RUNS) * EACH + 3 if other % 2 else 0
        way = tree.walk(token_array(known[:at]))
        mine = tree.add(way.runs[-1] if way.runs else tree.root, at, token_array([300_000 + other, *range(40)]))
        mine.contents = []
    assert len(chat) >= RUNS + others
    for run in [tree.root, *tree.runs()]:
        run.children, run.tokens = Children(run.children), run.tokens.view(Compared)
    touched = {}
    for turns in (RUNS // 2, RUNS):
        Children.looks = Compared.tokens = 0
        assert chat.lookup([*known[: turns * EACH], 7]).length == turns * EACH
        touched[turns] = Children.looks
        assert Compared.tokens <= turns * EACH + EACH
    # Where it leaves, what hangs there is looked through for what was used last.
    most = others // RUNS + 2
    assert touched[RUNS // 2] <= RUNS // 2 + 1 + most and touched[RUNS] <= RUNS + 1 + most
