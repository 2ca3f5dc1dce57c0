"""What is on disk is believed only where every bit of it is right; a process may be killed while it writes; the budget holds."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlx_harmony.records import LoadOptions
from mlx_harmony.shelf.shelf import pieces
from mlx_harmony.worker.cache.opening import open_cache
from mlx_harmony.worker.load import LoadedModel
from mlx_harmony.worker.prompt_cache import PromptCache
from tests.worker.cache.reading import cache_on, close, read, shelf_at, tokens

PROMPT = tokens(60)
BEFORE = "What is kept of this model was read before its {} changed."


@pytest.fixture(params=["llama", "gpt_oss"])
def loaded(request: pytest.FixtureRequest) -> LoadedModel:
    model: LoadedModel = request.getfixturevalue(request.param)
    return model


def fill(loaded: LoadedModel, root: Path, *lengths: int) -> list[Path]:
    """Keep the prompt's first tokens on disk; the files, shortest prefix first."""
    cache, layers = cache_on(shelf_at(root), loaded), None
    for start, end in zip((0, *lengths), lengths, strict=False):
        layers, _ = read(loaded, PROMPT[start:end], layers)
        cache.put(PROMPT[:end], layers)
    cache.flush()
    return sorted(file.path for file in pieces(shelf_at(root).folder))


def again(loaded: LoadedModel, root: Path, **parts: str) -> PromptCache:
    return cache_on(shelf_at(root, **parts), loaded)


def answered_as_ever(loaded: LoadedModel, cache: PromptCache) -> str:
    """Whatever the disk gave: the logits are those of a fresh reading. Returns the reason of the look-up."""
    taken = cache.lookup(PROMPT)
    assert close(read(loaded, PROMPT[taken.length :], taken.layers)[1], read(loaded, PROMPT)[1])
    return taken.reuse.reason


@pytest.mark.parametrize("place", [0.0, 0.01, 0.05, 0.3, 0.6, 0.99])
def test_a_flipped_bit_is_a_miss_and_never_a_wrong_answer(loaded: LoadedModel, tmp_path: Path, place: float) -> None:
    for path in fill(loaded, tmp_path, 50):
        data = bytearray(path.read_bytes())
        data[int(place * (len(data) - 1))] ^= 16
        path.write_bytes(data)
    cache = again(loaded, tmp_path)
    assert answered_as_ever(loaded, cache) in ("damaged", "nothing")
    assert cache.look().tokens_reused == 0
    cache.flush()
    assert list(pieces(shelf_at(tmp_path).folder)) == []


def test_a_damaged_piece_costs_itself_and_the_shorter_prefix_serves(loaded: LoadedModel, tmp_path: Path) -> None:
    fill(loaded, tmp_path, 20, 50)
    for file in pieces(shelf_at(tmp_path).folder):
        if file.end == 50:
            file.path.write_bytes(file.path.read_bytes()[:-1] + b"\0")
    taken = again(loaded, tmp_path).lookup(PROMPT)
    assert (taken.length, taken.reuse.reason) == (20, "damaged")
    assert "damaged" in taken.reuse.detail
    assert close(read(loaded, PROMPT[20:], taken.layers)[1], read(loaded, PROMPT)[1])


@pytest.mark.parametrize("keep", [0, 3, 11, 200, -1])
def test_a_file_that_was_cut_short_is_taken_out_and_said(loaded: LoadedModel, tmp_path: Path, keep: int) -> None:
    for path in fill(loaded, tmp_path, 50):
        path.write_bytes(path.read_bytes()[:keep])
    cache = again(loaded, tmp_path)
    assert cache.look().problem
    assert answered_as_ever(loaded, cache) == "nothing"


@pytest.mark.parametrize(
    ("part", "said"), [("weights", "weights"), ("format", "chat template or tokenizer"), ("kv", "KV format"), ("adapter", "adapter")]
)
def test_what_another_model_read_is_not_used_and_the_difference_is_told(loaded: LoadedModel, tmp_path: Path, part: str, said: str) -> None:
    fill(loaded, tmp_path, 50)
    reuse = again(loaded, tmp_path, **{part: "changed"}).lookup(PROMPT).reuse
    assert (reuse.reused, reuse.reason, reuse.detail) == (
        0,
        "other_model",
        BEFORE.format(said),
    )
    assert again(loaded, tmp_path).lookup(PROMPT).length == 50


def test_a_file_under_another_s_name_and_one_without_its_beginning_are_taken_out(loaded: LoadedModel, tmp_path: Path) -> None:
    short, *_, long = fill(loaded, tmp_path, 20, 50)
    short.unlink()
    long.rename(long.with_name("000000050-0123456789abcdef0123456789abcdef.kv"))
    cache = again(loaded, tmp_path)
    cache.flush()
    assert answered_as_ever(loaded, cache) in ("nothing", "new", "boundary")
    assert cache.look().tokens_reused == 0


def test_only_we_may_read_what_is_kept(loaded: LoadedModel, tmp_path: Path) -> None:
    files = fill(loaded, tmp_path / "cache", 50)
    assert {path.stat().st_mode & 0o777 for path in (*files, files[0].parent / "about.json")} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "cache", files[0].parent)} == {0o700}


def test_the_disk_keeps_within_its_budget_and_the_longest_unused_go(loaded: LoadedModel, tmp_path: Path) -> None:
    size = sum(path.stat().st_size for path in fill(loaded, tmp_path / "one", 50))
    cache = cache_on(shelf_at(tmp_path, int(3.5 * size)), loaded)
    for seed in range(6):
        prompt = tokens(50, seed=seed)
        cache.put(prompt, read(loaded, prompt)[0])
        cache.flush()
        if seed == 2:
            cache.take([*tokens(50, seed=0), 9])
            cache.flush()
    assert sum(file.bytes for file in pieces(shelf_at(tmp_path).folder)) <= int(3.5 * size)
    after = cache_on(shelf_at(tmp_path, int(3.5 * size)), loaded)
    assert [after.take([*tokens(50, seed=seed), 9])[0] for seed in range(6)] == [0, 0, 0, 50, 50, 50]


@pytest.mark.parametrize("budget", [0, 2000])
def test_what_memory_has_no_room_for_still_goes_to_the_disk(loaded: LoadedModel, tmp_path: Path, budget: int) -> None:
    cache = cache_on(shelf_at(tmp_path), loaded, budget)
    assert cache.put(PROMPT[:50], read(loaded, PROMPT[:50])[0])
    assert cache.bytes <= budget
    cache.flush()
    assert cache.lookup(PROMPT).reuse.disk == 50
    assert cache.bytes <= budget
    assert answered_as_ever(loaded, again(loaded, tmp_path)) == "new"


def test_what_is_pinned_outlives_the_budget_and_a_restart(loaded: LoadedModel, tmp_path: Path) -> None:
    size = sum(path.stat().st_size for path in fill(loaded, tmp_path, 50))
    cache = cache_on(shelf_at(tmp_path, int(2.5 * size)), loaded)
    (entry,) = cache.look().entries
    cache.act("pin", entry.id)
    for seed in range(1, 6):
        prompt = tokens(50, seed=seed)
        cache.put(prompt, read(loaded, prompt)[0])
    cache.flush()
    after = cache_on(shelf_at(tmp_path, int(2.5 * size)), loaded)
    assert after.take(PROMPT)[0] == 50
    assert {entry.id for entry in after.look().entries if entry.pinned} == {entry.id}


def test_a_disk_that_cannot_be_written_costs_the_disk_only(loaded: LoadedModel, tmp_path: Path) -> None:
    cache = cache_on(shelf_at(tmp_path), loaded)
    folder = shelf_at(tmp_path).folder
    (folder / "about.json").unlink()
    folder.rmdir()
    folder.write_text("in the way")
    cache.put(PROMPT[:50], read(loaded, PROMPT[:50])[0])
    cache.flush()
    assert "could not be written" in cache.look().problem
    assert cache.lookup(PROMPT).reuse.memory == 50


def test_a_folder_that_cannot_be_made_leaves_the_memory_tier(llama: LoadedModel, fx1: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("in the way")
    options = LoadOptions(path=str(fx1), cache_folder=str(tmp_path / "cache"), cache_disk_bytes=10**6)
    cache = open_cache(llama, options)
    cache.put(PROMPT[:50], read(llama, PROMPT[:50])[0])
    assert cache.take(PROMPT)[0] == 50


def test_what_a_killed_process_left_half_written_is_never_used(llama: LoadedModel, tmp_path: Path) -> None:
    for round_ in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-m", "tests.fixtures.cache_writer", str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[3],
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        time.sleep(0.05 * (round_ + 1))
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        shelf = shelf_at(tmp_path)
        found = shelf.open()
        assert shelf.problems == []
        assert found
        for head, _ in found:
            shelf.read(head.id)


def test_the_identity_of_a_model_changes_with_its_weights_and_its_template(llama: LoadedModel, fx1: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "model"
    shutil.copytree(fx1, folder)
    options = LoadOptions(path=str(folder), cache_folder=str(tmp_path / "cache"), cache_disk_bytes=10**8)
    cache = open_cache(llama, options)
    cache.put(PROMPT[:50], read(llama, PROMPT[:50])[0])
    cache.close()
    assert open_cache(llama, options).take(PROMPT)[0] == 50
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    assert open_cache(llama, options).lookup(PROMPT).reuse.detail == BEFORE.format("chat template or tokenizer")
    weights = next(folder.glob("model*.safetensors"))
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    assert "weights" in open_cache(llama, options).lookup(PROMPT).reuse.detail
