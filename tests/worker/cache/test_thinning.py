"""A long chat keeps the snapshots of its last turns, those that others go on from, and of the rest so many that going back stays cheap."""

from collections.abc import Iterator
from pathlib import Path

import mlx.core as mx
import pytest
from mlx_lm.models.cache import KVCache, RotatingKVCache

from mlx_harmony.shelf.shelf import pieces
from mlx_harmony.worker.cache.layers import Layers
from mlx_harmony.worker.cache.thinning import NEWEST, SHARE
from mlx_harmony.worker.prompt_cache import PromptCache
from tests.worker.cache.reading import shelf_at, tokens

TURN, ANSWER, GLUE = 100, 40, 4
SYSTEM = tokens(60)


def layers(length: int) -> Layers:
    """A window and a layer that can be cut, both after so many tokens; what they hold matters to nobody here."""
    made: Layers = [KVCache(), RotatingKVCache(8)]
    for layer in made:
        layer.update_and_fetch(mx.zeros((1, 1, length, 2)), mx.zeros((1, 1, length, 2)))
    return made


class Chat:
    """A chat whose answers stand in later prompts otherwise than they were written; every turn is kept as a real one is."""

    def __init__(self, cache: PromptCache) -> None:
        self.cache = cache
        self.prompts: list[list[int]] = []
        self._told = list(SYSTEM)

    def turns(self, first: int, last: int) -> None:
        for turn in range(first, last):
            asked = [*self._told, *tokens(TURN, seed=1000 + turn)]
            prompt = [*asked, *tokens(GLUE, seed=7)]
            for end in (len(SYSTEM), len(self._told), len(asked), len(prompt)):
                self.cache.put(prompt[:end], layers(end))
            self.prompts.append(prompt)
            self.cache.put([*prompt, *tokens(ANSWER, seed=2000 + turn)], layers(len(prompt) + ANSWER), len(prompt))
            self._told = [*prompt, *tokens(ANSWER, seed=3000 + turn)]

    def new(self, turn: int) -> int:
        """How many tokens would be read again where that turn is asked anew in other words: at most what came since the last message."""
        known = [*self.prompts[turn][: -TURN - GLUE], 391, 392, 393]
        return len(known) - 3 - self.cache.peek(known)


def snapshots(cache: PromptCache) -> list[int]:
    return [end for entry in cache.look().entries for end in entry.snapshots]


@pytest.fixture
def chat() -> Iterator[Chat]:
    cache = PromptCache()
    cache.know_shapes([KVCache(), RotatingKVCache(8)])
    yield Chat(cache)


def test_a_long_chat_keeps_few_snapshots_and_goes_back_at_little_cost(chat: Chat) -> None:
    chat.turns(0, 60)
    end = len(chat.prompts[-1]) + ANSWER
    assert len(snapshots(chat.cache)) < 60
    for turn in range(1, 60):
        place = len(chat.prompts[turn]) - TURN - GLUE
        assert chat.new(turn) <= (end - place) / SHARE + TURN + GLUE + ANSWER
    assert [chat.new(turn) for turn in range(53, 60)] == [0] * 7


def test_what_few_turns_left_stays_whole(chat: Chat) -> None:
    chat.turns(0, NEWEST // 4)
    assert len(snapshots(chat.cache)) == NEWEST // 4 * 4
    assert [chat.new(turn) for turn in range(1, NEWEST // 4)] == [0] * (NEWEST // 4 - 1)


def test_the_first_snapshots_and_those_that_others_go_on_from_stay(chat: Chat) -> None:
    chat.turns(0, 6)
    place = len(chat.prompts[5]) - TURN - GLUE
    fork = [*chat.prompts[5][:place], *tokens(50, seed=77)]
    chat.cache.put(fork, layers(len(fork)), chat="b")
    chat.turns(6, 40)
    assert chat.new(5) == 0
    assert chat.cache.peek([*fork, 391]) == len(fork)
    assert chat.cache.peek([*SYSTEM, 391, 392]) == len(SYSTEM)


def test_what_is_pinned_stays(chat: Chat) -> None:
    chat.turns(0, 4)
    for entry in chat.cache.look().entries:
        chat.cache.act("pin", entry.id)
    kept = set(snapshots(chat.cache))
    chat.turns(4, 40)
    assert kept <= set(snapshots(chat.cache))


def test_they_leave_the_disk_too(tmp_path: Path) -> None:
    cache = PromptCache()
    cache.open_disk(shelf_at(tmp_path), [KVCache(), RotatingKVCache(8)])
    Chat(cache).turns(0, 20)
    cache.flush()
    files = [file.end for file in pieces(shelf_at(tmp_path).folder)]
    runs = len(cache.look().entries)
    assert sorted(snapshots(cache)) == sorted(snapshots(_opened(tmp_path)))
    assert len(files) == runs + len(snapshots(cache)) < runs + 80
    assert cache.look().disk_bytes == sum(file.bytes for file in pieces(shelf_at(tmp_path).folder))


def _opened(root: Path) -> PromptCache:
    cache = PromptCache()
    cache.open_disk(shelf_at(root), [KVCache(), RotatingKVCache(8)])
    return cache
