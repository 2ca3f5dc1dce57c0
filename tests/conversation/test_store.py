"""Chats on disk: the tree of messages, the list, and what is refused."""

import asyncio
import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from mlx_harmony.conversation.database import connect_writer
from mlx_harmony.conversation.records import Chat, ChatMessage, ChatSummary, TurnOptions
from mlx_harmony.conversation.schema import MIGRATIONS, VERSION, migrate
from mlx_harmony.conversation.store import Store
from mlx_harmony.errors import ChatNotFound, StorageError
from mlx_harmony.records import Role, Sampling


def message(name: str, parent: str | None = None, role: Role = "user", chat: str = "c") -> ChatMessage:
    return ChatMessage(id=name, chat_id=chat, role=role, content=f"text of {name}", created_at=1.0, parent_id=parent, reasoning="hm")


async def two_versions(store: Store) -> None:
    """u1 -> a1 -> u2, and a1b beside a1."""
    await store.create_chat("c", TurnOptions())
    await store.begin_turn((message("u1"), message("a1", "u1", "assistant")), TurnOptions())
    await store.begin_turn((message("u2", "a1"),), TurnOptions())
    await store.begin_turn((message("a1b", "u1", "assistant"),), TurnOptions())


async def shown(store: Store, chat_id: str = "c") -> list[str]:
    return [each.id for each in (await store.read_chat(chat_id)).messages]


async def test_a_message_comes_back_as_it_was_stored(store: Store) -> None:
    await store.create_chat("c", TurnOptions())
    await store.begin_turn((message("u1"),), TurnOptions())
    (kept,) = (await store.read_chat("c")).messages
    assert kept.versions == ("u1",) and kept.reasoning == "hm" and kept.content == "text of u1"


async def test_the_newest_version_is_shown_and_the_older_ones_stay(store: Store) -> None:
    await two_versions(store)
    chat = await store.read_chat("c")
    assert [each.id for each in chat.messages] == ["u1", "a1b"] and chat.messages[1].versions == ("a1", "a1b")
    await store.show("c", "a1")
    assert await shown(store) == ["u1", "a1", "u2"]
    await store.show("c", "a1b")
    assert await shown(store) == ["u1", "a1b"]


async def test_a_path_leads_to_any_message(store: Store) -> None:
    await two_versions(store)
    assert [each.id for each in await store.read_path("c", "u2")] == ["u1", "a1", "u2"]
    with pytest.raises(ChatNotFound, match="No message"):
        await store.read_path("c", "nothing")
    await store.create_chat("other", TurnOptions())
    with pytest.raises(ChatNotFound, match="No message"):
        await store.show("other", "u2")


async def test_chats_open_as_they_were_left(store: Store) -> None:
    options = TurnOptions(model="starter", sampling=Sampling(temperature=0.3, logit_bias={5: 1.5}), effort="low", instructions="Brief.")
    await store.create_chat("c", TurnOptions())
    await store.save_options("c", options)
    await store.rename_chat("c", "Mine")
    chat = await store.read_chat("c")
    assert chat.options == options and chat.summary.title == "Mine"


async def test_the_last_used_chat_comes_first(store: Store) -> None:
    for chat_id in ("one", "two"):
        await store.create_chat(chat_id, TurnOptions())
    await store.begin_turn((message("u", chat="one"),), TurnOptions(), title="First")
    summaries = await store.list_chats()
    assert [(each.id, each.title, each.messages) for each in summaries] == [("one", "First", 1), ("two", "New chat", 0)]


async def test_unknown_and_deleted_chats_are_not_found(store: Store) -> None:
    await store.create_chat("c", TurnOptions())
    await store.trash_chat("c")
    for action in (store.read_chat("c"), store.rename_chat("c", "x"), store.trash_chat("c"), store.restore_chat("nothing")):
        with pytest.raises(ChatNotFound):
            await action
    with pytest.raises(ChatNotFound):
        await store.begin_turn((message("u"),), TurnOptions())
    await store.restore_chat("c")
    assert await shown(store) == []


async def test_a_turn_is_stored_whole_or_not_at_all(store: Store) -> None:
    await store.create_chat("c", TurnOptions())
    with pytest.raises(StorageError):
        await store.begin_turn((message("u1"), message("a1", "absent", "assistant")), TurnOptions(), title="Never")
    chat = await store.read_chat("c")
    assert chat.messages == () and chat.summary.title == "New chat"


async def test_the_file_is_for_this_user_only_and_safe_against_power_loss(tmp_path: Path) -> None:
    path = tmp_path / "home" / "chats.sqlite3"
    store = await Store.open(path)
    await store.create_chat("c", TurnOptions())
    modes = {child.name: stat.S_IMODE(child.stat().st_mode) for child in path.parent.iterdir()}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700 and set(modes.values()) == {0o600} and len(modes) == 4
    await store.close()
    writer = connect_writer(path)
    pragmas = [writer.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous", "foreign_keys")]
    assert pragmas == ["wal", 2, 1]
    writer.close()


async def test_what_is_written_meanwhile_does_not_mix_into_what_is_read(store: Store) -> None:
    begun, written = threading.Event(), threading.Event()

    def read_twice(db: sqlite3.Connection) -> list[int]:
        before = db.execute("SELECT COUNT(*) FROM chats").fetchone()[0]
        begun.set()
        assert written.wait(10)
        return [before, db.execute("SELECT COUNT(*) FROM chats").fetchone()[0]]

    async def write() -> None:
        assert await asyncio.to_thread(begun.wait, 10)
        await store.add_chat(Chat(summary=ChatSummary(id="c", title="", created_at=0.0, updated_at=0.0), messages=()))
        written.set()

    counts, _ = await asyncio.gather(store.database.read(read_twice), write())
    assert counts == [0, 0] and len(await store.list_chats()) == 1


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "chats.sqlite3")
    await store.close()
    with pytest.raises(StorageError, match="closed"):
        await store.list_chats()


def test_a_file_of_every_older_version_becomes_the_newest() -> None:
    for start in range(VERSION):
        connection = sqlite3.connect(":memory:", isolation_level=None)
        migrate(connection, MIGRATIONS[:start])
        migrate(connection)
        assert connection.execute("PRAGMA user_version").fetchone()[0] == VERSION
        connection.close()


def test_a_migration_that_fails_leaves_the_file_as_it_was() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, (*MIGRATIONS, "CREATE TABLE more (a); CREATE TABLE chats (b);"))
    assert connection.execute("PRAGMA user_version").fetchone()[0] == VERSION
    assert not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'more'").fetchall()
    connection.close()
