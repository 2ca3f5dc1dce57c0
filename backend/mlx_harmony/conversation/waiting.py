"""Attachments that wait for the message they will come with, so that a reload or a restart loses none. Works on a connection."""

import sqlite3
import time
from collections.abc import Sequence

import msgspec

from mlx_harmony.conversation.records import Attachment
from mlx_harmony.errors import InvalidRequest

KEPT_S = 7 * 86400.0
"""What was not sent for so long is let go."""

_decode = msgspec.json.Decoder(Attachment).decode


def add(db: sqlite3.Connection, attachment: Attachment) -> None:
    """Keep it, and let go of what has waited too long."""
    now = time.time()
    db.execute("DELETE FROM waiting WHERE added_at < ?", (now - KEPT_S,))
    db.execute("INSERT INTO waiting (id, attachment, added_at) VALUES (?, ?, ?)", (attachment.id, msgspec.json.encode(attachment), now))


def found(db: sqlite3.Connection, ids: Sequence[str]) -> tuple[Attachment, ...]:
    """Those of the ids that wait here, in their order."""
    rows = (db.execute("SELECT attachment FROM waiting WHERE id = ?", (name,)).fetchone() for name in ids)
    return tuple(_decode(row["attachment"]) for row in rows if row is not None)


def taken(attachments: tuple[Attachment, ...], ids: Sequence[str]) -> tuple[Attachment, ...]:
    """All of them. Raises InvalidRequest where one of the ids is missing."""
    if len(attachments) < len(ids):
        hint = "It was sent from another window, or waited too long. Attach it again."
        raise InvalidRequest("An attachment is no longer there.", hint=hint, param="attachments")
    return attachments


def remove(db: sqlite3.Connection, ids: Sequence[str]) -> None:
    """They went with their message, or are no longer wanted."""
    db.executemany("DELETE FROM waiting WHERE id = ?", [(name,) for name in ids])
