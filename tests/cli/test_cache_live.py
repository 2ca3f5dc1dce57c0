"""`cache` where a program runs on this home: its memory, its hits and its latest prompts are told of, and it is the one that is changed."""

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from mlx_harmony.cache_reasons import explained
from mlx_harmony.cache_records import CacheRequest, CacheState, Reuse
from mlx_harmony.cli.main import main
from tests.api.serving import Options
from tests.cli.test_models_live import Program
from tests.fixtures.kept import STATE


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Program]:
    """The Starter is loaded and keeps something."""
    monkeypatch.setenv("MLX_HARMONY_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "no-cache"))
    monkeypatch.delenv("MLX_HARMONY_API_KEY", raising=False)
    with Program(tmp_path, Options()) as started:
        assert main(["models", "load", "starter"]) == 0
        assert started.server is not None
        started.server.engine.kept = msgspec.structs.replace(
            STATE, entries=tuple(msgspec.structs.replace(entry, kv="8 bits in groups of 64 from 0") for entry in STATE.entries[:2])
        )
        yield started


def test_the_program_tells_what_came_of_it(program: Program, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["cache"]) == 0
    written = capsys.readouterr()
    title, rate, saved, room, heading, *rows = written.out.splitlines()
    assert (written.err, title) == ("", "starter: loaded")
    assert rate == "Hit rate 86%: 12 of 14 prompts"
    assert saved == "Saved 13,880 of 15,204 tokens (91%), about 12.4 s of reading"
    assert room == "6.0 MB of 2.0 GB in memory, 6.0 MB of 10.0 GB on disk"
    assert heading.split() == ["ID", "TOKENS", "SIZE", "KEPT", "USED", "BEGINS"]
    assert all("memory" in row and "[KV 8 bits in groups of 64 from 0]" in row for row in rows[:2])
    assert rows[2] == "Latest prompts"
    assert [row.split("  ")[-1].strip() for row in rows[4:]] == [explained(request) for request in STATE.recent]
    assert "1,200 of 1,240" in rows[4]


def test_json_has_the_same_and_more(program: Program, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["cache", "--json", "--model", "starter"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["id"], told["source"], told["loaded"], told["hit_rate"]) == ("starter", "program", True, STATE.hit_rate)
    assert set(CacheState.__struct_fields__) <= told.keys()
    assert [(one["reuse"]["reason"], one["why"]) for one in told["recent"]] == [(one.reuse.reason, explained(one)) for one in STATE.recent]
    assert {entry["kv"] for entry in told["entries"]} == {"8 bits in groups of 64 from 0"}


def test_what_is_only_in_the_program_s_memory_is_pinned_and_dropped_there(program: Program, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["cache", "pin", "root"]) == 0
    assert main(["cache", "drop", "turn", "--json"]) == 0
    assert main(["cache", "drop", "turn"]) == 2
    assert main(["cache", "clear"]) == 0
    assert program.server is not None
    assert [act for act in program.server.engine.acts if act[0] != "look"] == [("pin", "root"), ("drop", "turn"), ("clear", "")]
    assert capsys.readouterr().out.splitlines() == [
        "Pinned 1 entry.",
        json.dumps({"action": "drop", "entry": "turn", "entries": 1}),
        "Removed 1 entry.",
    ]


def test_what_is_not_on_disk_yet_is_saved_elsewhere(program: Program, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "save", "root", str(tmp_path / "a.kv")]) == 2
    assert "No entry begins with 'root' on disk.\nWhat is only in memory is saved in the Cache tab." in capsys.readouterr().err


def test_what_is_not_understood_is_refused(program: Program) -> None:
    import httpx

    assert program.server is not None
    for body in ({"model": "starter", "action": "look"}, {"model": "starter"}, {"action": "pin"}):
        assert httpx.post(f"{program.server.url}/v1/caches", json=body).status_code == 400
    assert httpx.post(f"{program.server.url}/v1/caches", json={"model": "nobody", "action": "clear"}).status_code == 404


def test_a_program_with_a_key_that_is_not_given_leaves_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLX_HARMONY_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "no-cache"))
    with Program(tmp_path, Options(key_hashes=("0" * 64,))):
        assert main(["cache"]) == 0
    written = capsys.readouterr()
    assert written.out == "Nothing is kept on disk.\n"
    assert "MLX_HARMONY_API_KEY" in written.err and written.err.endswith("This is what lies on the disk.\n")


def test_a_loaded_model_that_read_nothing_yet_says_so(program: Program, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.server is not None
    program.server.engine.kept = CacheState(memory_budget=10**9, recent=(CacheRequest(at=0.0, reuse=Reuse(prompt=3)),))
    capsys.readouterr()
    assert main(["cache"]) == 0
    assert capsys.readouterr().out.splitlines()[1:3] == ["No prompt was read yet.", "0 B of 1.0 GB in memory, 0 B on disk"]
