"""What goes where, and in which colours."""

import pytest

from mlx_harmony.cli.errors import report
from mlx_harmony.cli.terminal import Terminal, plain
from mlx_harmony.errors import ModelNotFound
from tests.cli.conftest import Recorded, Stream


def test_an_error_goes_to_stderr_with_its_hint(pipe: Recorded) -> None:
    assert report(ModelNotFound("No model 'x'.", hint="Known: starter."), pipe) == 1
    assert pipe.out.getvalue() == ""
    assert pipe.err.getvalue() == "Error: No model 'x'.\nKnown: starter.\n"


def test_a_person_sees_colours_and_a_pipe_does_not(screen: Recorded, pipe: Recorded) -> None:
    for terminal in (screen, pipe):
        terminal.thinking("hm")
        terminal.fail("no")
    assert "\x1b[2mhm" in screen.out.getvalue() and "\x1b[31mno" in screen.err.getvalue()
    assert pipe.out.getvalue() == "hm" and pipe.err.getvalue() == "no\n"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_no_color_is_respected(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    out = Stream(person=True)
    Terminal(out, out).thinking("hm")
    assert out.getvalue() == "hm"


def test_control_characters_of_a_model_do_not_reach_the_terminal(screen: Recorded, pipe: Recorded) -> None:
    hostile = "a\x1b]0;title\x07b\x9bc\rd"
    screen.write(hostile)
    assert screen.out.getvalue() == "a\ufffd]0;title\ufffdb\ufffdc\ufffdd"
    pipe.write(hostile)
    assert pipe.out.getvalue() == hostile


def test_control_characters_in_names_do_not_reach_a_person_s_stderr(screen: Recorded) -> None:
    screen.warn("no model \x1b[2Jx")
    report(ModelNotFound("No model '\x1b]0;t\x07'.", hint="Known: \x9bc."), screen)
    assert screen.err.getvalue() == "no model \ufffd[2Jx\n\x1b[31mError: No model '\ufffd]0;t\ufffd'.\x1b[0m\nKnown: \ufffdc.\n"


def test_who_spoke_stands_out_and_what_was_said_is_harmless(screen: Recorded, pipe: Recorded) -> None:
    for terminal in (screen, pipe):
        terminal.speech("user", "hello")
    screen.speech("\x1b[31mx", "\x1b[2J")
    assert screen.out.getvalue() == "\x1b[1muser:\x1b[0m hello\n\x1b[1m\ufffd[31mx:\x1b[0m \ufffd[2J\n"
    assert pipe.out.getvalue() == "user: hello\n"


def test_ordinary_text_stays_as_it_is() -> None:
    assert plain("Grüße, 你好 👋\n\tx") == "Grüße, 你好 👋\n\tx"


def test_remarks_are_for_people_only(screen: Recorded, pipe: Recorded) -> None:
    screen.hint("q ends")
    pipe.hint("q ends")
    assert "q ends" in screen.err.getvalue()
    assert pipe.err.getvalue() == ""
