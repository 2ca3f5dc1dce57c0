"""`mlx-harmony models list|info|forecast`: what is on this machine, as tables for people or as JSON for programs. Changes nothing.

The JSON is what GET /v1/models says of each model, but for what only a running program knows.
"""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlx_harmony.cli.errors import DONE
from mlx_harmony.cli.flags import add_model_flags, chosen_settings
from mlx_harmony.cli.models_table import alias_lines, bytes_of, forecast_lines, info_lines, model_lines, profile_lines
from mlx_harmony.cli.terminal import Terminal
from mlx_harmony.errors import LoadFailed, SettingsError
from mlx_harmony.models.filtering import FORMATS, SORTS, Filter, matching
from mlx_harmony.models.info import ModelInfo, row_of
from mlx_harmony.models.outlook import Outlook
from mlx_harmony.records import ModelEntry
from mlx_harmony.routing.door import real
from mlx_harmony.routing.listing import alias_object, profile_info, profile_object
from mlx_harmony.routing.records import AliasRow

if TYPE_CHECKING:
    from mlx_harmony.library import Library


def add_arguments(parser: argparse.ArgumentParser) -> None:
    match parser.get_default("action"):
        case "list":
            _add_filter(parser)
        case _:
            parser.add_argument("id", nargs="?", metavar="ID", help="the model's id or folder (default: the model of the settings)")
    if parser.get_default("action") == "forecast":
        parser.add_argument("--context", type=_tokens, metavar="TOKENS", help="with so many tokens (default: the model's whole context)")
    add_model_flags(parser)
    parser.add_argument("--json", action="store_true", help="print JSON, every field, sizes in bytes")


def _add_filter(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "pattern", nargs="?", default="", metavar="PATTERN", help="part of an id, or a pattern such as '*-4bit'; case is no matter"
    )
    parser.add_argument("--format", default="", choices=FORMATS, help="only models of this format")
    parser.add_argument("--min-size", type=bytes_of, default=0, metavar="SIZE", help="only models of at least so much, such as 500MB")
    parser.add_argument("--max-size", type=bytes_of, default=0, metavar="SIZE", help="only models of at most so much")
    parser.add_argument("--sort", default="", choices=tuple(SORTS), help="texts from A, figures from the largest, times from the latest")
    parser.add_argument("--reverse", action="store_true", help="the other way round")
    parser.add_argument("--wide", action="store_true", help="also thinking and tool style, drafts, revisions, path")


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Lists or tells of one; a model that cannot be loaded is shown with its problem. Raises ModelNotFound and InvalidRequest."""
    from mlx_harmony.library import Library

    settings = chosen_settings(args)
    library, outlook = Library(settings), Outlook(settings.home)
    match args.action:
        case "list":
            _list(args, terminal, library, outlook)
        case "info":
            _tell(args, terminal, library, outlook)
        case _:
            _forecast(args, terminal, _one(library, real(_found(library, args.id))), outlook)
    return DONE


def _list(args: argparse.Namespace, terminal: Terminal, library: "Library", outlook: Outlook) -> None:
    wanted = Filter(
        text=args.pattern, format=args.format, sort=args.sort, reverse=args.reverse, min_bytes=args.min_size, max_bytes=args.max_size
    )
    infos, aliases = matching(_infos(library), wanted), _aliases(library, wanted, terminal)
    if args.json:
        rows = [row_of(info, outlook.needs) for info in infos]
        profiles = {row.name: row for row in library.profile_rows()}
        named = (profile_object(profiles[info.entry.id]) for info in matching(map(profile_info, profiles.values()), wanted))
        terminal.line(json.dumps([*rows, *map(alias_object, aliases), *named], indent=2))
        return
    for line in model_lines(infos, outlook.needs, wide=args.wide):
        terminal.line(line)
    if aliases:
        terminal.line()
        for line in alias_lines(aliases):
            terminal.line(line)
    if wanted == Filter(sort=wanted.sort, reverse=wanted.reverse) and (listed := library.profiles()):
        terminal.line()
        for line in profile_lines(listed):
            terminal.line(line)


def _tell(args: argparse.Namespace, terminal: Terminal, library: "Library", outlook: Outlook) -> None:
    """All of one model, or an alias as it is listed."""
    entry = _found(library, args.id)
    if entry.source != "alias":
        _info(args, terminal, _one(library, entry), outlook)
        return
    rows = [row for row in library.alias_rows() if row.entry.id == entry.id]
    for line in (json.dumps(alias_object(rows[0]), indent=2),) if args.json else alias_lines(rows):
        terminal.line(line)


def _info(args: argparse.Namespace, terminal: Terminal, info: ModelInfo, outlook: Outlook) -> None:
    if args.json:
        terminal.line(json.dumps(row_of(info, outlook.needs), indent=2))
        return
    for line in info_lines(info, None if info.entry.problem else outlook.needs(info.entry)):
        terminal.line(line)


def _forecast(args: argparse.Namespace, terminal: Terminal, info: ModelInfo, outlook: Outlook) -> None:
    needs = outlook.needs(info.entry, context=args.context)
    if needs is None:
        why = info.entry.problem or "Its files do not tell what it is made of."
        raise LoadFailed(f"What {info.entry.id} needs is not known. {why}", hint="Repair its folder, or download it again.", param="model")
    if args.json:
        import msgspec

        told: dict[str, Any] = {"id": info.entry.id, **msgspec.to_builtins(needs), "total": needs.forecast.total}
        terminal.line(json.dumps(told, indent=2))
        return
    for line in forecast_lines(info.entry, needs):
        terminal.line(line)


def _found(library: "Library", named: str | None) -> ModelEntry:
    """The model or alias of an id or a folder, else the one of the settings. Raises ModelNotFound, which names the known ids."""
    return library.find((library.here(named) or named) if named else None)


def _one(library: "Library", entry: ModelEntry) -> ModelInfo:
    return next(info for info in _infos(library) if info.entry.id == entry.id)


def _infos(library: "Library") -> tuple[ModelInfo, ...]:
    from mlx_harmony.conversation.uses import CHATS_FILE, counted_in

    return library.infos(counted_in(Path(library.settings.home, CHATS_FILE)))


def _aliases(library: "Library", wanted: Filter, terminal: Terminal) -> tuple[AliasRow, ...]:
    """The aliases that are meant; where their file cannot be read, a word on that and none."""
    try:
        rows = {row.entry.id: row for row in library.alias_rows()}
    except SettingsError as error:
        terminal.warn(error.message)
        return ()
    return tuple(rows[info.entry.id] for info in matching((ModelInfo(entry=row.entry) for row in rows.values()), wanted))


def _tokens(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 2**31:
        raise argparse.ArgumentTypeError(f"must be a whole number of tokens, not {text!r}")
    return int(text)
