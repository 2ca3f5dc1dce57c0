"""A long prompt is kept as a chain of runs of bounded size: it reaches the disk whatever the memory holds, and what does not is told."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import mlx.core as mx
import pytest
from mlx_lm.models.cache import KVCache

from mlx_harmony.shelf.kept import kept_in
from mlx_harmony.shelf.piece import Head
from mlx_harmony.shelf.shelf import Shelf, pieces
from mlx_harmony.worker.cache import behind, keeping
from mlx_harmony.worker.cache.layers import Layers
from mlx_harmony.worker.prompt_cache import PromptCache
from tests.worker.cache.reading import PLENTY, shelf_at, tokens

LENGTH, TOKEN_BYTES = 1000, 16
RUN = 100
PROMPT = tokens(LENGTH)
UNWRITTEN = "Not all that was read is on the disk: 1 MB came faster than it could be written."


@pytest.fixture(autouse=True)
def runs_of_a_hundred_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "RUN_BYTES", RUN * TOKEN_BYTES)


class Busy(Shelf):
    """A shelf that writes nothing before it is told to."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, shelf_at(root).identity, PLENTY)
        self.free = threading.Event()

    def write(self, head: Head, payload: Sequence[memoryview]) -> int:
        self.free.wait(10.0)
        return super().write(head, payload)


@pytest.fixture
def busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Busy]:
    """Four of the runs may wait to be written, no more."""
    monkeypatch.setattr(behind, "MOST_WAITING_BYTES", 4 * RUN * TOKEN_BYTES)
    shelf = Busy(tmp_path)
    yield shelf
    shelf.free.set()


def layers(length: int = LENGTH) -> Layers:
    layer = KVCache()
    values = mx.arange(length * 2, dtype=mx.float32).reshape(1, 1, length, 2)
    layer.update_and_fetch(values, -values)
    return [layer]


def opened(shelf: Shelf, budget_bytes: int = PLENTY) -> PromptCache:
    cache = PromptCache(budget_bytes)
    cache.open_disk(shelf, [KVCache()])
    return cache


def right(cache: PromptCache, length: int = LENGTH) -> bool:
    """Whether so much of the prompt comes back, and as it was."""
    taken = cache.lookup([*PROMPT, 9])
    if (taken.length, taken.layers is None) != (length, False):
        return False
    keys, values = taken.layers[0].keys_and_values()  # type: ignore[index]
    expected, _ = layers(length)[0].keys_and_values()
    return bool(mx.array_equal(keys, expected).item()) and bool(mx.array_equal(values, -expected).item())


@pytest.mark.parametrize("budget", [0, LENGTH * TOKEN_BYTES // 2, PLENTY])
def test_a_long_prompt_is_on_disk_in_runs_of_bounded_size_whatever_the_memory_holds(tmp_path: Path, budget: int) -> None:
    cache = opened(shelf_at(tmp_path), budget)
    assert cache.put(PROMPT, layers())
    assert cache.bytes <= budget
    cache.flush()
    files = sorted(pieces(shelf_at(tmp_path).folder), key=lambda file: file.end)
    assert [file.end for file in files] == list(range(RUN, LENGTH + 1, RUN))
    assert all(file.bytes < 2 * RUN * TOKEN_BYTES for file in files)
    assert right(cache)
    cache.close()
    again = opened(shelf_at(tmp_path), budget)
    assert right(again)
    assert again.look().problem == ""


def test_a_chain_is_dropped_saved_and_pinned_like_any_other(tmp_path: Path) -> None:
    cache = opened(shelf_at(tmp_path))
    cache.put(PROMPT, layers(), chat="a")
    by_end = {entry.end: entry for entry in cache.look().entries}
    assert by_end[LENGTH].chats == ("a",)
    assert [by_end[end].parent for end in (RUN, 2 * RUN)] == ["", by_end[RUN].id]
    cache.act("pin", by_end[3 * RUN].id)
    assert {entry.end for entry in cache.look().entries if entry.pinned} == {RUN, 2 * RUN, 3 * RUN}
    cache.act("drop", by_end[5 * RUN].id)
    assert right(cache, 4 * RUN)
    cache.forget_chats(["a"])
    assert cache.look().entries == ()


def test_what_could_not_be_written_is_told_and_written_at_the_next_use_while_it_is_in_memory(busy: Busy) -> None:
    cache = opened(busy)
    assert cache.put(PROMPT, layers())
    assert cache.look().problem == UNWRITTEN
    busy.free.set()
    cache.flush()
    for _ in range(3):
        assert right(cache)
        cache.flush()
    assert cache.look().problem == ""
    assert cache.look().disk_bytes == sum(file.bytes for file in pieces(busy.folder))
    cache.close()
    assert right(opened(shelf_at(busy.root)))


def test_what_fits_neither_memory_nor_the_queue_is_kept_as_far_as_it_goes_and_the_next_turn_brings_more(busy: Busy) -> None:
    cache = opened(busy, LENGTH * TOKEN_BYTES // 2)
    assert not cache.put(PROMPT, layers()), "not all of it can be kept"
    assert cache.look().problem == UNWRITTEN
    busy.free.set()
    cache.flush()
    taken = cache.lookup([*PROMPT, 9])
    assert (taken.length, taken.reuse.reason) == (4 * RUN, "evicted")
    for _ in range(2):
        cache.put(PROMPT, layers())
        cache.flush()
    assert right(cache)
    assert cache.look().problem == ""


def test_a_prompt_that_is_kept_bit_by_bit_and_is_too_large_in_all_pushes_nothing_out(tmp_path: Path) -> None:
    other = tokens(200, seed=5)
    for disk in (False, True):
        cache = PromptCache(LENGTH * TOKEN_BYTES // 2)
        if disk:
            cache.open_disk(shelf_at(tmp_path), [KVCache()])
        cache.put(other, layers(200))
        for end in (RUN, 2 * RUN, LENGTH):
            assert cache.put(PROMPT[:end], layers(end), part_of=LENGTH) is disk
        assert cache.peek([*other, 9]) == 200
        assert cache.look().evictions == 0
        cache.flush()
        assert right(cache) is disk


def test_whoever_looks_at_the_shelf_without_the_model_sees_it_too(busy: Busy, tmp_path: Path) -> None:
    cache = opened(busy)
    cache.put(PROMPT, layers())
    busy.free.set()
    cache.flush()
    (kept,) = kept_in(tmp_path)
    assert kept.problem == UNWRITTEN
    cache.close()
    opened(shelf_at(tmp_path))
    (kept,) = kept_in(tmp_path)
    assert kept.problem == "", "what is not there at a start is not missed"
