"""`mlx-harmony migrate-chat`: chat files of earlier releases become version 2, or chats of the app. No file is ever changed."""

import argparse
import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path

from mlx_harmony.cli.errors import DONE, FAILED
from mlx_harmony.cli.flags import chosen_settings
from mlx_harmony.cli.terminal import Terminal
from mlx_harmony.conversation.interchange.migrating import Migrated, migrated
from mlx_harmony.errors import HarmonyError, InvalidRequest, StorageError
from mlx_harmony.records import Record

SUFFIX = ".v2.json"


class Outcome(Record):
    """What became of one file. `written` is the new file, "" for none; `imported` are the ids of new chats in the app."""

    file: str
    chats: int = 0
    messages: int = 0
    written: str = ""
    imported: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    error: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", type=existing, metavar="FILE_OR_FOLDER", help="a chat file, or a folder of them")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--to", metavar="FOLDER", type=Path, help=f"where to write the new files (default: beside the old, as NAME{SUFFIX})")
    where.add_argument("--into-app", action="store_true", help="bring the chats into the app instead of writing files")
    parser.add_argument("--dry-run", action="store_true", help="say what would become of each file, and write nothing")
    parser.add_argument("--json", action="store_true", help="print JSON, one entry for each file")


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Goes through all files; one that cannot be read does not stop the others, but makes the exit code 1."""
    files = chat_files(args.files)
    outcomes = asyncio.run(_into_app(files, args) if args.into_app and not args.dry_run else _into_files(files, args))
    if args.json:
        names = Outcome.__struct_fields__
        terminal.line(json.dumps([{name: getattr(outcome, name) for name in names} for outcome in outcomes], indent=2))
    for outcome in outcomes:
        _tell(outcome, args, terminal)
    if not outcomes:
        terminal.warn("There is no chat file in there: none ends in .json.")
    return DONE if outcomes and not any(outcome.error for outcome in outcomes) else FAILED


def existing(text: str) -> Path:
    """The path. Raises ArgumentTypeError where nothing is there."""
    path = Path(text).expanduser()
    if not path.exists():
        raise argparse.ArgumentTypeError(f"there is no file or folder {text!r}")
    return path


def chat_files(paths: Sequence[Path]) -> list[Path]:
    """The files named, and of folders those that end in .json, each once; what an earlier run wrote is left out."""
    found = [each for path in paths for each in (sorted(path.glob("*.json")) if path.is_dir() else [path])]
    return [path for path in dict.fromkeys(found) if path in paths or not path.name.endswith(SUFFIX)]


async def _into_files(files: list[Path], args: argparse.Namespace) -> list[Outcome]:
    outcomes = []
    for file in files:
        target = args.to / file.name if args.to else file.with_name(file.name.removesuffix(".json") + SUFFIX)
        try:
            found = await migrated(file)
            written = ""
            if not args.dry_run:
                write_new(target, found.data)
                written = str(target)
            outcomes.append(_outcome(file, found, written))
        except HarmonyError as error:
            outcomes.append(Outcome(file=str(file), error=f"{error.message} {error.hint}".strip()))
    return outcomes


async def _into_app(files: list[Path], args: argparse.Namespace) -> list[Outcome]:
    from mlx_harmony.service import Service

    service = await Service.open(chosen_settings(args))
    outcomes = []
    try:
        for file in files:
            try:
                report = await service.import_chats(file)
                chats = [await service.read_chat(chat_id) for chat_id in report.imported]
                messages = sum(chat.summary.messages for chat in chats)
                outcome = Outcome(file=str(file), chats=len(chats), messages=messages, imported=report.imported, warnings=report.warnings)
            except HarmonyError as error:
                outcome = Outcome(file=str(file), error=f"{error.message} {error.hint}".strip())
            outcomes.append(outcome)
    finally:
        await service.close()
    return outcomes


def write_new(path: Path, data: bytes) -> None:
    """Write a file that is not there yet, whole or not at all. Raises InvalidRequest where one is there, StorageError."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            draft.write_bytes(data)
            draft.chmod(0o600)
            # A link, unlike a rename, never takes the place of another file.
            path.hardlink_to(draft)
        finally:
            draft.unlink(missing_ok=True)
    except FileExistsError as error:
        raise InvalidRequest(f"{path} is there already.", hint="Name another folder with --to.", param="to") from error
    except OSError as error:
        raise StorageError(f"{path} could not be written: {error.strerror}.", hint="Check the folder and its free space.") from error


def _outcome(file: Path, found: Migrated, written: str) -> Outcome:
    messages = sum(count for _, count in found.chats)
    return Outcome(file=str(file), chats=len(found.chats), messages=messages, written=written, warnings=found.warnings)


def _tell(outcome: Outcome, args: argparse.Namespace, terminal: Terminal) -> None:
    for warning in outcome.warnings:
        terminal.warn(f"{outcome.file}: {warning}")
    if outcome.error:
        terminal.fail(f"{outcome.file}: {outcome.error}")
    elif not args.json:
        became = f" -> {outcome.written}" if outcome.written else " -> the app" if outcome.imported else " (nothing written)"
        terminal.line(f"{outcome.file}: {_counted(outcome.chats, 'chat')}, {_counted(outcome.messages, 'message')}{became}")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
