"""`models load|unload|pin|use` in a terminal: they reach the running program, and without one say what to do."""

import asyncio
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlx_harmony.cli import presence
from mlx_harmony.cli.flags import chosen_settings
from mlx_harmony.cli.main import build_parser, main
from mlx_harmony.cli.models_live import run
from mlx_harmony.cli.presence import SERVER_FILE, present, running
from mlx_harmony.engine.protocols import ModelState
from mlx_harmony.errors import InvalidRequest, OutOfMemory, Unavailable
from mlx_harmony.records import ModelCard, ModelEntry
from mlx_harmony.settings import load_settings
from tests.api.serving import Options, Serving, serving
from tests.cli.conftest import Recorded
from tests.fixtures.provider import ScriptedProvider
from tests.fixtures.server import INTERRUPTIBLE, Running, alive
from tests.fixtures.server import serving as serving_for_real


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLX_HARMONY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "no-cache"))
    monkeypatch.delenv("MLX_HARMONY_API_KEY", raising=False)
    return tmp_path / "home"


@pytest.fixture
def folder(tmp_path: Path, fx1: Path) -> Path:
    shutil.copytree(fx1, tmp_path / "mine" / "little")
    return tmp_path / "mine"


class Program:
    """A server with scripted models in a thread of its own, written down in the home as `serve` does it."""

    def __init__(self, home: Path, options: Options) -> None:
        self.home = home
        self.options = options
        self.server: Serving | None = None
        self._up = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))

    def __enter__(self) -> "Program":
        self._thread.start()
        assert self._up.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(20)
        self._loop.close()

    async def _run(self) -> None:
        async with serving(self.home, self.options) as self.server:
            with present(str(self.home), self.server.url):
                self._up.set()
                await self._over.wait()


@pytest.fixture
def program(home: Path, folder: Path) -> Iterator[Program]:
    with Program(home, Options(models_dirs=(str(folder),))) as started:
        yield started


def test_a_model_is_loaded_pinned_and_unloaded_in_the_running_program(program: Program, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.server is not None
    for words, said in (
        (["load", "little"], "little is loaded."),
        (["pin", "little"], "little stays in memory once it is loaded."),
        (["pin", "little", "--off"], "little is not pinned."),
        (["unload", "little"], "little is not in memory."),
        (["use", "little"], "little answers where no model is named."),
    ):
        assert main(["models", *words]) == 0
        assert capsys.readouterr().out == f"{said}\n"
    assert program.server.service.find_model(None).id == "little"
    assert main(["models", "load", "little", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["phase"] == "awake"


def test_who_watches_a_load_sees_how_far_it_is_on_one_line(program: Program, monkeypatch: pytest.MonkeyPatch, screen: Recorded) -> None:
    async def load(self: ScriptedProvider, entry: ModelEntry, *, force: bool = False) -> ModelCard:
        self.standing = (ModelState(id=entry.id, phase="loading", fraction=0.42),)
        await asyncio.sleep(0.3)
        self.standing = ()
        if force:
            raise OutOfMemory("There is no room.", hint="Unload one.")
        return self.engine.card

    monkeypatch.setattr(ScriptedProvider, "load", load)
    args = build_parser("models").parse_args(["models", "load", "little"])
    assert run(args, screen) == 0
    assert "\r\x1b[K42 %  little" in screen.err.getvalue() and screen.err.getvalue().endswith("\r\x1b[K")
    assert screen.out.getvalue() == "little is loaded.\n"
    args = build_parser("models").parse_args(["models", "load", "little", "--force"])
    with pytest.raises(OutOfMemory, match=r"^There is no room\. Unload one\.$"):
        run(args, screen)
    assert screen.err.getvalue().endswith("\r\x1b[K")


def test_what_the_program_refuses_is_said_and_is_a_failure(program: Program, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "load", "nothing"]) == 1
    written = capsys.readouterr()
    assert written.out == "" and "No model 'nothing'" in written.err and "little" in written.err


def test_a_program_with_a_key_wants_it(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import hashlib

    with Program(home, Options(key_hashes=(hashlib.sha256(b"secret").hexdigest(),))):
        assert main(["models", "load", "starter"]) == 2
        assert "MLX_HARMONY_API_KEY" in capsys.readouterr().err
        monkeypatch.setenv("MLX_HARMONY_API_KEY", "secret")
        assert main(["models", "load", "starter"]) == 0
    assert b"secret" not in b"".join(path.read_bytes() for path in home.glob("*.json"))


@pytest.mark.parametrize("action", ["load", "unload", "pin"])
def test_without_a_running_program_it_is_said_what_to_do(action: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", action, "starter"]) == 1
    assert "mlx-harmony serve" in capsys.readouterr().err


def test_use_needs_no_running_program(home: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "use", str(folder / "little")]) == 0
    assert capsys.readouterr().out == "little answers where no model is named.\n"
    assert load_settings(home=home).model == str(folder / "little")
    assert main(["models", "use", "starter", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"id": "starter", "default": True}
    assert load_settings(home=home).model == "starter"
    assert main(["models", "use", "nothing"]) == 1
    assert load_settings(home=home).model == "starter"


def test_the_file_is_private_and_goes_with_the_program(tmp_path: Path) -> None:
    with present(str(tmp_path), "http://127.0.0.1:1"):
        assert stat.S_IMODE((tmp_path / SERVER_FILE).stat().st_mode) == 0o600
        found = running(str(tmp_path))
        assert found is not None and (found.address, found.pid) == ("http://127.0.0.1:1", os.getpid())
    assert not (tmp_path / SERVER_FILE).exists() and running(str(tmp_path)) is None


def test_a_second_program_s_file_is_left_alone(tmp_path: Path) -> None:
    with present(str(tmp_path), "http://127.0.0.1:1"):
        (tmp_path / SERVER_FILE).write_text('{"address": "http://127.0.0.1:2", "pid": 1}')
    assert (tmp_path / SERVER_FILE).exists()


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"address": 1}', '{"address": "http://x", "pid": -1}', '{"address": "http://x", "pid": 99999999999}']
)
def test_a_file_that_means_nothing_is_nobody(content: str, tmp_path: Path) -> None:
    (tmp_path / SERVER_FILE).write_text(content)
    assert running(str(tmp_path)) is None
    with pytest.raises(Unavailable):
        presence.ask(str(tmp_path), "GET", "/health")


def test_a_program_that_was_killed_is_nobody(tmp_path: Path) -> None:
    with present(str(tmp_path), "http://127.0.0.1:1"), pytest.raises(Unavailable, match="any more"):
        presence.ask(str(tmp_path), "GET", "/health")


def test_an_answer_of_somebody_else_is_no_answer(tmp_path: Path) -> None:
    import socketserver

    class Stranger(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(4096)
            self.request.sendall(b"220 welcome\r\n")

    with socketserver.TCPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        with present(str(tmp_path), f"http://127.0.0.1:{server.server_address[1]}"), pytest.raises(Unavailable, match="does not answer"):
            presence.ask(str(tmp_path), "GET", "/health")
        thread.join()


def test_errors_come_back_as_themselves() -> None:
    told: dict[str, Any] = {"error": {"message": "It is busy.", "code": "invalid_request"}}
    assert isinstance(presence._refusal(400, told), InvalidRequest)
    assert presence._refusal(500, []).message == "The running program answered with status 500."


def test_the_limits_of_a_run_can_be_given_at_its_start(home: Path) -> None:
    flags = ["serve", "--max-models", "2", "--memory-budget-mb", "8000", "--idle-minutes", "5"]
    settings = chosen_settings(build_parser("serve").parse_args(flags))
    assert (settings.max_models, settings.memory_budget_mb, settings.idle_minutes) == (2, 8000, 5)
    assert settings.source("max_models") == "flag"


@pytest.mark.integration
def test_serve_says_where_it_is_and_takes_that_back(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving_for_real(home, "--no-ui") as server:
        assert server.address
        found = running(str(home))
        assert found is not None and (found.address, found.pid) == (server.address, server.process.pid)
        assert main(["models", "load", "starter"]) == 0
        assert "starter is loaded and takes" in capsys.readouterr().out
        assert server.stop() == 0
    assert not (home / SERVER_FILE).exists()


@pytest.mark.integration
@pytest.mark.parametrize("words", [[], ["--json"]], ids=["for a person", "for a program"])
def test_ctrl_c_gives_a_load_up_and_leaves_what_was_loaded_alone(words: list[str], home: Path, folder: Path) -> None:
    with serving_for_real(home, "--no-ui", "--models-dir", str(folder)) as server:
        assert server.address and main(["models", "load", "starter"]) == 0
        before = set(server.children())
        command = [sys.executable, "-m", "mlx_harmony", "models", "load", "little", *words]
        load = subprocess.Popen([sys.executable, "-c", INTERRUPTIBLE, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        (loading,) = held_while_it_loads(server, before)
        load.send_signal(signal.SIGINT)
        out, said = load.communicate(timeout=20)
        assert (load.returncode, out) == (130, "")
        assert said.splitlines()[-1] == "Given up: little is not loaded by this. What was in memory stays there."
        assert gone(loading), "its process goes, however little it does"
        assert set(server.children()) == before
        rows = {row["id"]: row for row in presence.ask(str(home), "GET", "/v1/models")["data"]}
        assert rows["starter"]["loaded"] and not rows["little"]["loaded"]
        assert main(["models", "load", "little"]) == 0, "another load of it begins anew"


def held_while_it_loads(server: Running, before: set[int]) -> set[int]:
    """The processes that were started since, stopped in the middle of their start."""
    deadline = time.monotonic() + 30
    while not (new := set(server.children()) - before):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for pid in new:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(0.3)
    return new


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)
