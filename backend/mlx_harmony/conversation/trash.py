"""What was deleted and can be brought back: whole chats, and messages with all that followed them. Works on a connection.

Deleting only marks; `empty` alone removes. A deleted message's rows carry the id of its entry in the table `trash`.
"""

import sqlite3
import time

from mlx_harmony.conversation import tree
from mlx_harmony.conversation.records import TrashItem
from mlx_harmony.errors import ChatNotFound

EXCERPT_LENGTH = 120

_SAID = "COALESCE(NULLIF(TRIM(m.content), ''), LTRIM(m.attached, char(10)))"
_LIST = f"""
SELECT c.id AS id, 'chat' AS kind, c.id AS chat_id, c.title AS title,
  COALESCE((SELECT {_SAID} FROM messages m WHERE m.id = c.active_root), '') AS content, c.trashed_at AS trashed_at,
  (SELECT COUNT(*) FROM messages m WHERE m.chat_id = c.id AND m.trash_id IS NULL) AS messages
  FROM chats c WHERE c.trashed_at IS NOT NULL
UNION ALL
SELECT t.id, 'message', t.chat_id, c.title, {_SAID}, t.trashed_at,
  (SELECT COUNT(*) FROM messages s WHERE s.trash_id = t.id)
  FROM trash t JOIN chats c ON c.id = t.chat_id JOIN messages m ON m.id = t.message_id WHERE c.trashed_at IS NULL
ORDER BY trashed_at DESC, id
"""  # noqa: S608
_ABOVE = """
WITH RECURSIVE above (id, parent_id, trash_id) AS (
  SELECT id, parent_id, trash_id FROM messages WHERE id = ?
  UNION ALL
  SELECT m.id, m.parent_id, m.trash_id FROM messages m JOIN above ON m.id = above.parent_id
)
SELECT DISTINCT trash_id FROM above WHERE trash_id IS NOT NULL
"""


def items(db: sqlite3.Connection) -> tuple[TrashItem, ...]:
    """All of it, the last deleted first. What lies in a deleted chat is part of that chat."""
    return tuple(
        TrashItem(
            id=row["id"],
            kind=row["kind"],
            chat_id=row["chat_id"],
            title=row["title"],
            excerpt=row["content"][:EXCERPT_LENGTH],
            trashed_at=row["trashed_at"],
            messages=row["messages"],
        )
        for row in db.execute(_LIST)
    )


def put_message(db: sqlite3.Connection, trash_id: str, chat_id: str, message_id: str) -> None:
    """Delete a message with all that hangs below it; the version before it, else the one after it, is shown in its place."""
    row = tree.path_to(db, chat_id, message_id)[-1]
    others = [other for other in tree.siblings(db, row) if other["id"] != message_id]
    before = [other["id"] for other in others if other["position"] < row["position"]]
    db.execute(f"{tree.SUBTREE} UPDATE messages SET trash_id = ? WHERE id IN (SELECT id FROM subtree)", (message_id, trash_id))  # noqa: S608
    db.execute("INSERT INTO trash (id, chat_id, message_id, trashed_at) VALUES (?, ?, ?, ?)", (trash_id, chat_id, message_id, time.time()))
    parent_id = row["parent_id"]
    if _shown_child(db, chat_id, parent_id) == message_id:
        tree.point(db, chat_id, parent_id, before[-1] if before else next((other["id"] for other in others), None))


def restore_message(db: sqlite3.Connection, trash_id: str) -> None:
    """Bring a deleted message back and show it, with whatever it hangs on. Raises ChatNotFound once the trash was emptied."""
    found = db.execute("SELECT chat_id, message_id FROM trash WHERE id = ?", (trash_id,)).fetchone()
    if found is None:
        raise ChatNotFound("This message is no longer in the trash.", hint="The trash was emptied, or it was brought back.", param="token")
    for entry in db.execute(_ABOVE, (found["message_id"],)).fetchall():
        db.execute("UPDATE messages SET trash_id = NULL WHERE trash_id = ?", (entry["trash_id"],))
        db.execute("DELETE FROM trash WHERE id = ?", (entry["trash_id"],))
    tree.show(db, found["chat_id"], found["message_id"])


def empty(db: sqlite3.Connection) -> tuple[str, ...]:
    """Remove for good what is in the trash; the chats of which anything went."""
    chats = db.execute("SELECT id FROM chats WHERE trashed_at IS NOT NULL UNION SELECT chat_id FROM trash ORDER BY 1").fetchall()
    _remove_messages(db, "trash_id IS NOT NULL OR chat_id IN (SELECT id FROM chats WHERE trashed_at IS NOT NULL)")
    db.execute("DELETE FROM trash")
    db.execute("DELETE FROM chats WHERE trashed_at IS NOT NULL")
    return tuple(row[0] for row in chats)


def drop(db: sqlite3.Connection, chat_id: str) -> bool:
    """Remove one chat for good, if it lies in the trash."""
    if db.execute("SELECT 1 FROM chats WHERE id = ? AND trashed_at IS NOT NULL", (chat_id,)).fetchone() is None:
        return False
    _remove_messages(db, "chat_id = ?", chat_id)
    db.execute("DELETE FROM chats WHERE id = ?", (chat_id,))
    return True


def _remove_messages(db: sqlite3.Connection, where: str, *values: str) -> None:
    # SQLite follows a chain of parents by recursion, a thousand steps at most: the chains are undone first.
    db.execute(f"UPDATE messages SET parent_id = NULL WHERE {where}", values)  # noqa: S608
    db.execute(f"DELETE FROM messages WHERE {where}", values)  # noqa: S608


def _shown_child(db: sqlite3.Connection, chat_id: str, parent_id: str | None) -> str | None:
    if parent_id is None:
        row = db.execute("SELECT active_root FROM chats WHERE id = ?", (chat_id,)).fetchone()
    else:
        row = db.execute("SELECT active_child FROM messages WHERE id = ?", (parent_id,)).fetchone()
    shown: str | None = row[0]
    return shown
