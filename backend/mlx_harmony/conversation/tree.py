"""The tree of messages in one chat, as rows: paths through it, versions of a place, and which of them is shown. Works on a connection.

A message in the trash has a `trash_id`; nothing that is not in the trash hangs below it.
"""

import sqlite3
from collections.abc import Sequence
from itertools import pairwise

from mlx_harmony.conversation.records import ChatMessage
from mlx_harmony.conversation.rows import attached_text, message_details, message_of
from mlx_harmony.errors import ChatNotFound

_SHOWN_PATH = """
WITH RECURSIVE shown (id, depth) AS (
  SELECT active_root, 0 FROM chats WHERE id = ? AND active_root IS NOT NULL
  UNION ALL
  SELECT m.active_child, depth + 1 FROM messages m JOIN shown ON m.id = shown.id WHERE m.active_child IS NOT NULL
)
SELECT m.* FROM shown JOIN messages m ON m.id = shown.id ORDER BY depth
"""
_PATH_TO = """
WITH RECURSIVE path (id, parent_id, depth) AS (
  SELECT id, parent_id, 0 FROM messages WHERE id = ? AND chat_id = ? AND trash_id IS NULL
  UNION ALL
  SELECT m.id, m.parent_id, depth + 1 FROM messages m JOIN path ON m.id = path.parent_id
)
SELECT m.* FROM path JOIN messages m ON m.id = path.id ORDER BY depth DESC
"""
_PLACES_TO = _PATH_TO.replace("m.*", "m.id, m.active_child")
_SIBLINGS = "SELECT id, position FROM messages WHERE chat_id = ? AND parent_id IS ? AND trash_id IS NULL ORDER BY position"
_INSERT = """
INSERT INTO messages (id, chat_id, parent_id, position, role, state, content, details, attached)
VALUES (:id, :chat, :parent, (SELECT COALESCE(MAX(position) + 1, 0) FROM messages WHERE chat_id = :chat AND parent_id IS :parent),
        :role, :state, :content, :details, :attached)
"""
# The beginning of a statement: `subtree` is a message and what hangs below it, less what is in the trash already.
SUBTREE = """
WITH RECURSIVE subtree (id) AS (
  SELECT id FROM messages WHERE id = ?
  UNION ALL
  SELECT m.id FROM messages m JOIN subtree ON m.parent_id = subtree.id WHERE m.trash_id IS NULL
)
"""


def shown_path(db: sqlite3.Connection, chat_id: str) -> list[sqlite3.Row]:
    """The rows that are shown, oldest first."""
    return db.execute(_SHOWN_PATH, (chat_id,)).fetchall()


def path_to(db: sqlite3.Connection, chat_id: str, message_id: str) -> list[sqlite3.Row]:
    """The rows from the first message to this one. Raises ChatNotFound for a message that is not in this chat or in the trash."""
    rows = db.execute(_PATH_TO, (message_id, chat_id)).fetchall()
    if not rows:
        raise no_message(message_id)
    return rows


def whole(db: sqlite3.Connection, chat_id: str) -> list[sqlite3.Row]:
    """All rows of a chat that are not in the trash: parents first, of each place the one shown last, so that the last is shown."""
    children: dict[str | None, list[sqlite3.Row]] = {}
    for row in db.execute("SELECT * FROM messages WHERE chat_id = ? AND trash_id IS NULL ORDER BY position", (chat_id,)):
        children.setdefault(row["parent_id"], []).append(row)
    root = db.execute("SELECT active_root FROM chats WHERE id = ?", (chat_id,)).fetchone()["active_root"]
    order: list[sqlite3.Row] = []
    waiting = _shown_first(children.get(None, []), root)
    while waiting:
        row = waiting.pop()
        order.append(row)
        waiting += _shown_first(children.get(row["id"], []), row["active_child"])
    return order


def _shown_first(rows: list[sqlite3.Row], shown: str | None) -> list[sqlite3.Row]:
    return sorted(rows, key=lambda row: (row["id"] != shown, -row["position"]))


def messages_of(db: sqlite3.Connection, rows: list[sqlite3.Row]) -> tuple[ChatMessage, ...]:
    """The messages of rows, each with the ids of its versions."""
    return tuple(message_of(row, tuple(r["id"] for r in siblings(db, row))) for row in rows)


def siblings(db: sqlite3.Connection, row: sqlite3.Row) -> list[sqlite3.Row]:
    """Id and position of every version of a row's place, oldest first."""
    return db.execute(_SIBLINGS, (row["chat_id"], row["parent_id"])).fetchall()


def insert(db: sqlite3.Connection, message: ChatMessage) -> None:
    """Add a message as the newest version of its place."""
    values = {
        "id": message.id,
        "chat": message.chat_id,
        "parent": message.parent_id,
        "role": message.role,
        "state": message.state,
        "content": message.content,
        "details": message_details(message),
        "attached": attached_text(message),
    }
    db.execute(_INSERT, values)


def show(db: sqlite3.Connection, chat_id: str, message_id: str) -> None:
    """Make a message the version shown, and every message above it. Raises ChatNotFound."""
    path = db.execute(_PLACES_TO, (message_id, chat_id)).fetchall()
    if not path:
        raise no_message(message_id)
    point(db, chat_id, None, path[0]["id"])
    for parent, child in pairwise(path):
        if parent["active_child"] != child["id"]:
            point(db, chat_id, parent["id"], child["id"])


def point(db: sqlite3.Connection, chat_id: str, parent_id: str | None, child_id: str | None) -> None:
    """Say which version is shown below a message, or first in the chat."""
    if parent_id is None:
        db.execute("UPDATE chats SET active_root = ? WHERE id = ?", (child_id, chat_id))
    else:
        db.execute("UPDATE messages SET active_child = ? WHERE id = ?", (child_id, parent_id))


def any_taken(db: sqlite3.Connection, chat_id: str, message_ids: Sequence[str]) -> bool:
    """Whether something in the file, in the trash too, has one of these ids already."""
    if db.execute("SELECT 1 FROM chats WHERE id = ?", (chat_id,)).fetchone():
        return True
    return any(db.execute("SELECT 1 FROM messages WHERE id = ?", (message_id,)).fetchone() for message_id in message_ids)


def no_message(message_id: str) -> ChatNotFound:
    return ChatNotFound(f"No message {message_id} in this chat.", hint="Reload the chat.", param="message_id")
