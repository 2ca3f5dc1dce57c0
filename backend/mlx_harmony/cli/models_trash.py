"""`mlx-harmony models trash`: what was deleted, brought back or removed for good after a question. How files move is `models.trash`'s."""

import argparse
import json
from collections.abc import Sequence

import msgspec

from mlx_harmony.cli.asking import agreed
from mlx_harmony.cli.errors import DONE, FAILED
from mlx_harmony.cli.models_table import size
from mlx_harmony.cli.terminal import Terminal
from mlx_harmony.errors import InvalidRequest
from mlx_harmony.models.trash import Trash, Trashed

SHORT_COMMIT = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="?", default="list", choices=("list", "restore", "empty"), help="what to do (default: list)")
    parser.add_argument("ids", nargs="*", metavar="ID", help="which, as the list has it, or the model's id; `empty` alone empties all")


def run(args: argparse.Namespace, terminal: Terminal, trash: Trash) -> int:
    """Exit code 1 where nothing was done because nobody agreed. Raises what the trash raises."""
    items = trash.items()
    if args.what == "list":
        if args.json:
            terminal.line(json.dumps({"items": msgspec.to_builtins(items), "bytes": trash.bytes()}, indent=2))
        else:
            for line in trash_lines(items, trash.bytes()):
                terminal.line(line)
        return DONE
    if args.what == "restore" and not args.ids:
        raise InvalidRequest("Nothing is named.", hint="mlx-harmony models trash restore ID; `models trash` lists the ids.", param="id")
    chosen = [_one_of(word, items) for word in args.ids] or list(items)
    return _restore(chosen, args, terminal, trash) if args.what == "restore" else _empty(chosen, args, terminal, trash)


def _restore(chosen: Sequence[Trashed], args: argparse.Namespace, terminal: Terminal, trash: Trash) -> int:
    restored = [trash.restore(each.id) for each in chosen]
    if args.json:
        terminal.line(json.dumps({"restored": msgspec.to_builtins(restored)}, indent=2))
    for each in () if args.json else restored:
        terminal.line(f"{each.model} is back: {each.path}")
    return DONE


def _empty(chosen: Sequence[Trashed], args: argparse.Namespace, terminal: Terminal, trash: Trash) -> int:
    if not args.json:
        for line in trash_lines(chosen, sum(each.bytes for each in chosen)):
            terminal.line(line)
    if chosen and not (args.yes or agreed("Delete these for good?", terminal)):
        return FAILED
    freed = trash.empty([each.id for each in chosen])
    if args.json:
        terminal.line(json.dumps({"emptied": [each.id for each in chosen], "freed_bytes": freed}))
    elif chosen:
        terminal.line(f"Emptied; {size(freed)} are free again.")
    return DONE


def trash_lines(items: Sequence[Trashed], total: int) -> list[str]:
    """A table of what is in the trash, or one line that says that nothing is."""
    if not items:
        return ["The trash is empty."]
    widest = max(len(each.model) for each in items)
    lines = [f"{each.id}  {each.model:<{widest}}  {size(each.bytes)}  {_part(each)}".rstrip() for each in items]
    return [*lines, f"Together {size(total)} ({total:,} bytes)."]


def _part(each: Trashed) -> str:
    part = "" if each.whole else ", ".join(f"@{commit[:SHORT_COMMIT]}" for commit in each.revisions) or "half downloads"
    return f"{part} ({each.problem})".strip() if each.problem else part


def _one_of(word: str, items: Sequence[Trashed]) -> Trashed:
    found = [each for each in items if word and (each.id.startswith(word) or each.model == word)]
    if len(found) != 1:
        what = f"{len(found)} things in the trash are meant by" if found else "Nothing in the trash is called"
        raise InvalidRequest(f"{what} {word[:100]!r}.", hint="Give the id that `mlx-harmony models trash` shows.", param="id")
    return found[0]
