"""`cache`: lists what is on disk, pins, drops and clears it, by ids that may be shortened."""

import json
from pathlib import Path

import msgspec
import pytest

from mlx_harmony.cache_records import CacheEntry
from mlx_harmony.cli.cache_table import cache_lines, in_order
from mlx_harmony.cli.main import main
from mlx_harmony.shelf.kept import kept_in
from mlx_harmony.shelf.shelf import Shelf, pieces
from tests.shelf.test_kept import keep, shelf


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One model with a run and another that goes on from it; the model's folder is there."""
    monkeypatch.setenv("MLX_HARMONY_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "no-cache"))
    (tmp_path / "model").mkdir()
    made = shelf(tmp_path / "cache", str(tmp_path / "model"))
    keep(made, "3f2a" * 8, "", 0, 1200)
    keep(made, "77" * 16, "3f2a" * 8, 1200, 1300)
    return tmp_path / "cache"


def test_the_table_has_a_line_for_each_entry(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache"]) == 0
    title, heading, *rows = capsys.readouterr().out.splitlines()
    assert title.startswith(str(root.parent / "model"))
    assert heading.split() == ["ID", "TOKENS", "SIZE", "USED", "BEGINS"]
    assert {row.split()[0]: row.split()[1] for row in rows} == {"3f2a3f2a3f": "0-1,200", "7777777777": "1,200-1,300"}
    assert all("just now" in row and "begins" in row for row in rows)


def test_without_a_running_program_it_says_that_only_the_disk_is_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache"]) == 0
    assert capsys.readouterr().err == "No MLX Harmony is running here. This is what lies on the disk.\n"
    assert main(["cache", "--json"]) == 0
    assert [shelf["source"] for shelf in json.loads(capsys.readouterr().out)] == ["disk"]


def test_the_form_of_the_keys_and_values_stands_in_the_title(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packed = msgspec.structs.replace(shelf(root, str(root.parent / "model")).identity, kv="KVCache() 8 bits in groups of 64 from 0")
    other = Shelf(root, packed, 10**9)
    other.open()
    keep(other, "ab" * 16, "", 0, 50)
    assert main(["cache"]) == 0
    titles = [line for line in capsys.readouterr().out.splitlines() if line.startswith(str(root.parent / "model"))]
    assert [title.partition(": ")[0].removeprefix(str(root.parent / "model")) for title in sorted(titles)] == [
        ", KV 8 bits in groups of 64 from 0",
        "",
    ]
    assert {(entry.id[:2], entry.kv) for kept in kept_in(root) for entry in kept.entries} == {
        ("3f", ""),
        ("77", ""),
        ("ab", "8 bits in groups of 64 from 0"),
    }


def test_json_has_every_field(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "list", "--json"]) == 0
    (kept,) = json.loads(capsys.readouterr().out)
    assert kept["model"] == str(root.parent / "model")
    assert {entry["id"][:2]: (entry["where"], entry["pinned"]) for entry in kept["entries"]} == {
        "3f": ("disk", False),
        "77": ("disk", False),
    }


def test_what_could_not_be_kept_is_told(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shelf(root, str(root.parent / "model")).note_problem("Not all that was read is on the disk.")
    assert main(["cache"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == "Not all that was read is on the disk."
    assert main(["cache", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["problem"] == "Not all that was read is on the disk."


def test_entries_are_pinned_and_dropped_by_the_beginning_of_their_id(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "pin", "77"]) == 0
    assert all(entry.pinned for kept in kept_in(root) for entry in kept.entries)
    assert "(pinned)" in "\n".join(cache_lines(kept_in(root), 0.0))
    assert main(["cache", "unpin", "77", "--json"]) == 0
    assert main(["cache", "drop", "3f2a"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Pinned 2 files.",
        json.dumps({"action": "unpin", "entry": "77" * 16, "files": 1}),
        "Removed 2 files.",
    ]
    assert kept_in(root) == ()
    assert main(["cache"]) == 0
    assert capsys.readouterr().out == "Nothing is kept on disk.\n"


def test_clearing_takes_all_or_one_model_s(root: Path) -> None:
    assert main(["cache", "clear", "--model", "starter"]) == 0
    assert len(list(pieces(shelf(root, str(root.parent / "model")).folder))) == 2
    assert main(["cache", "clear", "--model", str(root.parent / "model")]) == 0
    assert kept_in(root) == ()


@pytest.mark.parametrize("words", [["pin"], ["drop", "zz"], ["pin", ""]])
def test_an_id_that_names_nothing_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", *words]) == 2
    assert "mlx-harmony cache" in capsys.readouterr().err


def test_entries_stand_below_what_they_go_on_from_further_in_where_the_tree_parts() -> None:
    def entry(name: str, parent: str, used_at: float) -> CacheEntry:
        return CacheEntry(id=name, parent=parent, start=0, end=1, where="disk", used_at=used_at)

    entries = (
        entry("b", "a", 3),
        entry("a", "", 4),
        entry("late", "b", 2),
        entry("old", "b", 1),
        entry("end", "late", 2),
        entry("z", "gone", 9),
    )
    assert [(each.id, depth) for each, depth in in_order(entries)] == [("z", 0), ("a", 0), ("b", 0), ("late", 1), ("end", 1), ("old", 1)]
