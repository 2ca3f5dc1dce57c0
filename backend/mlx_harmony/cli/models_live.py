"""`mlx-harmony models load|unload|pin|use`: which models the running program keeps in memory, and which one answers by default.

`use` changes the settings where no program runs; the others have nothing to act on then, and say so.
"""

import argparse
import json
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

from mlx_harmony.cli import presence
from mlx_harmony.cli.errors import DONE, INTERRUPTED
from mlx_harmony.cli.flags import chosen_settings, model_name
from mlx_harmony.cli.models_table import size
from mlx_harmony.cli.terminal import Terminal, plain
from mlx_harmony.settings import Settings, changed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", type=model_name, metavar="ID", help="the model's id or folder")
    match parser.get_default("action"):
        case "load":
            parser.add_argument("--force", action="store_true", help="load it anyway, whatever the forecast of its memory says")
        case "pin":
            parser.add_argument("--off", action="store_true", help="let it go again when something else needs the room")
    parser.add_argument("--json", action="store_true", help="print JSON, sizes in bytes")


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Raises Unavailable where no program runs, and what the program refuses."""
    settings = chosen_settings(args)
    model = _id(args.id, settings)
    match args.action:
        case "load":
            terminal.hint(f"Loading {model}. Ctrl-C gives it up.")
            try:
                told = _loaded(settings, model, args.force, terminal)
            except KeyboardInterrupt:
                terminal.warn(f"Given up: {model} is not loaded by this. What was in memory stays there.")
                return INTERRUPTED
            said = f"{model} is loaded{_takes(told)}."
        case "unload":
            told = _asked(settings, "unload", model)
            said = f"{model} is not in memory."
        case "pin":
            told = _asked(settings, "pin", model, pinned=not args.off)
            said = f"{model} stays in memory once it is loaded." if told["pinned"] else f"{model} is not pinned."
        case _:
            told = _used(settings, model)
            said = f"{told['id']} answers where no model is named."
    terminal.line(json.dumps(told, indent=2) if args.json else said)
    for note in told.get("notes") or ():
        terminal.warn(note)
    return DONE


def _loaded(settings: Settings, model: str, force: bool, terminal: Terminal) -> dict[str, Any]:
    """How the model stands once it is loaded; whoever watches sees how far it is, on one line that goes in the end."""
    if not terminal.watched:
        return _asked(settings, "load", model, force=force)
    told: dict[str, Any] = {}
    try:
        with closing(presence.follow(settings.home, "/v1/models/load", {"model": model, "force": force, "stream": True})) as steps:
            for told in steps:
                if told["step"] == "loading":
                    terminal.progress(plain(f"{told['fraction'] * 100:.0f} %  {model}")[: shutil.get_terminal_size().columns - 1])
    finally:
        terminal.progress("")
    return {name: value for name, value in told.items() if name != "step"}


def _asked(settings: Settings, action: str, model: str, **more: bool) -> dict[str, Any]:
    """How the model stands in the running program once it has done that."""
    return presence.ask(settings.home, "POST", f"/v1/models/{action}", {"model": model, **more})


def _used(settings: Settings, model: str) -> dict[str, Any]:
    """Make it the default model: in the running program, which keeps it, else in the settings' file. Raises ModelNotFound."""
    if presence.running(settings.home) is not None:
        return _asked(settings, "use", model)
    import msgspec

    from mlx_harmony.library import Library

    entry = Library(msgspec.structs.replace(settings, model=model)).find(None)
    changed(settings, {"model": model})
    return {"id": entry.id, "default": True}


def _id(named: str, settings: Settings) -> str:
    """The id of a model that was named by its folder; anything else is an id already."""
    if not Path(named).is_absolute():
        return named
    from mlx_harmony.library import Library

    return Library(settings).here(named) or named


def _takes(told: dict[str, Any]) -> str:
    taken = told.get("memory_bytes")
    return f" and takes {size(taken)} of memory" if isinstance(taken, int) and taken else ""
