"""Opening the chat file: making it, marking what a crash cut short, and setting a damaged one aside. Nothing is ever deleted here."""

import asyncio
import sqlite3
import time
from pathlib import Path

from mlx_harmony.conversation.answering import Answering, one_at_a_time
from mlx_harmony.conversation.database import Database, connect_reader, connect_writer, is_spoilt, storage_error
from mlx_harmony.errors import StorageError

_COMPANIONS = ("", "-wal", "-shm")


async def open_database(path: Path) -> tuple[Database, tuple[str, ...]]:
    """The open file and what the person should be told. Raises StorageError where the folder cannot be used."""
    return await asyncio.to_thread(_open, path)


def _open(path: Path) -> tuple[Database, tuple[str, ...]]:
    path = path.absolute()
    notices: tuple[str, ...] = ()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with one_at_a_time(path):
            try:
                writer = connect_writer(path)
            except sqlite3.DatabaseError as error:
                if not is_spoilt(error):
                    raise
                notices = (_told(path, _set_aside(path)),)
                writer = connect_writer(path)
            try:
                _mark_cut_short(writer, Answering(path))
                return Database(path, writer, connect_reader(path)), notices
            except sqlite3.Error:
                writer.close()
                raise
    except sqlite3.Error as error:
        raise storage_error(error, path) from error
    except OSError as error:
        hint = "Check that the folder exists, is writable and has space, or choose another one with MLX_HARMONY_HOME."
        raise StorageError(f"The chat file could not be opened: {error}.", hint=hint) from error


def _mark_cut_short(writer: sqlite3.Connection, answering: Answering) -> None:
    """Every answer that stands there as still coming, but for those that another program is writing right now."""
    rows = writer.execute("SELECT DISTINCT chat_id FROM messages WHERE state = 'streaming'").fetchall()
    for row in rows:
        if not answering.held(row["chat_id"]):
            writer.execute("UPDATE messages SET state = 'interrupted' WHERE state = 'streaming' AND chat_id = ?", (row["chat_id"],))


def _set_aside(path: Path) -> Path:
    """Rename the file and its journal out of the way, under a name that sorts by time and that SQLite can still recover."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    aside = path.with_name(f"{path.name}.{stamp}.damaged")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.{stamp}-{number}.damaged")
    for companion in _COMPANIONS:
        old = path.with_name(path.name + companion)
        if old.exists():
            old.rename(aside.with_name(aside.name + companion))
    return aside


def _told(path: Path, aside: Path) -> str:
    return (
        f"The chat file {path.name} was damaged. It was kept as {aside} and a fresh one was begun; "
        f"`sqlite3 {aside.name} .recover` may bring its chats back."
    )
