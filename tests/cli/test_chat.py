r"""`chat` as a program: a person at a pseudo-terminal, and a script at a pipe."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.server import INTERRUPTIBLE, alive

pytestmark = pytest.mark.integration

LIMIT_S = 60
LOG_IN = "import os, sys; os.login_tty(int(sys.argv.pop(1))); " + INTERRUPTIBLE
"""Makes the terminal the process's own, without which Ctrl-C would be a letter like any other."""


class Person:
    """Both ends of a pseudo-terminal with `mlx-harmony chat` at the other."""

    def __init__(self, home: Path, *flags: str) -> None:
        self._keyboard, terminal = pty.openpty()
        env = {**os.environ, "MLX_HARMONY_HOME": str(home), "TERM": "xterm"}
        env.pop("NO_COLOR", None)
        command = [sys.executable, "-m", "mlx_harmony", "chat", *flags]
        self.process = subprocess.Popen([sys.executable, "-c", LOG_IN, str(terminal), *command], env=env, pass_fds=(terminal,))
        os.close(terminal)
        self.screen = ""

    def reads(self, pattern: str) -> str:
        """Waits until the screen shows the pattern; gives what stood there up to its end, and forgets it."""
        deadline = time.monotonic() + LIMIT_S
        while not (found := re.search(pattern, self.screen)):
            assert time.monotonic() < deadline, self.screen
            self._look()
        seen, self.screen = self.screen[: found.end()], self.screen[found.end() :]
        return seen

    def types(self, text: str) -> None:
        os.write(self._keyboard, text.encode())

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._keyboard)

    def _look(self) -> None:
        if select.select([self._keyboard], [], [], 0.2)[0]:
            try:
                self.screen += os.read(self._keyboard, 4096).decode("utf-8", "replace")
            except OSError:
                assert self.process.wait(timeout=5) is not None


@pytest.fixture
def person(tmp_path: Path, fx1: Path) -> Iterator[Person]:
    at_terminal = Person(tmp_path, "--model", str(fx1), "--max-tokens", "3000", "--temperature", "0")
    yield at_terminal
    at_terminal.close()


def test_ctrl_c_stops_the_answer_and_not_the_program(person: Person) -> None:
    person.reads("> ")
    person.types("/set max_tokens=3500\n")
    person.reads(r"max_tokens +3500")
    person.types("go on and on\n")
    person.reads(r"(?s)Loading.*\x1b\[K(?!Loading).")
    time.sleep(0.3)
    person.types("\x03")
    person.reads(r"Stopped\.\s+.*> ")
    person.types("/set max_tokens=3\n")
    person.reads(r"max_tokens +3\s")
    person.types("once more\n")
    person.reads(r"(?s)longest length.*> ")
    time.sleep(0.3)  # Python's readline misses a signal that comes between its prompt and its first look at the keyboard
    person.types("\x03")
    person.reads(r"q or Ctrl-D ends")
    person.types("q\n")
    assert person.process.wait(timeout=20) == 0


def test_ctrl_d_ends_it_and_leaves_no_process(person: Person) -> None:
    person.reads("> ")
    person.types("\x04")
    assert person.process.wait(timeout=20) == 0
    assert not alive(person.process.pid)


def test_a_script_gets_answers_only(tmp_path: Path, fx1: Path) -> None:
    command = [sys.executable, "-m", "mlx_harmony", "chat", "--model", str(fx1), "--max-tokens", "4", "--seed", "3"]
    env = {**os.environ, "MLX_HARMONY_HOME": str(tmp_path)}
    done = subprocess.run(command, input="/set top_k=5\nhello\n/bogus\n", capture_output=True, text=True, env=env, timeout=LIMIT_S)
    assert "top_k  5" in done.stdout
    assert "> " not in done.stdout and "\x1b" not in done.stdout
    assert "no command 'bogus'" in done.stderr
    assert done.returncode == 2


def test_an_unknown_chat_is_an_error(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mlx_harmony", "chat", "--chat", "nothing"]
    env = {**os.environ, "MLX_HARMONY_HOME": str(tmp_path)}
    done = subprocess.run(command, input="", capture_output=True, text=True, env=env, timeout=LIMIT_S)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ") and "Traceback" not in done.stderr
