"""An entry saved to a file and loaded elsewhere: the saved tokens need no reading, the logits are those of a fresh reading."""

from pathlib import Path

import pytest

from mlx_harmony.errors import InvalidRequest
from mlx_harmony.shelf.bundle import read_bundle
from mlx_harmony.worker.cache.layers import divisible
from mlx_harmony.worker.cache.moving import save, whole
from mlx_harmony.worker.load import LoadedModel
from mlx_harmony.worker.prompt_cache import PromptCache
from tests.worker.cache.reading import cache_on, close, read, shelf_at, tokens

COMMON, MINE, OTHERS = tokens(40), tokens(30, seed=1), tokens(30, seed=2)


def filled(loaded: LoadedModel, cache: PromptCache) -> PromptCache:
    """Two prompts that begin the same: the second hangs in the middle of the first where caches can be cut."""
    layers, _ = read(loaded, COMMON)
    cache.put(COMMON, layers)
    cache.put([*COMMON, *OTHERS], read(loaded, OTHERS, layers)[0])
    length, layers = cache.take([*COMMON, *MINE])
    assert length == 40
    cache.put([*COMMON, *MINE], read(loaded, MINE, layers)[0])
    return cache


def leaf(cache: PromptCache) -> str:
    """The entry of the second prompt."""
    return max((entry for entry in cache.look().entries if entry.end == 70), key=lambda entry: entry.used_at).id


def saved(cache: PromptCache, path: Path, *, replace: bool = False) -> int:
    steps, shelf = cache.way_to(leaf(cache))
    return save(steps, shelf, shelf_at(path.parent).identity, path, replace=replace).tokens


def fresh(loaded: LoadedModel) -> PromptCache:
    cache = PromptCache()
    cache.know_shapes(loaded.model.make_cache() if hasattr(loaded.model, "make_cache") else read(loaded, [9])[0])
    return cache


@pytest.mark.parametrize("on_disk", [True, False])
def test_an_entry_is_loaded_elsewhere_and_nothing_of_it_is_read_again(family: LoadedModel, tmp_path: Path, on_disk: bool) -> None:
    cache = filled(family, cache_on(shelf_at(tmp_path / "old"), family) if on_disk else PromptCache())
    if on_disk:
        cache.flush()
        cache.act("clear_memory")
    assert saved(cache, tmp_path / "saved.kv") == 70
    assert oct((tmp_path / "saved.kv").stat().st_mode)[-3:] == "600"
    other = fresh(family)
    other.take_in(whole(tmp_path / "saved.kv", read_bundle(tmp_path / "saved.kv")))
    prompt = [*COMMON, *MINE, 11, 12, 13]
    length, layers = other.take(prompt)
    assert length == 70
    assert close(read(family, prompt[70:], layers)[1], read(family, prompt)[1])
    theirs = [*COMMON, *OTHERS, 11]
    length, layers = other.take(theirs)
    assert length == 40, "what another prompt went on with does not travel"
    assert close(read(family, theirs[40:], layers)[1], read(family, theirs)[1])


def test_a_file_joins_what_is_there(family: LoadedModel, tmp_path: Path) -> None:
    saved(filled(family, PromptCache()), tmp_path / "saved.kv")
    cache = cache_on(shelf_at(tmp_path / "new"), family)
    layers, _ = read(family, COMMON)
    cache.put(COMMON, layers)
    before = cache.bytes
    for _ in range(2):
        cache.take_in(whole(tmp_path / "saved.kv", read_bundle(tmp_path / "saved.kv")))
        assert cache.take([*COMMON, *MINE, 11])[0] == 70
    if divisible(layers):
        assert cache.bytes < before * 2
    cache.flush()
    assert cache_on(shelf_at(tmp_path / "new"), family).take([*COMMON, *MINE, 11])[0] == 70


def test_a_file_for_which_there_is_no_room_or_that_does_not_fit_is_refused(
    llama: LoadedModel, gpt_oss: LoadedModel, tmp_path: Path
) -> None:
    saved(filled(llama, PromptCache()), tmp_path / "saved.kv")
    loaded = whole(tmp_path / "saved.kv", read_bundle(tmp_path / "saved.kv"))
    small = PromptCache(1000)
    small.know_shapes(read(llama, [9])[0])
    with pytest.raises(InvalidRequest, match="no room"):
        small.take_in(loaded)
    with pytest.raises(InvalidRequest, match="not those of this model"):
        fresh(gpt_oss).take_in(loaded)
    with pytest.raises(InvalidRequest, match="no such entry"):
        fresh(llama).way_to("zz")


def test_an_entry_of_which_nothing_is_left_is_not_saved(llama: LoadedModel) -> None:
    cache = filled(llama, PromptCache())
    name = leaf(cache)
    cache.act("clear_memory")
    with pytest.raises(InvalidRequest, match="evicted"):
        cache.way_to(name)
