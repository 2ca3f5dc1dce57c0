"""Deleting and bringing back: what is shown meanwhile, what hangs together, and what is gone for good."""

import sqlite3
from pathlib import Path

import pytest

from mlx_harmony.conversation.records import ChatMessage, TurnOptions
from mlx_harmony.conversation.schema import MIGRATIONS, migrate
from mlx_harmony.conversation.store import Store
from mlx_harmony.errors import ChatNotFound
from tests.conversation.test_store import message, shown, two_versions


async def test_a_deleted_message_takes_what_followed_it_and_comes_back_whole(store: Store) -> None:
    await two_versions(store)
    await store.show("c", "u2")
    await store.trash_message("c", "a1", "t")
    chat = await store.read_chat("c")
    assert [each.id for each in chat.messages] == ["u1", "a1b"] and chat.messages[1].versions == ("a1b",)
    assert chat.summary.messages == 2
    with pytest.raises(ChatNotFound):
        await store.read_path("c", "u2")
    with pytest.raises(ChatNotFound):
        await store.show("c", "a1")
    await store.restore_message("t")
    chat = await store.read_chat("c")
    assert [each.id for each in chat.messages] == ["u1", "a1", "u2"] and chat.messages[1].versions == ("a1", "a1b")
    assert await store.list_trash() == ()


async def test_deleting_a_hidden_version_changes_nothing_shown(store: Store) -> None:
    await two_versions(store)
    await store.trash_message("c", "a1", "t")
    assert await shown(store) == ["u1", "a1b"]


async def test_an_emptied_chat_takes_messages_again(store: Store) -> None:
    await two_versions(store)
    await store.trash_message("c", "u1", "t")
    assert await shown(store) == []
    await store.begin_turn((message("again"),), TurnOptions())
    assert await shown(store) == ["again"]
    await store.restore_message("t")
    assert await shown(store) == ["u1", "a1b"]
    assert (await store.read_chat("c")).messages[0].versions == ("u1", "again")


async def test_what_hangs_on_a_deleted_message_brings_it_back_too(store: Store) -> None:
    await two_versions(store)
    await store.show("c", "u2")
    await store.trash_message("c", "u2", "inner")
    await store.trash_message("c", "u1", "outer")
    await store.restore_message("inner")
    assert await shown(store) == ["u1", "a1", "u2"] and await store.list_trash() == ()


async def test_bringing_back_the_outer_deletion_leaves_the_inner_one(store: Store) -> None:
    await two_versions(store)
    await store.show("c", "u2")
    await store.trash_message("c", "u2", "inner")
    await store.trash_message("c", "u1", "outer")
    await store.restore_message("outer")
    assert await shown(store) == ["u1", "a1"]
    assert [item.id for item in await store.list_trash()] == ["inner"]


async def test_the_trash_lists_chats_and_messages(store: Store) -> None:
    await two_versions(store)
    await store.create_chat("other", TurnOptions())
    await store.rename_chat("other", "Another")
    await store.trash_message("c", "a1", "t")
    await store.trash_chat("other")
    chat, answer = await store.list_trash()
    assert (chat.kind, chat.id, chat.title, chat.messages) == ("chat", "other", "Another", 0)
    assert (answer.kind, answer.id, answer.chat_id, answer.excerpt, answer.messages) == ("message", "t", "c", "text of a1", 2)
    await store.trash_chat("c")
    assert {item.id for item in await store.list_trash()} == {"c", "other"}


async def test_emptying_removes_what_was_deleted_and_nothing_else(store: Store) -> None:
    await two_versions(store)
    await store.create_chat("gone", TurnOptions())
    await store.begin_turn((message("g", chat="gone"),), TurnOptions())
    await store.trash_message("c", "a1", "t")
    await store.trash_chat("gone")
    await store.empty_trash()
    assert await store.list_trash() == () and await shown(store) == ["u1", "a1b"]
    assert [each.id for each in await store.list_chats()] == ["c"]
    for restore in (store.restore_message("t"), store.restore_chat("gone")):
        with pytest.raises(ChatNotFound):
            await restore
    left = await store.database.read(lambda db: [row["id"] for row in db.execute("SELECT id FROM messages ORDER BY id")])
    assert left == ["a1b", "u1"]


async def test_a_chat_of_two_thousand_messages_can_be_removed(store: Store) -> None:
    await store.create_chat("c", TurnOptions())
    chain = tuple(message(f"m{number}", f"m{number - 1}" if number else None) for number in range(2000))
    await store.begin_turn(chain, TurnOptions())
    await store.trash_message("c", "m1", "t")
    await store.empty_trash()
    assert await shown(store) == ["m0"]
    await store.trash_chat("c")
    await store.empty_trash()
    assert await store.list_chats() == ()


async def test_a_file_without_a_trash_keeps_its_chats(tmp_path: Path) -> None:
    path = tmp_path / "chats.sqlite3"
    older = sqlite3.connect(path, isolation_level=None)
    migrate(older, MIGRATIONS[:1])
    older.execute("INSERT INTO chats VALUES ('c', 'Old', X'7B7D', 'u', 1.0, 1.0, NULL)")
    details = b'{"id":"u","chat_id":"c","role":"user","content":"","created_at":1.0}'
    older.execute("INSERT INTO messages VALUES ('u', 'c', NULL, 0, NULL, 'user', 'complete', 'Hello', ?)", (details,))
    older.close()
    store = await Store.open(path)
    expected = ChatMessage(id="u", chat_id="c", role="user", content="Hello", created_at=1.0, versions=("u",))
    assert (await store.read_chat("c")).messages == (expected,)
    await store.trash_message("c", "u", "t")
    assert await shown(store) == []
    await store.close()
