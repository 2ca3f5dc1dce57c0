"""`models delete` and `models trash`: exact ids and bytes, a question that only a yes passes, and the way back."""

import json
import shutil
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from os import getpid
from pathlib import Path

import pytest

from mlx_harmony.cli.main import main
from mlx_harmony.cli.models_table import size
from tests.api.serving import Options
from tests.cli.conftest import Stream
from tests.cli.test_models_live import Program as Serving
from tests.fixtures.hub_cache import HubCache, disk_use, tree
from tests.models.test_holdings import two_revisions

OLD, NEW = "1" * 40, "2" * 40


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, fx1: Path, monkeypatch: pytest.MonkeyPatch) -> HubCache:
    monkeypatch.setenv("MLX_HARMONY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("MLX_HARMONY_API_KEY", raising=False)
    made = two_revisions(tmp_path / "hub")
    made.revision("org/A", OLD, {file.name: file.read_bytes() for file in fx1.iterdir()})
    return made


def ids(capsys: pytest.CaptureFixture[str]) -> set[str]:
    capsys.readouterr()
    assert main(["models", "--json"]) == 0
    return {model["id"] for model in json.loads(capsys.readouterr().out)}


def asked(monkeypatch: pytest.MonkeyPatch, answer: str, *, person: bool = True) -> None:
    stdin = Stream(person=person)
    stdin.write(answer)
    stdin.seek(0)
    monkeypatch.setattr(sys, "stdin", stdin)


def test_a_model_goes_and_comes_back(cache: HubCache, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, others, bytes_of = tree(cache.root), tree(cache.repository("org/B")), disk_use(cache.repository("org/A"))
    assert main(["models", "delete", "org/A", "--yes"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == f"org/A  {size(bytes_of)} ({bytes_of:,} bytes)" and out[1].startswith(
        f"Together {size(bytes_of)} ({bytes_of:,} bytes)"
    )
    assert not cache.repository("org/A").exists() and "org/A" not in ids(capsys) and tree(cache.repository("org/B")) == others
    assert main(["models", "trash"]) == 0
    listed = capsys.readouterr().out
    assert f"org/A  {size(bytes_of)}" in listed and str(bytes_of) in listed.replace(",", "")
    assert main(["models", "trash", "restore", "org/A"]) == 0
    assert tree(cache.root) == before and "org/A" in ids(capsys)


def test_freed_is_what_was_promised_to_the_byte(cache: HubCache, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = disk_use(tmp_path)
    assert main(["models", "delete", f"org/B@{OLD}", "org/A", "--dry-run", "--json"]) == 0
    promised = json.loads(capsys.readouterr().out)
    assert promised["deleted"] is False and disk_use(tmp_path) == before
    assert promised["free_bytes_after"] - promised["free_bytes_before"] == promised["freed_bytes"]
    assert main(["models", "delete", f"org/B@{OLD}", "org/A", "--yes", "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["deleted"] is True and done["freed_bytes"] == promised["freed_bytes"] and len(done["trash"]) == 2
    assert main(["models", "trash", "empty", "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["freed_bytes"] == promised["freed_bytes"]
    assert abs(before - disk_use(tmp_path) - promised["freed_bytes"]) <= promised["freed_bytes"] * 0.01


def test_for_good_frees_at_once(cache: HubCache, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, takes = disk_use(tmp_path), disk_use(cache.repository("org/A"))
    assert main(["models", "delete", "org/A", "--for-good", "--yes"]) == 0
    assert before - disk_use(tmp_path) == takes and f"Deleted; {size(takes)} are free again." in capsys.readouterr().out
    assert main(["models", "trash"]) == 0
    assert capsys.readouterr().out == "The trash is empty.\n"


@pytest.mark.parametrize(("answer", "person"), [("", True), ("n\n", True), ("\n", True), ("no\n", True), ("", False), ("y\n", False)])
@pytest.mark.parametrize("words", [["delete", "org/A"], ["delete", "org/A", "--for-good"], ["trash", "empty"]])
def test_without_a_yes_nothing_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], answer: str, person: bool
) -> None:
    assert main(["models", "delete", f"org/B@{OLD}", "--yes"]) == 0
    before = tree(tmp_path)
    capsys.readouterr()
    asked(monkeypatch, answer, person=person)
    assert main(["models", *words]) == 1
    assert "Nothing was deleted" in capsys.readouterr().err and tree(tmp_path) == before


@pytest.mark.parametrize("answer", ["y\n", "Yes\n", "y"])
def test_a_yes_at_the_terminal_will_do(
    cache: HubCache, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str
) -> None:
    asked(monkeypatch, answer)
    assert main(["models", "delete", "org/A"]) == 0
    assert "Move these to the trash? [y/N]" in capsys.readouterr().err and not cache.repository("org/A").exists()


def test_half_downloads_and_left_over_revisions_go_by_their_flags(cache: HubCache, capsys: pytest.CaptureFixture[str]) -> None:
    half = cache.incomplete("org/A", 7_000)
    (cache.repository("org/A") / "refs" / "main").unlink()
    assert main(["models", "delete", "--incomplete", "--detached", "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {item["id"]: (item["revisions"], item["freed_bytes"]) for item in told["items"]} == {
        "org/A": ([], 7_000),
        "org/B": ([OLD], 30_100),
    }, "a model downloaded by its commit is no left-over"
    assert main(["models", "delete", "org/A", "--incomplete", "--yes"]) == 0
    assert not half.exists() and (cache.repository("org/B") / "snapshots" / OLD).exists() and "org/A" in ids(capsys)
    assert main(["models", "delete", "--incomplete", "--yes"]) == 0
    assert "no half downloads" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "Nothing is named"),
        (["org/Z"], 1, "There is no 'org/Z'"),
        (["../hub"], 1, "There is no"),
        (["org/A@"], 1, "There is no"),
        (["org/A@..", "org/B"], 2, "no revision '..'"),
        (["starter"], 2, "comes with the program"),
        (["org/A@main", "--detached"], 2, "whole models"),
        (["org/Z", "--incomplete"], 1, "There is no 'org/Z'"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, said: str) -> None:
    before = tree(tmp_path / "hub")
    assert main(["models", "delete", *words, "--yes"]) == code
    assert said in capsys.readouterr().err and tree(tmp_path / "hub") == before


def test_the_trash_says_what_it_does_not_know_and_what_is_in_the_way(cache: HubCache, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "delete", "org/A", f"org/B@{OLD}", "--yes"]) == 0
    assert main(["models", "delete", "org/B", "--yes"]) == 0
    capsys.readouterr()
    for words, said in ((["restore"], "Nothing is named"), (["restore", "../x"], "is called"), (["empty", "org/B"], "2 things")):
        assert main(["models", "trash", *words, "--yes"]) == 2
        assert said in capsys.readouterr().err
    cache.revision("org/A", OLD, {"config.json": b"{}"})
    assert main(["models", "trash", "restore", "org/A"]) == 2
    assert "is there again" in capsys.readouterr().err
    assert main(["models", "trash"]) == 0
    assert "is there again" in capsys.readouterr().out


class Program(BaseHTTPRequestHandler):
    """The API of a running program, as far as it is asked."""

    busy = False
    unloaded: list[str]

    def do_GET(self) -> None:
        self._answer(200, {"data": [{"id": "org/A", "loaded": True}, {"id": "org/B", "loaded": False}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.path == "/v1/models/unload"
        if self.busy:
            self._answer(400, {"error": {"message": "The model org/A is busy: it is answering.", "code": "invalid_request"}})
        else:
            self.unloaded.append(body["model"])
            self._answer(200, {})

    def _answer(self, status: int, told: dict[str, object]) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(told).encode())

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[type[Program]]:
    kind = type("Own", (Program,), {"unloaded": []})
    with HTTPServer(("127.0.0.1", 0), kind) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        (tmp_path / "home").mkdir()
        (tmp_path / "home" / "server.json").write_text(json.dumps({"address": f"http://127.0.0.1:{server.server_port}", "pid": getpid()}))
        yield kind
        server.shutdown()
        thread.join()


def test_of_what_the_program_has_loaded_only_that_is_unloaded(
    program: type[Program], cache: HubCache, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "delete", "org/A", "org/B", "--yes"]) == 0
    assert program.unloaded == ["org/A"] and "Unloaded org/A" in capsys.readouterr().err
    assert not cache.repository("org/A").exists()


def test_a_loaded_model_is_unloaded_first_in_the_running_program(tmp_path: Path, fx1: Path, capsys: pytest.CaptureFixture[str]) -> None:
    little = tmp_path / "mine" / "little"
    shutil.copytree(fx1, little)
    with Serving(tmp_path / "home", Options(models_dirs=(str(tmp_path / "mine"),))) as running:
        assert main(["models", "load", "little"]) == 0
        assert main(["models", "delete", "little", "--models-dir", str(tmp_path / "mine"), "--yes"]) == 0
        assert running.server is not None and not any(state.phase == "awake" for state in running.server.service.model_states())
    assert "Unloaded little" in capsys.readouterr().err and not little.exists()


def test_a_model_that_answers_there_is_not_deleted_underneath(
    program: type[Program], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program.busy = True
    before = tree(tmp_path / "hub")
    assert main(["models", "delete", "org/A", "--yes"]) == 1
    told = capsys.readouterr().err
    assert "it is answering" in told and "Stop that first" in told and tree(tmp_path / "hub") == before


@pytest.mark.parametrize("content", ["", "[]", '{"address": "http://127.0.0.1:9", "pid": 1}'])
def test_what_says_nothing_of_a_running_program_stops_nothing(tmp_path: Path, cache: HubCache, content: str) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "server.json").write_text(content)
    assert main(["models", "delete", "org/A", "--yes"]) == 0
    assert not cache.repository("org/A").exists()


def test_a_disk_that_fails_is_told_and_leaves_everything(cache: HubCache, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = tree(cache.root)
    (tmp_path / "home").write_text("no folder")
    assert main(["models", "delete", "org/A", "--yes"]) == 1
    assert "could not" in capsys.readouterr().err and tree(cache.root) == before
