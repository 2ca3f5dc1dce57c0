"""A chat file that is damaged, out of reach, newer or full: what the person is told, and that nothing is lost."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from mlx_harmony.conversation.database import Database, connect_reader, connect_writer
from mlx_harmony.conversation.records import ChatMessage, TurnOptions
from mlx_harmony.conversation.store import Store
from mlx_harmony.conversation.turn import Turns
from mlx_harmony.errors import StorageError
from mlx_harmony.events import Failed, Finished, TextDelta
from tests.conversation.conftest import find_starter, gather
from tests.fixtures.provider import ScriptedProvider
from tests.fixtures.scripted import say


async def written(path: Path, chats: int = 40) -> None:
    store = await Store.open(path)
    for number in range(chats):
        await store.create_chat(f"c{number}", TurnOptions(instructions="x" * 500))
    await store.close()


def overwrite(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


@pytest.mark.parametrize("damage", ["not a database", "header", "middle", "cut off"])
async def test_a_damaged_file_is_set_aside_and_a_fresh_one_begun(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "chats.sqlite3"
    await written(path)
    match damage:
        case "not a database":
            path.write_bytes(b"These are no chats. " * 500)
        case "header":
            overwrite(path, 0, b"\x00" * 100)
        case "middle":
            overwrite(path, 4096, b"\xff" * (path.stat().st_size - 4096))
        case "cut off":
            path.write_bytes(path.read_bytes()[:5000])
    before = path.read_bytes()
    store = await Store.open(path)
    (aside,) = tmp_path.glob("chats.sqlite3.*.damaged")
    assert aside.read_bytes() == before
    (notice,) = store.notices
    assert str(aside) in notice and "damaged" in notice
    assert await store.list_chats() == ()
    await store.create_chat("new", TurnOptions())
    await store.close()
    again = await Store.open(path)
    assert again.notices == () and len(await again.list_chats()) == 1
    await again.close()


async def test_two_damaged_files_are_both_kept(tmp_path: Path) -> None:
    path = tmp_path / "chats.sqlite3"
    for content in (b"first" * 1000, b"second" * 1000):
        path.write_bytes(content)
        await (await Store.open(path)).close()
    kept = {aside.read_bytes()[:5] for aside in tmp_path.glob("chats.sqlite3.*.damaged")}
    assert kept == {b"first", b"secon"}


async def test_what_another_program_wrote_meanwhile_is_kept_beside_the_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "chats.sqlite3"
    await written(path, chats=200)
    with closing(sqlite3.connect(path)) as other:
        with other:
            other.execute("UPDATE chats SET title = 'Late' WHERE id = 'c0'")
        overwrite(path, 4096, b"\xff" * (path.stat().st_size - 4096))
        store = await Store.open(path)
        (journal,) = tmp_path.glob("chats.sqlite3.*.damaged-wal")
        assert b"Late" in journal.read_bytes() and await store.list_chats() == ()
        await store.close()


async def test_damage_met_while_running_is_told_and_the_file_named(tmp_path: Path) -> None:
    path = tmp_path / "chats.sqlite3"
    await written(path, chats=200)
    store = await Store.open(path)
    overwrite(path, 4096, b"\xff" * (path.stat().st_size - 4096))
    with pytest.raises(StorageError, match=r"damaged.*chats\.sqlite3") as caught:
        await store.search("anything")
    assert "Restart" in caught.value.hint
    await store.close()


async def test_a_damaged_message_is_told_and_other_chats_open(tmp_path: Path) -> None:
    path = tmp_path / "chats.sqlite3"
    store = await Store.open(path)
    for chat_id in ("one", "two"):
        await store.create_chat(chat_id, TurnOptions())
        message = ChatMessage(id=f"m-{chat_id}", chat_id=chat_id, role="user", content="Hi", created_at=0.0)
        await store.begin_turn((message,), TurnOptions())
    await store.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE messages SET details = CAST('{' AS BLOB) WHERE chat_id = 'one'")
    store = await Store.open(path)
    with pytest.raises(StorageError, match="damaged"):
        await store.read_chat("one")
    assert (await store.read_chat("two")).messages[0].content == "Hi"
    await store.close()


async def test_a_file_of_a_newer_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "chats.sqlite3"
    await written(path, chats=1)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StorageError, match="newer MLX Harmony"):
        await Store.open(path)
    assert [child.name for child in tmp_path.iterdir() if child.name.endswith(".damaged")] == []


async def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file") as caught:
        await Store.open(tmp_path / "file" / "home" / "chats.sqlite3")
    assert "MLX_HARMONY_HOME" in caught.value.hint
    (tmp_path / "chats.sqlite3").mkdir()
    with pytest.raises(StorageError):
        await Store.open(tmp_path / "chats.sqlite3")


async def test_a_full_disk_is_told_nothing_is_lost_and_the_next_message_works(tmp_path: Path) -> None:
    path = tmp_path / "chats.sqlite3"
    writer = connect_writer(path)
    store = Store(Database(path, writer, connect_reader(path)))
    await store.create_chat("c", TurnOptions())
    turns = Turns(store, ScriptedProvider(lambda request: say("A word. " * 4000)), find_starter)

    async def allow(pages: int) -> None:
        await store.database.write(lambda db: db.execute(f"PRAGMA max_page_count = {pages}").fetchone())

    full = writer.execute("PRAGMA page_count").fetchone()[0]
    await allow(full)
    with pytest.raises(StorageError, match="disk is full") as caught:
        await gather(turns.send("c", "What was typed " * 2000, TurnOptions()))
    assert "Free some space" in caught.value.hint
    assert (await store.read_chat("c")).messages == ()

    await allow(full + 2)
    events = await gather(turns.send("c", "Hello", TurnOptions()))
    assert isinstance(events[-1], Failed) and events[-1].code == "storage" and any(isinstance(event, TextDelta) for event in events)
    answer = (await store.read_chat("c")).messages[-1]
    assert answer.content.startswith("A word. ") and answer.state == "complete"

    await allow(1_000_000)
    assert isinstance((await gather(turns.send("c", "Again", TurnOptions())))[-1], Finished)
    await store.close()
    again = await Store.open(path)
    contents = [message.content for message in (await again.read_chat("c")).messages]
    assert contents == ["Hello", "A word. " * 4000, "Again", "A word. " * 4000]
    await again.close()
