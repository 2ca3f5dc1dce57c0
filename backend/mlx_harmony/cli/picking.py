"""Which model answers, picked by number: where a person sits at the terminal and has settled none, or with `--pick`. It loads nothing."""

import argparse
import sys
from contextlib import suppress
from typing import NamedTuple

import msgspec

from mlx_harmony.cli.models_table import aligned, size
from mlx_harmony.cli.terminal import Terminal
from mlx_harmony.errors import InvalidRequest, SettingsError
from mlx_harmony.settings import Settings

TRIES = 3


class Choice(NamedTuple):
    """What can be picked, and what is said of it."""

    name: str
    about: str
    profile: bool = False


def add_pick_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pick", action="store_true", help="pick the model or profile from a list, by number")


def picked(args: argparse.Namespace, settings: Settings, terminal: Terminal) -> Settings:
    """The settings with what a person picked. Asked for only where nothing else says who answers and there is more than one choice.

    Raises InvalidRequest where `--pick` finds nobody to be asked, or nothing is picked.
    """
    person = sys.stdin.isatty() and terminal.watched
    named = [flag for flag in ("model", "profile", "chat", "request") if getattr(args, flag, None)]
    if args.pick:
        if beside := [flag for flag in named if flag != "chat"]:
            raise InvalidRequest(f"--pick and --{beside[0]} both say who answers.", hint="Leave one of them out.", param="pick")
        if not person:
            hint = "Name the model with --model, or a profile with --profile; `mlx-harmony models` lists both."
            raise InvalidRequest("Nobody is here to pick a model.", hint=hint, param="pick")
    elif named or not person or settings.source("model") != "default":
        return settings
    choices = choices_of(settings)
    return settings if len(choices) < 2 and not args.pick else _with(_asked(choices, settings.model, terminal), settings)


def choices_of(settings: Settings) -> tuple[Choice, ...]:
    """The models, aliases and profiles that can be used, the default model first."""
    from mlx_harmony.library import Library

    library = Library(settings)
    found = [Choice(entry.id, size(entry.bytes)) for entry in library.models() if not entry.problem]
    found.sort(key=lambda choice: choice.name != settings.model)
    # What is wrong with either file is for those to hear who ask for what is in it.
    with suppress(SettingsError):
        found += [Choice(name, f"alias of {', '.join(alias.models)}") for name, alias in library.aliases().items()]
    with suppress(SettingsError):
        found += [Choice(row.name, f"profile, {row.model}", profile=True) for row in library.profiles() if not row.problem]
    return tuple(found)


def _asked(choices: tuple[Choice, ...], usual: str, terminal: Terminal) -> Choice:
    terminal.warn("Who is to answer?")
    rows = [[f"{at:>4}", choice.name, choice.about] for at, choice in enumerate(choices, 1)]
    for line in aligned(rows):
        terminal.warn(line)
    default = choices[0] if choices[0].name == usual else None
    for _ in range(TRIES):
        terminal.aside(f"Number{f' [1, {default.name}]' if default else ''}: ")
        try:
            typed = input("").strip()
        except EOFError:
            break
        if not typed and default is not None:
            return default
        if typed.isascii() and typed.isdigit() and len(typed) <= 6 and 0 < int(typed) <= len(choices):
            return choices[int(typed) - 1]
        named = [choice for choice in choices if choice.name == typed]
        if len(named) == 1:
            return named[0]
        terminal.warn(f"Type a number from 1 to {len(choices)}.")
    raise InvalidRequest("No model was picked.", hint="--model names one; `mlx-harmony models use ID` settles it for good.", param="pick")


def _with(choice: Choice, settings: Settings) -> Settings:
    if choice.profile:
        return msgspec.structs.replace(settings, profile=choice.name)
    return msgspec.structs.replace(settings, model=choice.name, sources=settings.sources | {"model": "flag"})
