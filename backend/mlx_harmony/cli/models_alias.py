"""`mlx-harmony models alias`: names that stand for several models, set, listed and removed. Who answers for them is `routing`'s to say."""

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlx_harmony.cli.errors import DONE
from mlx_harmony.cli.flags import add_models_dir_flag, chosen_settings, model_name
from mlx_harmony.cli.models_table import alias_lines
from mlx_harmony.cli.terminal import Terminal
from mlx_harmony.errors import InvalidRequest
from mlx_harmony.routing.listing import alias_object
from mlx_harmony.routing.records import STRATEGIES, Alias, Rule

if TYPE_CHECKING:
    from mlx_harmony.library import Library

ASKS = "min_tokens=N, max_tokens=N, min_characters=N, max_characters=N, tools=yes or no, effort=low, medium or high"
_NUMBERS = frozenset(("min_tokens", "max_tokens", "min_characters", "max_characters"))
_WORDS = {"yes": True, "true": True, "no": False, "false": False}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="?", default="list", choices=("list", "set", "remove"), help="what to do (default: list)")
    parser.add_argument("name", nargs="?", metavar="NAME", help="the alias that is set or removed")
    parser.add_argument("--models", nargs="+", type=model_name, metavar="ID", help="the models that answer; an alias will do too")
    parser.add_argument(
        "--strategy", choices=STRATEGIES, default="round_robin", help="the models take turns (default), or the first one answers"
    )
    parser.add_argument(
        "--rule",
        action="append",
        nargs="+",
        default=[],
        metavar=("ID", "WANTED=VALUE"),
        help=f"a model that answers instead where all this holds: {ASKS}; may be given several times, the first that holds counts",
    )
    parser.add_argument("--fallbacks", nargs="+", type=model_name, default=[], metavar="ID", help="who answers where no other model can")
    add_models_dir_flag(parser)
    parser.add_argument("--json", action="store_true", help="print JSON, every field")


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Raises InvalidRequest for an alias that could not be used, SettingsError for a file that cannot be read, and StorageError."""
    from mlx_harmony.library import Library

    library = Library(chosen_settings(args))
    if args.what != "list" and not args.name:
        raise InvalidRequest("No alias is named.", hint=f"mlx-harmony models alias {args.what} NAME", param="name")
    match args.what:
        case "set":
            name = library.save_alias(_alias(args, library)).name
            rows = tuple(row for row in library.alias_rows() if row.alias.name == name)
        case "remove":
            library.remove_alias(args.name)
            terminal.line(json.dumps({"removed": args.name}) if args.json else f"The alias {args.name} is removed; its models stay.")
            return DONE
        case _:
            rows = library.alias_rows()
    if args.json:
        terminal.line(json.dumps([alias_object(row) for row in rows], indent=2))
        return DONE
    for line in alias_lines(rows) if rows else ("No aliases.",):
        terminal.line(line)
    return DONE


def _alias(args: argparse.Namespace, library: "Library") -> Alias:
    if not args.models:
        hint = f"mlx-harmony models alias set {args.name} --models ID ID"
        raise InvalidRequest("An alias needs at least one model.", hint=hint, param="models")

    def ids(names: Sequence[str]) -> tuple[str, ...]:
        return tuple(library.here(name) or name for name in names)

    return Alias(
        name=args.name,
        models=ids(args.models),
        strategy=args.strategy,
        rules=tuple(Rule(model=ids((model_name(words[0]),))[0], **_wanted(words[1:])) for words in args.rule),
        fallbacks=ids(args.fallbacks),
    )


def _wanted(words: Sequence[str]) -> dict[str, Any]:
    """What a rule asks for. Raises InvalidRequest, with all that may be asked for."""
    wanted: dict[str, Any] = {}
    for word in words:
        name, _, value = word.partition("=")
        match name:
            case _ if name in _NUMBERS and value.isascii() and value.isdigit() and len(value) <= 10:
                wanted[name] = int(value)
            case "tools" if value in _WORDS:
                wanted[name] = _WORDS[value]
            case "effort" if value in ("low", "medium", "high"):
                wanted[name] = value
            case _:
                raise InvalidRequest(f"A rule cannot ask for {word[:60]!r}.", hint=f"Known: {ASKS}.", param="rule")
    if not wanted:
        raise InvalidRequest("A rule needs something to ask for.", hint=f"--rule ID {ASKS.split(',')[0]}. Known: {ASKS}.", param="rule")
    return wanted
