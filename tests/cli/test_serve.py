"""The real server from outside: when it is ready, what it writes, how it ends."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from mlx_harmony.cli.server import address, bind
from mlx_harmony.errors import SettingsError
from mlx_harmony.settings import Settings
from tests.fixtures.server import Running, alive, serving

HEALTH_LIMIT_S = 4.0
ENDLESS = {"messages": [{"role": "user", "content": "go on"}], "max_tokens": 100_000, "logit_bias": {"1": -100}, "seed": 1, "stream": True}
"""An answer that only the context ends: FX1 may not say token 1, which ends its turns."""

pytestmark = pytest.mark.integration


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def streamed(server: Running, body: dict[str, object]) -> Iterator[Iterator[str]]:
    """The data of an answer's lines as they come."""
    with httpx.stream("POST", f"{server.address}/v1/chat/completions", json=body, timeout=60) as answer:
        assert answer.status_code == 200
        yield (line.removeprefix("data: ") for line in answer.iter_lines() if line.startswith("data: "))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_one_line_and_stops_cleanly(number: signal.Signals, tmp_path: Path) -> None:
    with serving(tmp_path, "--no-ui") as server:
        assert httpx.get(f"{server.address}/health").json() == {"status": "ok"}
        assert server.stop(number) == 0
        assert server.stdout == [f"MLX Harmony is ready at {server.address}\n"]
        assert server.stderr == []


def test_health_answers_within_four_seconds_with_the_page(tmp_path: Path) -> None:
    port = free_port()
    # Asked from the first moment: the line that says that it is ready comes later, when the page is built.
    with ThreadPoolExecutor(1) as asking:
        took = asking.submit(seconds_to_health, port)
        with serving(tmp_path, "--port", str(port)) as server:
            assert took.result() < HEALTH_LIMIT_S
            page = httpx.get(server.address)
            assert page.status_code == 200 and "text/html" in page.headers["content-type"]
            assert server.stop() == 0
            assert len(server.stdout) == 1


def seconds_to_health(port: int) -> float:
    """How long until /health answers on that port."""
    began = time.monotonic()
    while time.monotonic() - began < 60:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200:
                break
        time.sleep(0.02)
    return time.monotonic() - began


def test_a_port_in_use_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, serving(tmp_path, "--no-ui", "--port", str(taken.getsockname()[1])) as server:
        assert server.process.wait(timeout=20) == 1
        server.stop()
        assert server.stdout == []
        said = "".join(server.stderr)
        assert "already in use" in said and "--port" in said and "Traceback" not in said


def test_an_address_that_others_reach_needs_a_key(tmp_path: Path) -> None:
    with serving(tmp_path, "--no-ui", "--host", "0.0.0.0") as server:
        assert server.process.wait(timeout=20) == 1
        server.stop()
        assert "API key" in "".join(server.stderr)


def test_a_second_server_is_told_that_the_first_one_runs(tmp_path: Path) -> None:
    with serving(tmp_path / "a", "--no-ui") as first:
        port = first.address.rpartition(":")[2]
        with serving(tmp_path / "b", "--no-ui", "--port", port) as second:
            assert second.process.wait(timeout=20) == 1
        assert httpx.get(f"{first.address}/health").status_code == 200


def test_models_of_a_folder_are_listed_under_their_folders_names(tmp_path: Path, fx1: Path) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(fx1, folder / "little-llama")
    with serving(tmp_path / "home", "--no-ui", "--models-dir", os.path.relpath(folder)) as server:
        listed = httpx.get(f"{server.address}/v1/models").json()["data"]
    assert "little-llama" in {model["id"] for model in listed}


def test_everything_it_writes_lies_in_its_home(tmp_path: Path) -> None:
    person, home = tmp_path / "person", tmp_path / "home"
    person.mkdir()
    with serving(home, environment={"HOME": str(person), "XDG_CACHE_HOME": str(person / "cache")}) as server:
        assert httpx.get(server.address).status_code == 200
        assert server.stop() == 0
    assert [str(path.relative_to(person)) for path in person.rglob("*")] == []
    assert home.stat().st_mode & 0o077 == 0
    assert any(home.iterdir())


def test_a_model_answers_leaves_no_trace_in_the_log_and_ends_with_the_server(tmp_path: Path, fx1: Path) -> None:
    with serving(tmp_path, "--no-ui", "--model", str(fx1)) as server:
        body = {"messages": [{"role": "user", "content": "a very secret sentence"}], "max_tokens": 4}
        answer = httpx.post(f"{server.address}/v1/chat/completions", json=body, timeout=60)
        assert answer.status_code == 200, answer.text
        assert answer.json()["model"] == fx1.name
        children = server.children()
        assert children
        assert server.stop() == 0
        assert [pid for pid in children if alive(pid)] == []
        assert "secret" not in "".join(server.stderr)
    logs = [path.read_text("utf-8", "replace") for path in (tmp_path / "logs").rglob("*") if path.is_file()]
    assert all("secret" not in log for log in logs)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_in_the_middle_of_an_answer_drains_and_ends(number: signal.Signals, tmp_path: Path, fx1: Path) -> None:
    with serving(tmp_path, "--no-ui", "--model", str(fx1)) as server, streamed(server, ENDLESS) as lines:
        assert "delta" in next(lines)
        children = server.children()
        began = time.monotonic()
        server.process.send_signal(number)
        *_, last = lines
        assert json.loads(last)["error"]["code"] == "shutting_down"
        assert json.loads(last)["error"]["message"].startswith("MLX Harmony is stopping.")
        assert server.stop() == 0
        assert time.monotonic() - began < 12
        assert server.stderr == []
    assert [pid for pid in children if alive(pid)] == []


def test_an_answer_that_ends_in_time_is_whole_when_the_server_stops(tmp_path: Path, fx1: Path) -> None:
    with serving(tmp_path, "--no-ui", "--model", str(fx1)) as server, streamed(server, {**ENDLESS, "max_tokens": 8}) as lines:
        next(lines)
        server.process.send_signal(signal.SIGTERM)
        *_, last = lines
        assert last == "[DONE]"
        assert server.stop() == 0


def test_a_second_signal_ends_the_answers_without_waiting_for_them(tmp_path: Path, fx1: Path) -> None:
    with serving(tmp_path, "--no-ui", "--model", str(fx1)) as server, streamed(server, ENDLESS) as lines:
        next(lines)
        children = server.children()
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert server.stop() == 0
    assert [pid for pid in children if alive(pid)] == []


def test_a_stop_while_the_page_is_being_built_does_not_wait_for_it(tmp_path: Path) -> None:
    """A guest of the page whose building never ends stands for one that takes long."""
    (tmp_path / "endless.py").write_text("import threading\ndef mount(*_):\n    print('building')\n    threading.Event().wait()\n")
    told = tmp_path / "endless-1.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: endless\nVersion: 1\n")
    (told / "entry_points.txt").write_text("[mlx_harmony.ui]\nendless = endless:mount\n")
    with serving(tmp_path / "home", environment={"PYTHONPATH": str(tmp_path), "PYTHONUNBUFFERED": "1"}) as server:
        while "building\n" not in server.stderr:
            assert server.process.poll() is None, server.stderr
            time.sleep(0.05)
        assert server.stop() == 0
        assert server.stdout == []
        assert server.stderr == ["building\n"]


def test_a_folder_that_cannot_be_written_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with serving(blocked, "--no-ui") as server:
        assert server.process.wait(timeout=20) == 1
        server.stop()
        said = "".join(server.stderr)
        assert str(blocked) in said and "Traceback" not in said


def test_a_model_that_is_not_there_is_an_error_where_a_flag_asked_for_it(tmp_path: Path) -> None:
    with serving(tmp_path, "--no-ui", "--model", "nothing-of-that-name") as server:
        assert server.process.wait(timeout=20) == 1
        server.stop()
        assert "starter" in "".join(server.stderr)


def test_a_remembered_model_that_has_gone_does_not_keep_it_from_starting(tmp_path: Path) -> None:
    with serving(tmp_path, "--no-ui", environment={"MLX_HARMONY_MODEL": "gone"}) as server:
        assert httpx.get(f"{server.address}/health").status_code == 200
        assert server.stop() == 0
        assert "gone" in "".join(server.stderr)


@pytest.mark.parametrize(
    ("host", "shown"),
    [("127.0.0.1", "http://127.0.0.1:1"), ("0.0.0.0", "http://127.0.0.1:1"), ("::1", "http://[::1]:1"), ("box", "http://box:1")],
)
def test_the_address_is_one_that_a_browser_here_can_open(host: str, shown: str) -> None:
    assert address(Settings(home="", host=host, port=1)) == shown


def test_an_address_of_another_machine_cannot_be_listened_on() -> None:
    with pytest.raises(SettingsError, match="Cannot listen on 192") as refused:
        bind("192.0.2.1", 0)
    assert "--host" in refused.value.hint


def test_the_server_process_imports_no_mlx(tmp_path: Path) -> None:
    """Service, API, page and server in one process: none of them may bring mlx or transformers along."""
    code = (
        "import sys, mlx_harmony.cli.server, mlx_harmony.service, mlx_harmony.api.app, mlx_harmony.engine.provider, mlx_harmony_ui.app\n"
        "print([name for name in ('mlx', 'mlx.core', 'mlx_lm', 'transformers', 'openai_harmony', 'tokenizers') if name in sys.modules])"
    )
    env = {**os.environ, "MLX_HARMONY_HOME": str(tmp_path)}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env, cwd=tmp_path)
    assert found.stdout.strip().splitlines()[-1] == "[]"
