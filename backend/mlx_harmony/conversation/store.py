"""The keeper of all chats: a tree of messages for each, in one SQLite file. Knows nothing of models, turns or the page.

A message's siblings are versions of the same place; each parent (and each chat, for its first message) remembers which child is shown.
Deleting a chat only flags it, so that it can be brought back.
"""

import sqlite3
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from mlx_harmony.conversation import counts, search, trash, tree, uses, waiting
from mlx_harmony.conversation.answering import Answering
from mlx_harmony.conversation.beginning import with_setup
from mlx_harmony.conversation.database import Database, Job
from mlx_harmony.conversation.opening import open_database
from mlx_harmony.conversation.records import (
    UNTITLED,
    Attachment,
    Chat,
    ChatMessage,
    ChatSummary,
    SearchHit,
    TrashItem,
    TurnOptions,
    WholeChat,
)
from mlx_harmony.conversation.rows import message_details, message_of, options_bytes, options_of, summary_of
from mlx_harmony.errors import ChatNotFound, StorageError
from mlx_harmony.records import ChatUses

_SUMMARY = "SELECT c.*, (SELECT COUNT(*) FROM messages m WHERE m.chat_id = c.id AND m.trash_id IS NULL) AS messages FROM chats c"
_NEW_CHAT = "INSERT INTO chats (id, title, options, created_at, updated_at) VALUES (?, ?, ?, ?, ?)"
_UPDATE = "UPDATE messages SET state = ?, content = ?, details = ? WHERE id = ?"


class Store:
    """All chats of one home folder. Methods raise StorageError for the file's faults and ChatNotFound for unknown ids."""

    def __init__(self, database: Database, notices: tuple[str, ...] = ()) -> None:
        self.database = database
        self.notices = notices
        self.answering = Answering(database.path)
        self._unsaved: dict[str, ChatMessage] = {}

    @classmethod
    async def open(cls, path: Path) -> "Store":
        """Open the file, mend what a crash left, and set a damaged file aside; `notices` tells the person what was done."""
        return cls(*await open_database(path))

    async def close(self) -> None:
        """Make a last try at what could not be saved before, then close the file."""
        with suppress(StorageError):
            await self._write(lambda db: None)
        await self.database.close()

    async def list_chats(self) -> tuple[ChatSummary, ...]:
        """Chats not deleted, the last used first."""
        query = f"{_SUMMARY} WHERE c.trashed_at IS NULL ORDER BY c.updated_at DESC, c.id"
        return await self.database.read(lambda db: tuple(summary_of(row) for row in db.execute(query)))

    async def search(self, query: str) -> tuple[SearchHit, ...]:
        """Titles and messages that hold every word of the query, the best first."""
        return await self.database.read(lambda db: search.find(db, query))

    async def create_chat(self, chat_id: str, options: TurnOptions) -> Chat:
        now = time.time()
        values = (chat_id, UNTITLED, options_bytes(options), now, now)

        def job(db: sqlite3.Connection) -> None:
            db.execute(_NEW_CHAT, values)

        await self._write(job)
        return await self.read_chat(chat_id)

    async def read_chat(self, chat_id: str, *, trashed: bool = False) -> Chat:
        """The chat with the path that is shown, oldest message first; with `trashed` also one that lies in the trash."""

        def job(db: sqlite3.Connection) -> Chat:
            row = _chat_row(db, chat_id, trashed=trashed)
            messages = self._latest(chat_id, tree.messages_of(db, tree.shown_path(db, chat_id)))
            return Chat(summary=summary_of(row), messages=messages, options=options_of(row["options"]))

        return await self.database.read(job)

    async def read_path(self, chat_id: str, message_id: str) -> tuple[ChatMessage, ...]:
        """The messages from the first one to this one, whether it is shown or not."""

        def job(db: sqlite3.Connection) -> tuple[ChatMessage, ...]:
            _chat_row(db, chat_id)
            return self._latest(chat_id, tree.messages_of(db, tree.path_to(db, chat_id, message_id)))

        return await self.database.read(job)

    async def rename_chat(self, chat_id: str, title: str) -> None:
        await self._change_chat(chat_id, "title = ?", title)

    async def read_options(self, chat_id: str) -> TurnOptions:
        """A chat's options alone, however long it is."""
        return await self.database.read(lambda db: options_of(_chat_row(db, chat_id)["options"]))

    async def save_options(self, chat_id: str, options: TurnOptions) -> None:
        """Replace a chat's options; a `setup` of None leaves the chat's own."""

        def job(db: sqlite3.Connection) -> None:
            kept = options_of(_chat_row(db, chat_id)["options"])
            db.execute("UPDATE chats SET options = ? WHERE id = ?", (options_bytes(with_setup(options, kept)), chat_id))

        await self._write(job)

    async def trash_chat(self, chat_id: str) -> None:
        """Take the chat out of every list; nothing of it is removed."""
        await self._change_chat(chat_id, "trashed_at = ?", time.time())

    async def restore_chat(self, chat_id: str) -> None:
        """Bring a deleted chat back."""

        def job(db: sqlite3.Connection) -> None:
            if not db.execute("UPDATE chats SET trashed_at = NULL WHERE id = ?", (chat_id,)).rowcount:
                raise _no_chat(chat_id)

        await self._write(job)

    async def trash_message(self, chat_id: str, message_id: str, trash_id: str) -> None:
        """Take a message and all that followed it out of the chat; `restore_message` with `trash_id` brings it back."""

        def job(db: sqlite3.Connection) -> None:
            _chat_row(db, chat_id)
            trash.put_message(db, trash_id, chat_id, message_id)

        await self._write(job)

    async def restore_message(self, trash_id: str) -> None:
        """Bring deleted messages back and show them."""
        await self._write(lambda db: trash.restore_message(db, trash_id))

    async def list_trash(self) -> tuple[TrashItem, ...]:
        """What was deleted and can be brought back, the last deleted first."""
        return await self.database.read(trash.items)

    async def empty_trash(self) -> tuple[str, ...]:
        """Remove what is in the trash for good; the chats of which anything went."""
        gone: list[str] = []
        await self._write(lambda db: gone.extend(trash.empty(db)))
        return tuple(gone)

    async def drop_trashed(self, chat_id: str) -> bool:
        """Remove one chat for good; one that does not lie in the trash stays. Whether it was removed."""
        dropped: list[bool] = []
        await self._write(lambda db: dropped.append(trash.drop(db, chat_id)))
        return dropped[-1]

    async def add_chat(self, chat: Chat, shown: tuple[str, ...] = (), *, aside: bool = False) -> None:
        """Store a new chat whole: its messages parents first, versions oldest first; `shown` orders the ids so that the last counts.

        `aside`: it lies in the trash from the first moment.
        """
        summary = chat.summary

        def job(db: sqlite3.Connection) -> None:
            values = (summary.id, summary.title, options_bytes(chat.options), summary.created_at, summary.updated_at)
            db.execute(_NEW_CHAT, values)
            for message in chat.messages:
                tree.insert(db, message)
            parents = {message.id: message.parent_id for message in chat.messages}
            for message_id in shown or tuple(parents):
                tree.point(db, summary.id, parents[message_id], message_id)
            if aside:
                db.execute("UPDATE chats SET trashed_at = ? WHERE id = ?", (time.time(), summary.id))

        await self._write(job)

    async def whole_chats(self, chat_id: str | None = None) -> tuple[WholeChat, ...]:
        """One chat, or all that are not deleted, with every version of every message."""

        def job(db: sqlite3.Connection) -> tuple[WholeChat, ...]:
            if chat_id is not None:
                return (_whole(db, _chat_row(db, chat_id)),)
            rows = db.execute(f"{_SUMMARY} WHERE c.trashed_at IS NULL ORDER BY c.updated_at DESC, c.id").fetchall()
            return tuple(_whole(db, row) for row in rows)

        return await self.database.read(job)

    async def any_taken(self, chat: Chat) -> bool:
        """Whether the chat's id or one of its messages' is in use already."""
        return await self.database.read(lambda db: tree.any_taken(db, chat.summary.id, [message.id for message in chat.messages]))

    async def add_waiting(self, attachment: Attachment) -> None:
        """Keep an attachment until its message is sent."""
        await self._write(lambda db: waiting.add(db, attachment))

    async def read_waiting(self, ids: tuple[str, ...]) -> tuple[Attachment, ...]:
        """Those of the ids that wait, in their order."""
        return await self.database.read(lambda db: waiting.found(db, ids))

    async def read_count(self, chat_id: str, model: str) -> counts.KeptCount | None:
        """What a model last counted of a chat."""
        return await self.database.read(lambda db: counts.found(db, chat_id, model))

    async def keep_count(self, chat_id: str, model: str, count: counts.KeptCount) -> None:
        """Keep what a model has counted of a chat, in place of what it counted before."""
        await self._write(lambda db: counts.keep(db, chat_id, model, count))

    async def chats_by_model(self) -> dict[str, ChatUses]:
        """The chats in which each model answered, by its id."""
        return await self.database.read(uses.chats_by_model)

    async def remove_waiting(self, ids: tuple[str, ...]) -> None:
        """Let go of attachments that are not to be sent."""
        await self._write(lambda db: waiting.remove(db, ids))

    async def begin_turn(self, messages: tuple[ChatMessage, ...], options: TurnOptions, title: str | None = None) -> None:
        """Store the turn's messages, each the child of its `parent_id` and the version shown there, in one transaction.

        Attachments that waited for them wait no longer.
        """
        chat_id, parent_id = messages[0].chat_id, messages[0].parent_id

        def job(db: sqlite3.Connection) -> None:
            _chat_row(db, chat_id)
            if parent_id is not None:
                # Another program may have deleted it since it was read.
                tree.path_to(db, chat_id, parent_id)
            for message in messages:
                tree.insert(db, message)
                waiting.remove(db, [each.id for each in message.attachments])
            tree.show(db, chat_id, messages[-1].id)
            db.execute("UPDATE chats SET updated_at = ?, options = ? WHERE id = ?", (time.time(), options_bytes(options), chat_id))
            if title is not None:
                db.execute("UPDATE chats SET title = ? WHERE id = ?", (title, chat_id))

        await self._write(job)

    async def resume_turn(self, message: ChatMessage, options: TurnOptions) -> None:
        """Store an answer that goes on, as it now stands, and show it."""

        def job(db: sqlite3.Connection) -> None:
            _chat_row(db, message.chat_id)
            tree.show(db, message.chat_id, message.id)
            _save(db, message)
            values = (time.time(), options_bytes(options), message.chat_id)
            db.execute("UPDATE chats SET updated_at = ?, options = ? WHERE id = ?", values)

        await self._write(job)

    async def save_message(self, message: ChatMessage) -> None:
        """Replace what is kept of a message; its place in the tree stays. What cannot be saved now is saved with the next write."""
        self._unsaved[message.id] = message
        await self._write(lambda db: None)

    async def show(self, chat_id: str, message_id: str) -> None:
        """Make this message the version shown, and every message above it."""

        def job(db: sqlite3.Connection) -> None:
            _chat_row(db, chat_id)
            tree.show(db, chat_id, message_id)

        await self._write(job)

    async def _write(self, job: Job[None]) -> None:
        """Run a job with all messages that wait to be saved, in one transaction."""
        waiting = dict(self._unsaved)

        def all_of_it(db: sqlite3.Connection) -> None:
            for message in waiting.values():
                _save(db, message)
            job(db)

        await self.database.write(all_of_it)
        for message_id, message in waiting.items():
            if self._unsaved.get(message_id) is message:
                del self._unsaved[message_id]

    def _latest(self, chat_id: str, messages: tuple[ChatMessage, ...]) -> tuple[ChatMessage, ...]:
        """The messages with what is newer in memory than on disk; what nobody writes any more, its program gone, was interrupted."""
        newest = tuple(
            msgspec.structs.replace(newer, versions=kept.versions) if (newer := self._unsaved.get(kept.id)) else kept for kept in messages
        )
        if not any(message.state == "streaming" for message in newest) or self.answering.held(chat_id):
            return newest
        return tuple(msgspec.structs.replace(each, state="interrupted") if each.state == "streaming" else each for each in newest)

    async def _change_chat(self, chat_id: str, assignment: str, value: str | bytes | float) -> None:
        def job(db: sqlite3.Connection) -> None:
            _chat_row(db, chat_id)
            db.execute(f"UPDATE chats SET {assignment} WHERE id = ?", (value, chat_id))  # noqa: S608

        await self._write(job)


def _save(db: sqlite3.Connection, message: ChatMessage) -> None:
    db.execute(_UPDATE, (message.state, message.content, message_details(message), message.id))


def _no_chat(chat_id: str) -> ChatNotFound:
    return ChatNotFound(f"No chat {chat_id}.", hint="It may have been deleted; choose another one or begin a new one.", param="chat_id")


def _chat_row(db: sqlite3.Connection, chat_id: str, *, trashed: bool = False) -> sqlite3.Row:
    here = "" if trashed else "AND c.trashed_at IS NULL"
    row: sqlite3.Row | None = db.execute(f"{_SUMMARY} WHERE c.id = ? {here}", (chat_id,)).fetchone()
    if row is None:
        raise _no_chat(chat_id)
    return row


def _whole(db: sqlite3.Connection, row: sqlite3.Row) -> WholeChat:
    rows = tree.whole(db, row["id"])
    messages = tuple(message_of(each, ()) for each in rows)
    chat = Chat(summary=summary_of(row), messages=messages, options=options_of(row["options"]))
    return WholeChat(chat=chat, positions=tuple(each["position"] for each in rows))
