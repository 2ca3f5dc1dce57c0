"""The shelves as they lie on disk, without a model: listed, pinned, dropped, cleared; the budget is one for all."""

import os
from pathlib import Path

import pytest

from mlx_harmony.cache_records import CacheEntry
from mlx_harmony.shelf.kept import Shelves, act_on, kept_in
from mlx_harmony.shelf.piece import Head, Part
from mlx_harmony.shelf.shelf import Identity, Shelf, make_room, pieces

BYTES = 1000


def shelf(root: Path, model: str = "/models/a") -> Shelf:
    made = Shelf(root, Identity(model=model, weights=model, format="f", kv="k", numerics="n"), 10**9)
    made.open()
    return made


def keep(on: Shelf, name: str, parent: str, start: int, end: int) -> None:
    """A run, or a state where `start` is negative."""
    run = start >= 0
    tokens = bytes(4 * (end - start)) if run else b""
    part = Part(shape=(BYTES,), dtype="uint8", bytes=BYTES)
    kind, begins = ("run", start) if run else ("state", 0)
    head = Head(id=name, kind=kind, parent=parent, start=begins, end=end, tokens=tokens, text=f"{name} begins", parts=(part,))  # type: ignore[arg-type]
    on.write(head, [memoryview(bytes(BYTES))])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two models; of the first a run, two that go on from it, and a snapshot on one of those."""
    first = shelf(tmp_path / "cache")
    keep(first, "aa", "", 0, 20)
    keep(first, "ab", "aa", 20, 30)
    keep(first, "ac", "aa", 15, 40)
    keep(first, "ad", "ac", -1, 33)
    keep(shelf(tmp_path / "cache", "/models/b"), "ba", "", 0, 10)
    return tmp_path / "cache"


def entries(root: Path) -> dict[str, CacheEntry]:
    return {entry.id: entry for kept in kept_in(root) for entry in kept.entries}


def test_what_is_kept_is_listed_by_model(root: Path) -> None:
    first, second = sorted(kept_in(root), key=lambda kept: kept.identity.model)
    assert (first.identity.model, second.identity.model) == ("/models/a", "/models/b")
    assert {entry.id: (entry.parent, entry.start, entry.end, entry.snapshots) for entry in first.entries} == {
        "aa": ("", 0, 20, ()),
        "ab": ("aa", 20, 30, ()),
        "ac": ("aa", 15, 40, (33,)),
    }
    assert first.bytes == sum(entry.disk_bytes for entry in first.entries) > 4 * BYTES


def test_dropping_takes_what_goes_on_from_it_and_nothing_else(root: Path) -> None:
    assert act_on(root, "drop", "ac") == 2
    assert set(entries(root)) == {"aa", "ab", "ba"}
    assert act_on(root, "drop", "aa", "/models/b") == 0
    assert act_on(root, "drop", "aa") == 2
    assert set(entries(root)) == {"ba"}


def test_pinning_keeps_the_way_there_and_unpinning_frees_the_entry(root: Path) -> None:
    act_on(root, "pin", "ac")
    assert {name for name, entry in entries(root).items() if entry.pinned} == {"aa", "ac"}
    make_room(root, 0)
    assert set(entries(root)) == {"aa", "ac"}
    assert entries(root)["ac"].snapshots == (33,)
    act_on(root, "unpin", "ac")
    make_room(root, 0)
    assert set(entries(root)) == {"aa"}


def test_one_budget_holds_for_all_models_and_the_longest_unused_go_first(root: Path) -> None:
    for order, file in enumerate(sorted((file for folder in root.iterdir() for file in pieces(folder)), key=lambda file: file.id)):
        os.utime(file.path, ns=(order, order))
    total = sum(kept.bytes for kept in kept_in(root))
    make_room(root, total - 1)
    assert set(entries(root)) == {"ab", "ac", "ba"}
    assert sum(kept.bytes for kept in kept_in(root)) <= total - 1


def test_clearing_one_model_leaves_the_other(root: Path) -> None:
    assert act_on(root, "clear", model="/models/a") == 4
    assert set(entries(root)) == {"ba"}
    assert act_on(root, "clear") == 1
    assert kept_in(root) == ()


def test_a_model_that_is_asleep_is_looked_at_on_disk(root: Path) -> None:
    shelves = Shelves(str(root.parent), 5000)
    state = shelves.state_of("/models/a")
    assert (len(state.entries), state.disk_budget, state.memory_bytes) == (3, 5000, 0)
    assert shelves.state_of("/models/a", "clear").entries == ()


def test_a_folder_with_strange_files_is_listed_as_far_as_it_can_be(root: Path) -> None:
    folder = next(folder for folder in root.iterdir() if len(list(pieces(folder))) == 4)
    (folder / "000000005-zz.kv").write_bytes(b"nonsense")
    (folder / "notes.txt").write_text("mine")
    (root / "v1-empty").mkdir()
    (root / "v9-of-the-future").mkdir()
    assert set(entries(root)) == {"aa", "ab", "ac", "ba"}
    (folder / "about.json").write_bytes(b"{")
    assert set(entries(root)) == {"ba"}
