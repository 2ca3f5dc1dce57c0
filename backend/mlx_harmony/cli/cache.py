"""`mlx-harmony cache`: what models keep of what they read, as a table or as JSON; pin, drop and clear; hands over the rest.

A program that runs on this home is asked; without one it is the disk that is looked at and changed.
"""

import argparse
import json
import time
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from mlx_harmony.cache_records import CacheAction, CacheStanding
from mlx_harmony.cli import cache_files, cache_live, cache_prompt
from mlx_harmony.cli.cache_table import cache_lines
from mlx_harmony.cli.errors import DONE
from mlx_harmony.cli.flags import add_model_flags, add_prompting_flags, chosen_settings
from mlx_harmony.cli.terminal import Terminal
from mlx_harmony.errors import InvalidRequest
from mlx_harmony.settings import Settings, absolute
from mlx_harmony.shelf.kept import FOLDER, Kept, act_on, kept_in

ACTIONS = ("list", "pin", "unpin", "drop", "clear", "save", "load", "prompt")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", nargs="?", default="list", choices=ACTIONS, help="what to do (default: list)")
    parser.add_argument("entry", nargs="?", default="", metavar="ID", help="the entry to pin, unpin, drop or save; its beginning will do")
    parser.add_argument("file", nargs="?", default="", metavar="FILE", help="the file to save to; `load` takes it in place of an ID")
    add_model_flags(parser)
    parser.add_argument("--force", action="store_true", help="let save and prompt replace a file that is there")
    parser.add_argument("--json", action="store_true", help="print JSON, every field, sizes in bytes")
    cache_prompt.add_arguments(parser)
    add_prompting_flags(parser)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Lists, or does it and says how many files that met. Raises InvalidRequest for an id that names no entry, or several."""
    if args.action == "prompt":
        return cache_prompt.run(args, terminal)
    settings = chosen_settings(args)
    if args.action == "load":
        taken = cache_files.load(settings, args.model, args.entry, terminal)
        cache_files.shown("Loaded", taken, terminal, as_json=args.json)
        return DONE
    root = Path(settings.home, FOLDER)
    model = _folder_of(args.model, settings) if args.model else ""
    if args.action == "save":
        cache_files.named(args.file)
        entry = _entry_id(args.entry, _ids(_kept(root, model)), "What is only in memory is saved in the Cache tab.")
        saved = cache_files.save(settings, entry, args.file, force=args.force)
        cache_files.shown("Saved", saved, terminal, as_json=args.json)
        return DONE
    standing = cache_live.standing_of(settings.home, terminal)
    if standing is not None:
        return _run_live(args, cache_live.of_folder(standing, model), settings.home, terminal)
    return _run_on_disk(args, root, model, terminal)


def _run_live(args: argparse.Namespace, found: Sequence[CacheStanding], home: str, terminal: Terminal) -> int:
    """With a program that runs, which keeps the memory and the disk."""
    if args.action == "list":
        cache_live.show(found, terminal, time.time(), as_json=args.json)
        return DONE
    ids = {entry.id for each in found for entry in each.state.entries}
    entry = "" if args.action == "clear" else _entry_id(args.entry, ids)
    meant = (each for each in found if not entry or any(kept.id == entry for kept in each.state.entries))
    met = sum(cache_live.change(home, each, args.action, entry) for each in meant)
    _say(args, entry, met, "entries", terminal)
    return DONE


def _run_on_disk(args: argparse.Namespace, root: Path, model: str, terminal: Terminal) -> int:
    """Without one."""
    found = _kept(root, model)
    if args.action == "list":
        _show(found, terminal, as_json=args.json)
        return DONE
    action: CacheAction = args.action
    entry = "" if action == "clear" else _entry_id(args.entry, _ids(found))
    _say(args, entry, act_on(root, action, entry, model), "files", terminal)
    return DONE


def _say(args: argparse.Namespace, entry: str, met: int, things: str, terminal: Terminal) -> None:
    """What was done, and to how many of these things."""
    if args.json:
        terminal.line(json.dumps({"action": args.action, "entry": entry, things: met}))
    else:
        terminal.line(f"{_DONE[args.action]} {met} {things if met != 1 else _ONE[things]}.")


_DONE = {"pin": "Pinned", "unpin": "Unpinned", "drop": "Removed", "clear": "Removed"}
_ONE = {"files": "file", "entries": "entry"}


def _show(found: tuple[Kept, ...], terminal: Terminal, *, as_json: bool) -> None:
    if as_json:
        terminal.line(json.dumps([_as_json(shelf) for shelf in found], indent=2))
        return
    for line in cache_lines(found, time.time()):
        terminal.line(line)


def _kept(root: Path, model: str) -> tuple[Kept, ...]:
    """What is on disk, of the model in that folder or of all."""
    return tuple(shelf for shelf in kept_in(root) if not model or shelf.identity.model == model)


def _ids(found: Iterable[Kept]) -> set[str]:
    return {entry.id for shelf in found for entry in shelf.entries}


def _entry_id(beginning: str, known: Collection[str], else_where: str = "") -> str:
    """The one entry whose id begins so; `else_where` says where others may be."""
    if not beginning:
        raise InvalidRequest("No entry is named.", hint="Give the id that `mlx-harmony cache` shows.", param="entry")
    ids = sorted(each for each in known if each.startswith(beginning))
    if len(ids) != 1:
        what = f"{len(ids)} entries begin" if ids else "No entry begins"
        hint = else_where if else_where and not ids else "Give more of the id that `mlx-harmony cache` shows."
        raise InvalidRequest(f"{what} with {beginning!r}{' on disk' if else_where else ''}.", hint=hint, param="entry")
    return ids[0]


def _folder_of(model: str, settings: Settings) -> str:
    """The folder of a model named by its id or its folder."""
    from mlx_harmony.models.catalog import Catalog, Places

    if (folder := absolute(model)).is_dir():
        return str(folder.resolve())
    return str(absolute(Catalog(Places.of(settings)).find(model).folder).resolve())


def _as_json(shelf: Kept) -> dict[str, Any]:
    fields = {name: getattr(shelf.identity, name) for name in shelf.identity.__struct_fields__}
    entries = [{name: getattr(entry, name) for name in entry.__struct_fields__} for entry in shelf.entries]
    return {**fields, "bytes": shelf.bytes, "problem": shelf.problem, "source": "disk", "entries": entries}
