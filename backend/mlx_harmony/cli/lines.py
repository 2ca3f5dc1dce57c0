r"""Reads what a person types: a line, a line continued by a trailing `\`, or a block between two lines with a lone `\`."""

from collections.abc import Callable, Iterator

PROMPT = "> "
MORE = ". "
FAREWELLS = frozenset({"q", "Q"})


def typed_messages(read_line: Callable[[str], str]) -> Iterator[str]:
    """Each message as typed, until `q` or the end of the input. `read_line` gets the prompt to show and raises EOFError at the end."""
    while True:
        try:
            message = _read_message(read_line)
        except EOFError:
            return
        if message.strip() in FAREWELLS:
            return
        if message.strip():
            yield message


def _read_message(read_line: Callable[[str], str]) -> str:
    line = read_line(PROMPT)
    if line.strip() == "\\":
        return _read_block(read_line)
    lines = []
    while line.endswith("\\"):
        lines.append(line[:-1])
        try:
            line = read_line(MORE)
        except EOFError:
            return "\n".join(lines)
    return "\n".join([*lines, line])


def _read_block(read_line: Callable[[str], str]) -> str:
    lines: list[str] = []
    while True:
        try:
            line = read_line(MORE)
        except EOFError:
            return "\n".join(lines)
        if line.strip() == "\\":
            return "\n".join(lines)
        lines.append(line)
