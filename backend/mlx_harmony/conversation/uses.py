"""In how many chats each model answered. Works on a connection, or on the file of a home that nobody has opened.

It knows models by the ids that stand in what made an answer.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from mlx_harmony.conversation.schema import ANSWERED_BY

CHATS_FILE = "chats.sqlite3"
"""The file in the app's home."""

_COUNT = f"""
SELECT {ANSWERED_BY} AS model, COUNT(DISTINCT chat_id) AS chats FROM messages
  WHERE role = 'assistant' AND trash_id IS NULL AND {ANSWERED_BY} IS NOT NULL
  AND chat_id NOT IN (SELECT id FROM chats WHERE trashed_at IS NOT NULL)
  GROUP BY model
"""  # noqa: S608


def chats_by_model(db: sqlite3.Connection) -> dict[str, int]:
    """By a model's id, the chats in which it answered; what was deleted does not count."""
    return {row[0]: row[1] for row in db.execute(_COUNT)}


def counted_in(path: Path) -> dict[str, int]:
    """The same of a file that is only looked at; nothing where it is not there, is damaged or of an early release."""
    if not path.is_file():
        return {}
    # Where nobody writes, nothing of a journal is left beside the file.
    written = path.with_name(f"{path.name}-wal").exists()
    uri = f"{path.absolute().as_uri()}?mode=ro{'' if written else '&immutable=1'}"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as db:
            return chats_by_model(db)
    except sqlite3.Error:
        return {}
