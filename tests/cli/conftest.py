"""A terminal whose two streams can be read back, with or without a person at it."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlx_harmony.cli.terminal import Terminal


class Stream(io.StringIO):
    """A stream that may claim to be a terminal."""

    def __init__(self, *, person: bool) -> None:
        super().__init__()
        self.person = person

    def isatty(self) -> bool:
        return self.person


class Recorded(Terminal):
    """A Terminal and what was written to it."""

    def __init__(self, *, person: bool) -> None:
        self.out = Stream(person=person)
        self.err = Stream(person=person)
        super().__init__(self.out, self.err)


@pytest.fixture(autouse=True)
def _working_folder() -> Iterator[None]:
    """A server enters a folder of its own; the tests after it work where they began."""
    with contextlib.chdir(Path.cwd()):
        yield


@pytest.fixture
def pipe() -> Recorded:
    """Both streams go into a file or another program."""
    return Recorded(person=False)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """A person sits there and wants colours."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    return Recorded(person=True)
