"""The chats in which each model answered: how many, and the latest. Works on a connection, or on the file of a home nobody has opened.

It knows models by the ids that stand in what made an answer.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from mlx_harmony.conversation.schema import ANSWERED_BY
from mlx_harmony.records import ChatName, ChatUses

CHATS_FILE = "chats.sqlite3"
"""The file in the app's home."""

LATEST = 5
"""So many chats of each model are named."""

_USES = f"""
WITH uses AS (
  SELECT DISTINCT {ANSWERED_BY} AS model, chat_id FROM messages
    WHERE role = 'assistant' AND trash_id IS NULL AND {ANSWERED_BY} IS NOT NULL
), placed AS (
  SELECT model, id, title, COUNT(*) OVER (PARTITION BY model) AS chats,
    ROW_NUMBER() OVER (PARTITION BY model ORDER BY updated_at DESC, id) AS place
    FROM uses JOIN chats ON id = chat_id WHERE trashed_at IS NULL
)
SELECT model, chats, id, title FROM placed WHERE place <= {LATEST} ORDER BY model, place
"""  # noqa: S608


def chats_by_model(db: sqlite3.Connection) -> dict[str, ChatUses]:
    """By a model's id, the chats in which it answered; what was deleted does not count."""
    found: dict[str, ChatUses] = {}
    for model, count, chat_id, title in db.execute(_USES):
        earlier = found[model].latest if model in found else ()
        found[model] = ChatUses(count=count, latest=(*earlier, ChatName(id=chat_id, title=title)))
    return found


def counted_in(path: Path) -> dict[str, ChatUses]:
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
