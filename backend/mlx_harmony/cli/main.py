"""`mlx-harmony`: reads the command line and hands over to one command. It knows the commands' names, and imports only the one that runs."""

import argparse
import io
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Protocol, cast

from mlx_harmony.cli.errors import DONE, FAILED, INTERRUPTED, report
from mlx_harmony.cli.terminal import Terminal
from mlx_harmony.errors import HarmonyError

COMMANDS: dict[str, str] = {
    "serve": "start the page and the API, and open the browser",
    "chat": "chat in this terminal; the chats are the page's own",
    "chats": "list the chats that are kept",
    "migrate-chat": "turn chat files of earlier releases into version 2, or into chats of the app",
    "generate": "answer one prompt and end",
    "models": "the models on this machine: list, inspect, load, get and delete them",
    "bench": "measure how fast a model runs here, also beside mlx-lm; JSON",
    "cache": "list what models keep of what they read, pin or drop it",
}


class Command(Protocol):
    """What a command's module offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, args: argparse.Namespace, terminal: Terminal) -> int: ...


class _Version(argparse.Action):
    """Looks the version up only when asked: reading the package's metadata takes longer than the rest of `--help`."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"mlx-harmony {version('mlx-harmony')}")
        parser.exit(DONE)


def build_parser(chosen: str | None) -> argparse.ArgumentParser:
    """The whole command line; only the `chosen` command is imported and gets its flags."""
    parser = argparse.ArgumentParser(prog="mlx-harmony", description="Chat with local models on MLX.", allow_abbrev=False)
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and end")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        sub = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.", allow_abbrev=False)
        if name == chosen:
            command(name).add_arguments(sub)
    return parser


def command(name: str) -> Command:
    return cast(Command, import_module(f"mlx_harmony.cli.{name.replace('-', '_')}"))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code: 0 done, 1 failed, 2 wrong usage (argparse exits by itself with 2), 130 Ctrl-C."""
    words = list(sys.argv[1:] if argv is None else argv)
    chosen = next((word for word in words if word in COMMANDS), None)
    if chosen == "models":
        from mlx_harmony.cli.models import spelled_out

        words = spelled_out(words)
    terminal = Terminal(sys.stdout, sys.stderr)
    if isinstance(sys.stdin, io.TextIOWrapper):
        # Bytes that are no text become half characters, which are refused like any others, instead of ending the program.
        sys.stdin.reconfigure(errors="surrogateescape")
    args = build_parser(chosen).parse_args(words)
    try:
        return command(args.command).run(args, terminal)
    except HarmonyError as error:
        return report(error, terminal)
    except KeyboardInterrupt:
        terminal.warn("")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone (`| head`); point stdout elsewhere so that Python's own flush at exit stays quiet.
        import os

        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
