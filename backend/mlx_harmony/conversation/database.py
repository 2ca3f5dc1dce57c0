"""The threads that own the connections to one SQLite file: one that writes, one that reads. Knows nothing of chats.

A job is a function of a connection. Writing jobs run one after another, each in a transaction that is on disk when `write` returns;
a job once handed over is carried out even if nobody waits for it any more.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

from mlx_harmony.conversation.schema import migrate
from mlx_harmony.errors import StorageError

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]

BUSY_TIMEOUT_S = 5.0
_SPOILT = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_FULL = "The disk is full."
_CAUSES = {
    sqlite3.SQLITE_FULL: (_FULL, "Free some space, then send again; what is already saved is unharmed."),
    sqlite3.SQLITE_READONLY: ("The chat file is read-only.", "Make it and its folder writable, then send again."),
    sqlite3.SQLITE_CANTOPEN: ("The chat file could not be opened.", "Check that its folder exists and is writable."),
    sqlite3.SQLITE_IOERR: ("The disk reported an error.", "Check the disk and its free space, then send again."),
    sqlite3.SQLITE_BUSY: ("Another program is writing to the chat file.", "Close it, then send again."),
    sqlite3.SQLITE_CORRUPT: ("The chat file is damaged.", "Restart MLX Harmony: it sets the damaged file aside and keeps it."),
    sqlite3.SQLITE_NOTADB: ("The chat file is damaged.", "Restart MLX Harmony: it sets the damaged file aside and keeps it."),
}


def storage_error(error: sqlite3.Error, path: Path) -> StorageError:
    """The error a person can act on; it names the file."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    what, hint = _CAUSES.get(code, (f"The chat file could not be used: {error}.", "Check the file and its folder."))
    return StorageError(f"{what} ({path})", hint=hint)


def is_spoilt(error: sqlite3.Error) -> bool:
    """Whether the file itself is damaged, rather than busy, full or out of reach."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _SPOILT


def connect_writer(path: Path) -> sqlite3.Connection:
    """Open, check and migrate the file; it is made with mode 0600. Raises sqlite3.Error, OSError or StorageError."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    connection = _connect(path.as_uri())
    try:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise damaged(found)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        migrate(connection)
    except (sqlite3.Error, StorageError):
        connection.close()
        raise
    return connection


def damaged(report: str) -> sqlite3.DatabaseError:
    """The error SQLite itself raises for a damaged file, with the checker's report."""
    error = sqlite3.DatabaseError(report)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def connect_reader(path: Path) -> sqlite3.Connection:
    """Open the file for reading only."""
    return _connect(f"{path.as_uri()}?mode=ro")


def _connect(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    return connection


class Database:
    """One SQLite file with its two threads. Every method may be called from any task of the loop."""

    def __init__(self, path: Path, writer: sqlite3.Connection, reader: sqlite3.Connection) -> None:
        self.path = path
        self._closed = False
        self._writer = _Lane.start(writer, "chats-writer")
        self._reader = _Lane.start(reader, "chats-reader")

    async def write(self, job: Job[T]) -> T:
        """Run a job in one transaction; when this returns it is on disk. Raises StorageError; then nothing of it was kept."""
        return await self._run(self._writer, lambda connection: _in_transaction(connection, job))

    async def read(self, job: Job[T]) -> T:
        """Run a job that only reads: it sees every finished write, and nothing that another program writes meanwhile."""
        return await self._run(self._reader, lambda connection: _in_transaction(connection, job, "BEGIN"))

    async def close(self) -> None:
        """Finish the jobs handed over so far and close both connections."""
        self._closed = True
        await asyncio.to_thread(self._reader.close)
        await asyncio.to_thread(self._writer.close)

    async def _run(self, lane: "_Lane", job: Job[T]) -> T:
        if self._closed:
            raise StorageError("The chats are closed.", hint="Start MLX Harmony again.")
        try:
            return await asyncio.shield(asyncio.wrap_future(lane.thread.submit(job, lane.connection)))
        except sqlite3.Error as error:
            raise storage_error(error, self.path) from error


class _Lane(NamedTuple):
    """A thread that alone uses one connection, and the queue that feeds it."""

    connection: sqlite3.Connection
    thread: ThreadPoolExecutor

    @classmethod
    def start(cls, connection: sqlite3.Connection, name: str) -> "_Lane":
        return cls(connection, ThreadPoolExecutor(1, thread_name_prefix=name))

    def close(self) -> None:
        self.thread.shutdown(wait=True)
        self.connection.close()


def _in_transaction(connection: sqlite3.Connection, job: Job[T], begin: str = "BEGIN IMMEDIATE") -> T:
    with connection:
        connection.execute(begin)
        return job(connection)
