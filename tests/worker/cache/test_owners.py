"""Whose what is kept is: chats end in runs, also after a restart; what only a deleted chat used goes, also from the disk."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mlx_harmony.shelf.kept import Shelves, kept_in
from mlx_harmony.shelf.shelf import Shelf, pieces
from mlx_harmony.worker.cache.account import Asker
from mlx_harmony.worker.cache.layers import Layers
from mlx_harmony.worker.cache.tree import token_array
from mlx_harmony.worker.load import LoadedModel
from mlx_harmony.worker.prompt_cache import PromptCache
from tests.worker.cache.reading import PLENTY, cache_on, close, read, shelf_at, tokens

SHARED, MINE, THEIRS, MORE = tokens(40), tokens(50, seed=1), tokens(50, seed=2), tokens(30, seed=3)


def keep(loaded: LoadedModel, cache: PromptCache, prompt: list[int], chat: str, mark: int = len(SHARED)) -> None:
    """As a chat does: what is known is taken, the rest is read, with a snapshot at the end of what is shared."""
    length, layers = cache.take(prompt)
    for start, end in ((length, mark), (max(length, mark), len(prompt))):
        if start < end:
            layers, _ = read(loaded, prompt[start:end], layers)
            cache.put(prompt[:end], layers, chat=chat)


def two_chats(loaded: LoadedModel, root: Path) -> PromptCache:
    cache = cache_on(shelf_at(root), loaded)
    # The first chat reads all of its prompt at once, so that what both share is the beginning of its run.
    layers: Layers | None = None
    layers, _ = read(loaded, [*SHARED, *MINE], layers)
    cache.put([*SHARED, *MINE], layers, chat="a")
    keep(loaded, cache, [*SHARED, *THEIRS], "b")
    return cache


def ends(cache: PromptCache) -> dict[str, int]:
    """By chat: after how many tokens it ends."""
    return {chat: entry.end for entry in cache.look().entries for chat in entry.chats}


def in_memory(root: Path, cache: PromptCache) -> PromptCache:
    cache.forget_chats(["a"])
    cache.flush()
    return cache


def by_the_shelf(root: Path, cache: PromptCache) -> PromptCache:
    """The model sleeps, the server takes the files away."""
    cache.close()
    Shelves(str(root.parent), PLENTY).forget(["a"])
    return cache


@pytest.mark.parametrize("forget", [in_memory, by_the_shelf])
@pytest.mark.parametrize("name", ["llama", "gpt_oss", "falcon_h1"])
def test_what_only_a_deleted_chat_used_is_gone_from_the_disk_and_what_others_share_stays(
    families: dict[str, LoadedModel], tmp_path: Path, name: str, forget: Callable[[Path, PromptCache], PromptCache]
) -> None:
    loaded, root = families[name], tmp_path / "cache"
    cache = forget(root, two_chats(loaded, root))
    for kept in (cache, cache_on(shelf_at(root), loaded)) if forget is in_memory else (cache_on(shelf_at(root), loaded),):
        prompt = [*SHARED, *THEIRS, 11, 12]
        length, layers = kept.take(prompt)
        assert length == 90
        assert close(read(loaded, prompt[90:], layers)[1], read(loaded, prompt)[1])
        mine = kept.lookup([*SHARED, *MINE, 11]).reuse
        assert mine.matched <= 40 + 1
        assert ends(kept) == {"b": 90}
    needles = [MINE[at : at + 4] for at in range(0, len(MINE) - 4)]
    contents = b"".join(file.path.read_bytes() for file in pieces(shelf_at(root).folder))
    assert not any(token_array(needle).tobytes() in contents for needle in needles)
    assert not [path for path in shelf_at(root).folder.glob("*.use") if b'"a"' in path.read_bytes()]


def test_a_chat_moves_to_the_run_it_goes_on_in_and_is_found_there_after_a_restart(llama: LoadedModel, tmp_path: Path) -> None:
    cache = two_chats(llama, tmp_path)
    assert ends(cache) == {"a": 90, "b": 90}
    keep(llama, cache, [*SHARED, *MINE, *MORE], "a", mark=90)
    assert ends(cache) == {"a": 120, "b": 90}
    cache.flush()
    assert ends(cache_on(shelf_at(tmp_path), llama)) == {"a": 120, "b": 90}
    (kept,) = kept_in(tmp_path)
    assert {chat: entry.end for entry in kept.entries for chat in entry.chats} == {"a": 120, "b": 90}


def test_what_requests_without_a_chat_used_stays(llama: LoadedModel, tmp_path: Path) -> None:
    cache = two_chats(llama, tmp_path)
    keep(llama, cache, [*SHARED, *MINE], "")
    cache.forget_chats(["a", "b"])
    assert cache.take([*SHARED, *MINE, 11])[0] == 90
    assert cache.take([*SHARED, *THEIRS, 11])[0] == 40
    assert ends(cache) == {}


def test_forgetting_a_chat_is_not_stopped_by_a_pin_and_frees_its_bytes(llama: LoadedModel, tmp_path: Path) -> None:
    cache = cache_on(shelf_at(tmp_path), llama)
    keep(llama, cache, [*SHARED, *MINE], "a")
    cache.act("pin", cache.look().entries[0].id)
    cache.forget_chats(["a"])
    cache.flush()
    state = cache.look()
    assert (state.entries, state.memory_bytes, state.disk_bytes) == ((), 0, 0)
    assert list(pieces(shelf_at(tmp_path).folder)) == []
    cache.forget_chats(["nobody"])


def test_the_requests_of_a_forgotten_chat_are_no_longer_told(llama: LoadedModel) -> None:
    cache = PromptCache(spell=lambda ids: " ".join(map(str, ids)))
    cache.put([*SHARED, *MINE], read(llama, [*SHARED, *MINE])[0], chat="a")
    cache.lookup([*SHARED, *MINE], Asker("a"))
    cache.lookup([*SHARED, *THEIRS], Asker("b", lambda position: f"at {position}"))
    newest = cache.look().recent[0]
    assert (newest.chat, newest.place, newest.kept_text.split()[0]) == ("b", "at 40", str(MINE[0]))
    cache.forget_chats(["a"])
    (left,) = cache.look().recent
    assert (left.chat, left.kept_text) == ("b", "")


def shelf_of(root: Path) -> Shelf:
    shelf = shelf_at(root)
    shelf.open()
    return shelf


def test_a_shortened_piece_says_so_and_keeps_its_pin(llama: LoadedModel, tmp_path: Path) -> None:
    cache = cache_on(shelf_at(tmp_path), llama)
    cache.put([*SHARED, *MINE], read(llama, [*SHARED, *MINE])[0], chat="a")
    entry = cache.look().entries[0].id
    cache.act("pin", entry)
    cache.close()
    shelf = shelf_of(tmp_path)
    assert shelf.shorten(entry, 40) > 0
    assert shelf.shorten("nobody", 40) == 0
    again = cache_on(shelf_at(tmp_path), llama)
    (kept,) = again.look().entries
    assert (kept.id, kept.end, kept.pinned, kept.where) == (entry, 40, True, "disk")
    assert again.take([*SHARED, 11, 12])[0] == 40


def test_of_a_chat_whose_files_are_all_gone_nothing_is_written_down_any_more(llama: LoadedModel, tmp_path: Path) -> None:
    cache = two_chats(llama, tmp_path)
    cache.act("clear_disk")
    cache.close()
    assert len(list(shelf_at(tmp_path).folder.glob("*.use"))) == 2
    cache_on(shelf_at(tmp_path), llama).flush()
    assert list(shelf_at(tmp_path).folder.glob("*.use")) == []
