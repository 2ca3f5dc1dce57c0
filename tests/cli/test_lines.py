r"""Typing: continued lines, blocks, and how it ends."""

from collections.abc import Callable, Iterable

import pytest

from mlx_harmony.cli.lines import typed_messages


def keyboard(lines: Iterable[str]) -> Callable[[str], str]:
    waiting = iter(lines)

    def read(_prompt: str) -> str:
        try:
            return next(waiting)
        except StopIteration:
            raise EOFError from None

    return read


@pytest.mark.parametrize(
    ("typed", "messages"),
    [
        (["hello", "again"], ["hello", "again"]),
        (["hello", "q", "never read"], ["hello"]),
        (["", "   ", "hello"], ["hello"]),
        (["one \\", "two"], ["one \ntwo"]),
        (["\\", "def f():", "", "    pass", "\\", "next"], ["def f():\n\n    pass", "next"]),
        (["\\", "an open block"], ["an open block"]),
        (["cut \\"], ["cut "]),
        (["quit?", "Q"], ["quit?"]),
        ([], []),
    ],
)
def test_what_is_typed_becomes_messages(typed: list[str], messages: list[str]) -> None:
    assert list(typed_messages(keyboard(typed))) == messages


def test_a_continued_line_shows_another_prompt() -> None:
    prompts = []
    lines = iter(["a\\", "b", "q"])

    def read(prompt: str) -> str:
        prompts.append(prompt)
        return next(lines)

    assert list(typed_messages(read)) == ["a\nb"]
    assert prompts == ["> ", ". ", "> "]
