"""`models search` and `models download` against a hub on this machine, read as a person and as a program would."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlx_harmony.cli.main import main
from mlx_harmony.cli.models_get import _Meter, duration
from mlx_harmony.jobs.records import JobFile
from mlx_harmony.models.catalog import Places, scan, starter_folder
from tests.cli.conftest import Recorded
from tests.fixtures.hub_server import HubServer
from tests.fixtures.server import INTERRUPTIBLE

WEIGHTS = "model-00001-of-00003.safetensors"


@pytest.fixture
def hub(fx1: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer() as server:
        server.add_folder("org/Tiny-4bit", fx1, downloads=1234, tags=["mlx", "license:mit"], safetensors={"parameters": {"F32": 131_000}})
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setenv("MLX_HARMONY_HOME", str(tmp_path / "home"))
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        yield server


def test_a_search_is_a_table(hub: HubServer, capsys: pytest.CaptureFixture[str]) -> None:
    hub.add("org/Tiny-gated", {}, downloads=1, tags=["mlx"], gated="auto")
    hub.models["org/Tiny-gated"].gated = "auto"
    assert main(["models", "search", "tiny"]) == 0
    heading, first, second = capsys.readouterr().out.splitlines()
    assert heading.split() == ["MODEL", "SIZE", "WEIGHTS", "BITS", "FITS", "LICENCE", "DOWNLOADS", "CHANGED"]
    assert first.split() == ["org/Tiny-4bit", "524.0", "kB", "131k", "4", "yes", "mit", "1,234"]
    assert second.endswith("(its licence must be accepted first)")


def test_a_search_is_json_for_programs(hub: HubServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "search", "--json", "--limit", "1", "tiny"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["id"], row["bytes"], row["mlx"], row["fit"]["verdict"]) == ("org/Tiny-4bit", 524_000, True, "fits")


def test_nothing_found_is_said_in_words(hub: HubServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "search", "zebra"]) == 0
    assert capsys.readouterr().out == "Nothing was found on the hub.\n"


def test_a_download_ends_with_a_model_that_is_listed(hub: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "download", "org/Tiny-4bit"]) == 0
    said = capsys.readouterr()
    assert "licence   mit" in said.out and "100 %" in said.err and "org/Tiny-4bit is here: " in said.out
    assert "\x1b" not in said.err and "\r" not in said.err, "no control codes where nobody watches"
    (entry,) = [each for each in scan(Places(starter=starter_folder(), hub_cache=tmp_path / "hub")) if each.source == "hub_cache"]
    assert entry.id == "org/Tiny-4bit" and not entry.problem and entry.path in said.out
    assert main(["models", "download", "org/Tiny-4bit", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["id"], told["path"], told["files"]) == ("org/Tiny-4bit", entry.path, 8)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["download", "org/Nothing"], 1, "has no model 'org/Nothing'"),
        (["download", "../x"], 2, "no model's id"),
        (["download", "org/Tiny-4bit", "--revision", "v9"], 2, "no revision 'v9'"),
        (["search", "x", "--limit", "0"], 2, "limit must be from 1 to 100"),
    ],
)
def test_what_cannot_be_is_said(words: list[str], code: int, said: str, hub: HubServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", *words]) == code
    assert said in capsys.readouterr().err


def test_offline_is_said(hub: HubServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert main(["models", "search", "x"]) == 1
    assert "HF_HUB_OFFLINE is set" in capsys.readouterr().err and hub.requests == []


def test_a_gated_model_shows_the_way(hub: HubServer, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    hub.models["org/Tiny-4bit"].gated = "manual"
    assert main(["models", "download", "org/Tiny-4bit"]) == 1
    assert f"{hub.address}/org/Tiny-4bit" in capsys.readouterr().err and not (tmp_path / "hub").exists()


def test_who_says_no_gets_nothing(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Person(io.StringIO):
        def isatty(self) -> bool:
            return True

    for typed in ("n\n", ""):
        monkeypatch.setattr("sys.stdin", Person(typed))
        monkeypatch.setattr("sys.stderr", Person())
        assert main(["models", "download", "org/Tiny-4bit"]) == 1
        assert not (tmp_path / "hub").exists()
    monkeypatch.setattr("sys.stdin", Person("\n"))
    assert main(["models", "download", "org/Tiny-4bit"]) == 0


def test_a_person_sees_one_line_that_is_rewritten(screen: Recorded, pipe: Recorded) -> None:
    for terminal, rewritten in ((screen, True), (pipe, False)):
        meter = _Meter(terminal)
        for done in (0, 50, 50, 100):
            meter.note(JobFile(name="a", done_bytes=done, total_bytes=100), note="It waits.\x1b[2J" if done == 50 else "")
            meter.show()
        meter.clear()
        said = terminal.err.getvalue()
        assert ("\r\x1b[K" in said) is rewritten and "\x1b[2J" not in said
        assert "50 %  50 B of 100 B" in said and "It waits." in said
    assert len(pipe.err.getvalue().splitlines()) == 3


@pytest.mark.parametrize(("seconds", "words"), [(5, "5 s"), (59.6, "60 s"), (600, "10 min"), (3660, "1 h 1 min")])
def test_times_are_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def half_of(hub: HubServer, home: Path) -> Path:
    """Where the weights are while they are not whole."""
    content = next(iter(hub.models["org/Tiny-4bit"].commits.values()))[WEIGHTS]
    return home / "hub/models--org--Tiny-4bit/blobs" / f"{hashlib.sha256(content).hexdigest()}.incomplete"


def started(hub: HubServer, *words: str, home: Path) -> "subprocess.Popen[str]":
    """The command in a process of its own, once the weights hang in the middle."""
    hub.trouble(WEIGHTS, stall_after=100_000, times=1)
    command = [sys.executable, "-c", INTERRUPTIBLE, sys.executable, "-m", "mlx_harmony", "models", "download", "org/Tiny-4bit", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert hub.troubles[WEIGHTS].stalled.wait(60)
    deadline = time.monotonic() + 20
    while not (half := half_of(hub, home)).exists() or half.stat().st_size < 65_000:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


@pytest.mark.integration
def test_an_interrupted_download_is_paused_and_goes_on(hub: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    process = started(hub, home=tmp_path)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert (process.returncode, said.splitlines()[-1:]) == (130, ["Paused: what has come is kept. Run the same command again to go on."])
    again(hub, tmp_path, capsys)


@pytest.mark.integration
def test_a_killed_download_goes_on(hub: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    process = started(hub, home=tmp_path)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=20)
    again(hub, tmp_path, capsys)


def again(hub: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same command brings the rest, and no byte a second time."""
    content = next(iter(hub.models["org/Tiny-4bit"].commits.values()))[WEIGHTS]
    kept = half_of(hub, tmp_path).stat().st_size
    sent = hub.sent[WEIGHTS]
    assert 65_000 <= kept <= sent == 100_000
    assert main(["models", "download", "org/Tiny-4bit"]) == 0
    assert hub.sent[WEIGHTS] == sent + len(content) - kept
    assert "of it here already" in capsys.readouterr().out
    assert list(tmp_path.rglob("*.incomplete")) == []
