"""`mlx-harmony models delete`: what would go, the question, and the move into the trash. Deletes nothing that nobody agreed to.

What goes is `models.removal`'s to say, and `models trash` is in `models_trash`. A model that a running program has in memory is unloaded
there first.
"""

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from mlx_harmony.cli import models_trash
from mlx_harmony.cli.asking import agreed
from mlx_harmony.cli.errors import DONE, FAILED
from mlx_harmony.cli.flags import add_model_flags, chosen_settings
from mlx_harmony.cli.models_table import size
from mlx_harmony.cli.terminal import Terminal
from mlx_harmony.errors import InvalidRequest
from mlx_harmony.models.trash import Trash
from mlx_harmony.settings import Settings

if TYPE_CHECKING:
    from mlx_harmony.models.holdings import Holding
    from mlx_harmony.models.removal import Removal, RemovalItem, Selected


def add_arguments(parser: argparse.ArgumentParser) -> None:
    if parser.get_default("action") == "trash":
        models_trash.add_arguments(parser)
    else:
        parser.add_argument(
            "ids", nargs="*", metavar="ID[@REVISION]", help="a model; with @ one revision of it: a commit or what leads to it"
        )
        parser.add_argument("--incomplete", action="store_true", help="only what is left of downloads; without an ID, everywhere")
        parser.add_argument(
            "--detached", action="store_true", help="revisions that a newer download took the place of; without an ID, everywhere"
        )
        parser.add_argument("--dry-run", action="store_true", help="only tell what would go")
        parser.add_argument("--for-good", action="store_true", help="not into the trash: the space is free at once, and nothing comes back")
        add_model_flags(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="print JSON, every field, sizes in bytes")


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Exit code 1 where nothing was done because nobody agreed. Raises what `models.removal.plan` and the trash raise."""
    settings = chosen_settings(args)
    trash = Trash(settings.home)
    trash.recover()
    if args.action == "trash":
        return models_trash.run(args, terminal, trash)
    return _delete(args, terminal, settings, trash)


def _delete(args: argparse.Namespace, terminal: Terminal, settings: Settings, trash: Trash) -> int:
    from mlx_harmony.cli.unloading import unloaded_first
    from mlx_harmony.library import Library
    from mlx_harmony.models.holdings import holdings
    from mlx_harmony.models.removal import models_in, plan

    library = Library(settings)
    held = holdings(library.places)
    selection = _selection(args, held)
    if not selection:
        what = "There are no half downloads." if args.incomplete else "There are no detached revisions."
        terminal.line(_document({}, deleted=False) if args.json else what)
        return DONE
    removal = plan(held, selection)
    if not args.json:
        for line in removal_lines(removal):
            terminal.line(line)
    if args.dry_run:
        terminal.line(_document(_told(removal), deleted=False) if args.json else "Nothing was deleted: this was a dry run.")
        return DONE
    if not (args.yes or agreed("Delete these for good?" if args.for_good else "Move these to the trash?", terminal)):
        return FAILED
    if plan(holdings(library.places), selection).items != removal.items:
        raise InvalidRequest("What is on the disk has changed meanwhile. Nothing was deleted.", hint="Look again.", param="id")
    unloaded = unloaded_first(settings.home, models_in(removal, library.models()), terminal)
    trashed = trash.take(removal)
    freed = trash.empty([each.id for each in trashed]) if args.for_good else 0
    if args.json:
        told = {"unloaded": unloaded, "trash": [] if args.for_good else [each.id for each in trashed], "freed_now": freed}
        terminal.line(_document(_told(removal) | told, deleted=True))
    elif args.for_good:
        terminal.line(f"Deleted; {size(freed)} are free again.")
    else:
        terminal.line(f"Moved to the trash: {', '.join(each.id for each in trashed)}.")
        terminal.hint(f"`mlx-harmony models trash empty` frees {size(removal.freed_bytes)}, `models trash restore ID` brings them back.")
    return DONE


def _selection(args: argparse.Namespace, held: "Sequence[Holding]") -> "list[Selected]":
    """What the words and flags mean. Raises InvalidRequest where there are none."""
    from mlx_harmony.models.removal import Selected

    if not (args.ids or args.incomplete or args.detached):
        raise InvalidRequest("Nothing is named.", hint="mlx-harmony models delete ID; `mlx-harmony models` lists the ids.", param="id")
    known = {holding.id for holding in held}
    named = [_named(word, known) for word in args.ids]
    if not (args.incomplete or args.detached):
        return named
    if revision := next((each for each in named if each.revision), None):
        hint = f"Name {revision.id} without its revision."
        raise InvalidRequest("--incomplete and --detached are about whole models.", hint=hint, param="id")
    selection: list[Selected] = []
    if unknown := [each for each in named if each.id not in known]:
        return unknown
    for holding in held:
        if named and holding.id not in {each.id for each in named}:
            continue
        if args.incomplete and holding.incomplete_bytes:
            selection.append(Selected(id=holding.id, incomplete_only=True))
        # A model of which no revision has a name was downloaded by its commit: that is no left-over.
        if args.detached and not all(revision.detached for revision in holding.revisions):
            selection += [Selected(id=holding.id, revision=revision.commit) for revision in holding.revisions if revision.detached]
    return selection


def _named(word: str, known: set[str]) -> "Selected":
    from mlx_harmony.models.removal import Selected

    name, at, revision = word.rpartition("@")
    return Selected(id=name, revision=revision) if at and revision and word not in known else Selected(id=word)


def removal_lines(removal: "Removal") -> list[str]:
    """What goes, with exact ids and bytes, and what is free then."""
    names = [_name_of(item) for item in removal.items]
    widest = max(map(len, names))
    lines = [
        f"{name:<{widest}}  {size(item.freed_bytes)} ({item.freed_bytes:,} bytes)" for name, item in zip(names, removal.items, strict=True)
    ]
    after = f"free now {size(removal.free_bytes_before)}, then {size(removal.free_bytes_after)}"
    return [*lines, f"Together {size(removal.freed_bytes)} ({removal.freed_bytes:,} bytes); {after}."]


def _name_of(item: "RemovalItem") -> str:
    if item.whole:
        return item.id
    parts = [f"@{commit[: models_trash.SHORT_COMMIT]}" for commit in item.revisions]
    return f"{item.id}{', '.join(parts)}{' half downloads' if item.incomplete_bytes else ''}"


def _told(removal: "Removal") -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(removal)
    return told | {"free_bytes_after": removal.free_bytes_after}


def _document(told: dict[str, Any], *, deleted: bool) -> str:
    return json.dumps({"deleted": deleted, **told}, indent=2)
