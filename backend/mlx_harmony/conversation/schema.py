"""The tables of chats.sqlite3 and how an older file becomes the current one. Knows nothing of what the rows mean to a chat."""

import sqlite3

from mlx_harmony.errors import StorageError

_FIRST = """
CREATE TABLE chats (
  id TEXT PRIMARY KEY,
  title TEXT NOT NULL,
  options BLOB NOT NULL,
  active_root TEXT,
  created_at REAL NOT NULL,
  updated_at REAL NOT NULL,
  trashed_at REAL
) STRICT, WITHOUT ROWID;

CREATE INDEX chats_by_time ON chats (updated_at DESC) WHERE trashed_at IS NULL;

CREATE TABLE messages (
  id TEXT PRIMARY KEY,
  chat_id TEXT NOT NULL REFERENCES chats (id) ON DELETE CASCADE,
  parent_id TEXT REFERENCES messages (id) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  active_child TEXT,
  role TEXT NOT NULL,
  state TEXT NOT NULL,
  content TEXT NOT NULL,
  details BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX messages_by_place ON messages (chat_id, parent_id, position);
CREATE INDEX messages_by_parent ON messages (parent_id, position);
CREATE INDEX messages_streaming ON messages (state) WHERE state = 'streaming';
"""
# `position` orders siblings, which are versions of one place; `active_child` is the sibling below that is shown.
# `details` is JSON of the ChatMessage without what has a column of its own.

_TRASH = """
CREATE TABLE trash (
  id TEXT PRIMARY KEY,
  chat_id TEXT NOT NULL REFERENCES chats (id) ON DELETE CASCADE,
  message_id TEXT NOT NULL,
  trashed_at REAL NOT NULL
) STRICT, WITHOUT ROWID;

ALTER TABLE messages ADD COLUMN trash_id TEXT;
CREATE INDEX messages_in_trash ON messages (trash_id) WHERE trash_id IS NOT NULL;
"""
# A row of `trash` is one deletion; every message it took carries its id.

_SEARCH = """
CREATE TABLE documents (number INTEGER PRIMARY KEY, chat_id TEXT NOT NULL, message_id TEXT UNIQUE) STRICT;
CREATE UNIQUE INDEX documents_of_titles ON documents (chat_id) WHERE message_id IS NULL;
INSERT INTO documents (chat_id) SELECT id FROM chats;
INSERT INTO documents (chat_id, message_id) SELECT chat_id, id FROM messages;

CREATE VIEW texts (number, text) AS
  SELECT d.number, CASE WHEN d.message_id IS NULL THEN (SELECT title FROM chats c WHERE c.id = d.chat_id)
                        ELSE (SELECT content FROM messages m WHERE m.id = d.message_id) END
  FROM documents d;
CREATE VIRTUAL TABLE words USING fts5
  (text, content = 'texts', content_rowid = 'number', tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3');
INSERT INTO words (words) VALUES ('rebuild');

CREATE TRIGGER message_added AFTER INSERT ON messages BEGIN
  INSERT INTO documents (chat_id, message_id) VALUES (new.chat_id, new.id);
  INSERT INTO words (rowid, text) SELECT number, new.content FROM documents WHERE message_id = new.id;
END;
CREATE TRIGGER message_changed AFTER UPDATE OF content ON messages WHEN old.content <> new.content BEGIN
  INSERT INTO words (words, rowid, text) SELECT 'delete', number, old.content FROM documents WHERE message_id = new.id;
  INSERT INTO words (rowid, text) SELECT number, new.content FROM documents WHERE message_id = new.id;
END;
CREATE TRIGGER message_removed AFTER DELETE ON messages BEGIN
  INSERT INTO words (words, rowid, text) SELECT 'delete', number, old.content FROM documents WHERE message_id = old.id;
  DELETE FROM documents WHERE message_id = old.id;
END;
CREATE TRIGGER chat_added AFTER INSERT ON chats BEGIN
  INSERT INTO documents (chat_id) VALUES (new.id);
  INSERT INTO words (rowid, text) SELECT number, new.title FROM documents WHERE chat_id = new.id AND message_id IS NULL;
END;
CREATE TRIGGER chat_renamed AFTER UPDATE OF title ON chats WHEN old.title <> new.title BEGIN
  INSERT INTO words (words, rowid, text)
    SELECT 'delete', number, old.title FROM documents WHERE chat_id = new.id AND message_id IS NULL;
  INSERT INTO words (rowid, text) SELECT number, new.title FROM documents WHERE chat_id = new.id AND message_id IS NULL;
END;
CREATE TRIGGER chat_removed AFTER DELETE ON chats BEGIN
  INSERT INTO words (words, rowid, text)
    SELECT 'delete', number, old.title FROM documents WHERE chat_id = old.id AND message_id IS NULL;
  DELETE FROM documents WHERE chat_id = old.id AND message_id IS NULL;
END;
"""
# A document is a title or a message's text; `words` is the full-text index over them and holds no copy of the texts.

_ATTACHMENTS = """
ALTER TABLE messages ADD COLUMN attached TEXT NOT NULL DEFAULT '';
CREATE TABLE waiting (id TEXT PRIMARY KEY, attachment BLOB NOT NULL, added_at REAL NOT NULL) STRICT, WITHOUT ROWID;

DROP VIEW texts;
CREATE VIEW texts (number, text) AS
  SELECT d.number, CASE WHEN d.message_id IS NULL THEN (SELECT title FROM chats c WHERE c.id = d.chat_id)
                        ELSE (SELECT content || attached FROM messages m WHERE m.id = d.message_id) END
  FROM documents d;

DROP TRIGGER message_added;
DROP TRIGGER message_changed;
DROP TRIGGER message_removed;
CREATE TRIGGER message_added AFTER INSERT ON messages BEGIN
  INSERT INTO documents (chat_id, message_id) VALUES (new.chat_id, new.id);
  INSERT INTO words (rowid, text) SELECT number, new.content || new.attached FROM documents WHERE message_id = new.id;
END;
CREATE TRIGGER message_changed AFTER UPDATE OF content, attached ON messages
  WHEN old.content <> new.content OR old.attached <> new.attached BEGIN
  INSERT INTO words (words, rowid, text) SELECT 'delete', number, old.content || old.attached FROM documents WHERE message_id = new.id;
  INSERT INTO words (rowid, text) SELECT number, new.content || new.attached FROM documents WHERE message_id = new.id;
END;
CREATE TRIGGER message_removed AFTER DELETE ON messages BEGIN
  INSERT INTO words (words, rowid, text) SELECT 'delete', number, old.content || old.attached FROM documents WHERE message_id = old.id;
  DELETE FROM documents WHERE message_id = old.id;
END;
"""
# `attached` holds the texts of a message's attachments, each below its name; `details` says what they are and where each one ends.
# `waiting` keeps, as JSON, attachments that no message has yet.

_COUNTS = """
CREATE TABLE counts (
  chat_id TEXT NOT NULL REFERENCES chats (id) ON DELETE CASCADE,
  model TEXT NOT NULL,
  counted BLOB NOT NULL,
  PRIMARY KEY (chat_id, model)
) STRICT, WITHOUT ROWID;
"""
# What a model last counted of a chat, as JSON of `counts.KeptCount`.

_READABLE = "CASE WHEN json_valid(CAST(details AS TEXT)) THEN CAST(details AS TEXT) END"
ANSWERED_BY = f"json_extract({_READABLE}, '$.provenance.model')"
"""The id of the model that made an answer; a query that asks for exactly this finds it in an index."""

_USES = f"""
CREATE INDEX messages_by_model ON messages ({ANSWERED_BY}, chat_id) WHERE role = 'assistant' AND trash_id IS NULL;
"""

MIGRATIONS: tuple[str, ...] = (_FIRST, _TRASH, _SEARCH, _ATTACHMENTS, _COUNTS, _USES)
"""Script k takes a file from version k to k + 1. Scripts are only ever added."""

VERSION = len(MIGRATIONS)


def migrate(connection: sqlite3.Connection, migrations: tuple[str, ...] = MIGRATIONS) -> None:
    """Bring the file to the newest version, each step in a transaction of its own. A file of a newer program raises StorageError."""
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if found > len(migrations):
        raise StorageError(
            f"The chats were written by a newer MLX Harmony (file version {found}, this program knows {len(migrations)}).",
            hint="Update MLX Harmony; nothing was changed.",
        )
    for version in range(found, len(migrations)):
        with connection:
            connection.executescript(f"BEGIN IMMEDIATE;\n{migrations[version]}\nPRAGMA user_version = {version + 1};\nCOMMIT;")
