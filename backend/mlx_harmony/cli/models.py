"""`mlx-harmony models`: hands over to one action. It knows the actions' names, and imports only the one that runs.

An action's module offers `add_arguments(parser)` and `run(args, terminal)`; where it serves several actions,
`parser.get_default("action")` and `args.action` tell which one is meant.
"""

import argparse
from collections.abc import Sequence
from importlib import import_module
from typing import Any, cast

from mlx_harmony.cli.main import Command
from mlx_harmony.cli.terminal import Terminal

ACTIONS: dict[str, tuple[str, str]] = {
    "list": ("models_list", "what is on this machine; a pattern, a size or a format narrows it (also what `models` alone does)"),
    "info": ("models_list", "all that is known of one model"),
    "forecast": ("models_list", "how much memory a model will need, and whether that is there"),
    "use": ("models_live", "make a model the one that answers where none is named"),
    "alias": ("models_alias", "give several models one name: they take turns, by rules or in order, each for one that cannot be loaded"),
    "load": ("models_live", "load a model in the program that runs"),
    "unload": ("models_live", "take a model out of memory"),
    "pin": ("models_live", "keep a model in memory, whatever else is loaded"),
    "search": ("models_get", "look for models on the hub"),
    "download": ("models_get", "get a model from the hub"),
    "delete": ("models_delete", "put models, revisions or what is left of downloads into the trash"),
    "trash": ("models_delete", "list, bring back or remove for good what was deleted"),
}
"""Each action with its module and what it does, in the order of use."""

DEFAULT = "list"


class _Late(argparse.ArgumentParser):
    """An action's parser, which asks the action's module for its flags once words are there to be read."""

    module = ""

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        if self.module:
            _action(self.module).add_arguments(self)
            self.module = ""
        return super().parse_known_args(args, namespace)


def spelled_out(words: Sequence[str]) -> list[str]:
    """The command line with its action: `models --json` is `models list --json`."""
    at = words.index("models") + 1
    named = at < len(words) and words[at] in (*ACTIONS, "-h", "--help")
    return [*words[:at], *([] if named else [DEFAULT]), *words[at:]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "`models ACTION --help` says more, and `models list --help` what `models` alone takes, such as --json."
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=_Late)
    for name, (module, summary) in ACTIONS.items():
        sub = actions.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.", allow_abbrev=False)
        sub.set_defaults(action=name)
        sub.module = module


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    return _action(ACTIONS[args.action][0]).run(args, terminal)


def _action(module: str) -> Command:
    return cast(Command, import_module(f"mlx_harmony.cli.{module}"))
