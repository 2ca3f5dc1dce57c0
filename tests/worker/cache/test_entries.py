"""No more entries than were allowed, in memory and on disk together: the longest unused chat goes, and a miss says so."""

from pathlib import Path

import pytest

from mlx_harmony.records import LoadOptions
from mlx_harmony.shelf.shelf import pieces
from mlx_harmony.worker.cache.opening import open_cache
from mlx_harmony.worker.load import LoadedModel
from mlx_harmony.worker.prompt_cache import PromptCache
from tests.worker.cache.reading import cache_on, read, shelf_at, tokens


@pytest.fixture(params=["llama", "gpt_oss"])
def loaded(request: pytest.FixtureRequest) -> LoadedModel:
    model: LoadedModel = request.getfixturevalue(request.param)
    return model


class Chats:
    """Chats that are answered by turns."""

    def __init__(self, loaded: LoadedModel, cache: PromptCache, named: bool = True) -> None:
        self.loaded = loaded
        self.cache = cache
        self._named = named
        self._prompts: dict[str, list[int]] = {}

    def turn(self, chat: str) -> int:
        """The next turn of a chat; how many tokens of it were reused."""
        prompt = self._prompts.setdefault(chat, [])
        prompt += tokens(40, seed=ord(chat) * 100 + len(prompt))
        length, layers = self.cache.take(prompt)
        layers, _ = read(self.loaded, prompt[length:], layers)
        assert self.cache.put(prompt, layers, chat=chat if self._named else "")
        return length

    def kept(self) -> int:
        """How many leaves there are."""
        entries = [entry for entry in self.cache.look().entries if entry.where != "evicted"]
        return len([entry for entry in entries if entry.id not in {other.parent for other in entries}])


@pytest.mark.parametrize("named", [True, False])
def test_two_alternating_chats_hit_every_turn_where_two_may_stay(loaded: LoadedModel, named: bool) -> None:
    chats = Chats(loaded, PromptCache(most_entries=2), named)
    assert [chats.turn(chat) for chat in "ABABABAB"] == [0, 0, 40, 40, 80, 80, 120, 120]
    assert chats.cache.look().most_entries == 2


@pytest.mark.parametrize("named", [True, False])
def test_they_push_one_another_out_where_one_may_stay(loaded: LoadedModel, named: bool) -> None:
    chats = Chats(loaded, PromptCache(most_entries=1), named)
    for chat in "ABABAB":
        assert chats.turn(chat) == 0
        assert chats.kept() == 1
    assert chats.cache.look().misses["evicted"] == 4
    assert chats.turn("B") == 120


@pytest.mark.parametrize("named", [True, False])
def test_the_longest_unused_one_goes(loaded: LoadedModel, named: bool) -> None:
    chats = Chats(loaded, PromptCache(most_entries=2), named)
    for chat in "ABAC":
        chats.turn(chat)
        assert chats.kept() <= 2
    assert chats.turn("A") == 80
    assert chats.turn("C") == 40
    assert chats.turn("B") == 0


def test_versions_of_one_chat_are_one_entry_and_what_is_pinned_stays(llama: LoadedModel) -> None:
    cache = PromptCache(most_entries=2)
    common = tokens(20)
    for version in range(3):
        prompt = [*common, *tokens(20, seed=10 + version)]
        cache.put(prompt, read(llama, prompt)[0], chat="a")
    cache.put(tokens(30, seed=5), read(llama, tokens(30, seed=5))[0], chat="b")
    assert all(cache.peek([*common, *tokens(20, seed=10 + version), 9]) == 40 for version in range(3))
    for entry in cache.look().entries:
        if entry.chats == ("b",):
            cache.act("pin", entry.id)
    cache.put(tokens(30, seed=6), read(llama, tokens(30, seed=6))[0], chat="c")
    assert cache.peek([*tokens(30, seed=5), 9]) == 30
    assert cache.peek([*common, 9, 9, 9]) == 0


def test_the_disk_holds_no_more_either_and_a_lower_number_holds_at_the_next_start(llama: LoadedModel, tmp_path: Path) -> None:
    chats = Chats(llama, cache_on(shelf_at(tmp_path), llama))
    for chat in "ABC":
        chats.turn(chat)
    chats.cache.close()
    fewer = PromptCache(most_entries=2)
    fewer.open_disk(shelf_at(tmp_path), read(llama, [9])[0])
    assert fewer.peek([*tokens(40, seed=ord("A") * 100), 9]) == 0
    assert fewer.peek([*tokens(40, seed=ord("C") * 100), 9]) == 40
    fewer.flush()
    assert len(list(pieces(shelf_at(tmp_path).folder))) == 2


def test_the_number_comes_with_the_load(llama: LoadedModel, fx1: Path) -> None:
    assert open_cache(llama, LoadOptions(path=str(fx1), cache_entries=3)).look().most_entries == 3
