"""`mlx-harmony chat`: a chat in the terminal, kept beside the page's. Ctrl-C stops the answer, not the program; `q` or Ctrl-D ends it."""

import argparse
import asyncio
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from mlx_harmony.cli.errors import DONE, report
from mlx_harmony.cli.flags import add_cache_file_flag, add_draft_flag, add_model_flags, add_prompting_flags, chosen_settings
from mlx_harmony.cli.lines import typed_messages
from mlx_harmony.cli.picking import add_pick_flag, picked
from mlx_harmony.cli.sampling import add_sampling_flags, choices_from
from mlx_harmony.cli.terminal import Terminal
from mlx_harmony.errors import HarmonyError
from mlx_harmony.settings import absolute

if TYPE_CHECKING:
    from mlx_harmony.cli.talk import Talk


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_flags(parser)
    add_pick_flag(parser)
    add_draft_flag(parser)
    add_prompting_flags(parser)
    parser.add_argument("--chat", metavar="ID", help="go on with this chat instead of beginning a new one")
    parser.add_argument("--system", metavar="TEXT", help="instructions that stand above the whole chat")
    add_cache_file_flag(parser)
    add_sampling_flags(parser)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Talks until the input ends. The event loop runs only while an answer comes, so that waiting for a person costs nothing."""
    from mlx_harmony.cli.talk import Talk
    from mlx_harmony.service import Service

    settings = picked(args, chosen_settings(args), terminal)
    choices = choices_from(args)
    with asyncio.Runner() as runner:
        service = runner.run(Service.open(settings))
        for notice in service.notices():
            terminal.warn(notice)
        try:
            if settings.source("model") == "flag":
                choices["model"] = service.find_model(None).id
            if args.prompt_cache_file:
                model, file = service.find_model(None).id, absolute(args.prompt_cache_file)
                terminal.hint(f"Beginning with {file.name}.")
                runner.run(service.caches.load(model, file))
            talk = Talk(service, terminal, choices)
            runner.run(talk.resume(args.chat) if args.chat else talk.begin())
            terminal.hint(r"q or Ctrl-D ends, Ctrl-C stops an answer, \help lists the commands.")
            return _talk_until_end(runner, talk, terminal)
        finally:
            runner.run(service.close())


def _talk_until_end(runner: asyncio.Runner, talk: "Talk", terminal: Terminal) -> int:
    """Answers each message. A person sees a failure and goes on, with exit code 0; a script's input gives its last failure's code."""
    code = DONE
    for message in typed_messages(_line_reader(terminal)):
        try:
            code = runner.run(talk.take(message)) or code
        except KeyboardInterrupt:
            terminal.warn("Stopped.")
        except HarmonyError as error:
            code = report(error, terminal)
    return DONE if sys.stdin.isatty() else code


def _line_reader(terminal: Terminal) -> Callable[[str], str]:
    """How a line is read: with Python's line editing where a person sits at both ends, else plainly and without a prompt on stdout."""
    at_keyboard = sys.stdin.isatty() and terminal.interactive
    if at_keyboard:
        import readline  # noqa: F401  (input() edits lines and keeps a history once it is imported)

    def read(prompt: str) -> str:
        while True:
            try:
                if sys.stdin.isatty() and not at_keyboard:
                    terminal.aside(prompt)
                return input(prompt if at_keyboard else "")
            except KeyboardInterrupt:
                terminal.warn("\nq or Ctrl-D ends.")

    return read
