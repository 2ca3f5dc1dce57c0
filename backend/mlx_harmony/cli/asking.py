"""The question before something goes that may be missed: only a person at a terminal can say yes, and everything else is a no."""

import sys

from mlx_harmony.cli.terminal import Terminal

YES = ("y", "yes")


def agreed(question: str, terminal: Terminal) -> bool:
    """Whether whoever sits there says yes. Says itself why nothing is done otherwise, also where nobody is there to be asked."""
    if not sys.stdin.isatty():
        terminal.fail("Nothing was deleted: nobody is here to be asked.")
        terminal.warn("Add --yes to delete without being asked.")
        return False
    terminal.aside(f"{question} [y/N] ")
    try:
        answer = input("")
    except EOFError:
        answer = ""
    if answer.strip().lower() in YES:
        return True
    terminal.warn("Nothing was deleted.")
    return False
