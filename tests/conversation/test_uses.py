"""In how many chats each model answered: counted in the index, also from a file that nobody has opened."""

import sqlite3
from pathlib import Path

from mlx_harmony.conversation.records import Chat, ChatMessage, ChatSummary, Provenance, TurnOptions
from mlx_harmony.conversation.schema import MIGRATIONS
from mlx_harmony.conversation.store import Store
from mlx_harmony.conversation.uses import _USES, LATEST, counted_in
from mlx_harmony.records import ChatName, ChatUses


def chat(name: str, *models: str, used: float = 1.0) -> Chat:
    """A chat in which these models answered, one after another."""
    messages: list[ChatMessage] = []
    for at, model in enumerate(models):
        asked = ChatMessage(
            id=f"{name}-q{at}", chat_id=name, role="user", content="?", created_at=1.0, parent_id=messages[-1].id if messages else None
        )
        made = Provenance(model=model)
        answer = ChatMessage(
            id=f"{name}-a{at}", chat_id=name, role="assistant", content="!", created_at=1.0, parent_id=asked.id, provenance=made
        )
        messages += [asked, answer]
    return Chat(
        summary=ChatSummary(id=name, title=f"About {name}", created_at=used, updated_at=used, messages=0),
        messages=tuple(messages),
        options=TurnOptions(),
    )


def counts(found: dict[str, ChatUses]) -> dict[str, int]:
    return {model: uses.count for model, uses in found.items()}


async def filled(path: Path) -> Store:
    store = await Store.open(path)
    for each in (chat("one", "a", "a", "b"), chat("two", "a"), chat("three", "b"), chat("empty")):
        await store.add_chat(each)
    return store


async def test_a_chat_counts_once_for_each_model_that_answered_in_it(tmp_path: Path) -> None:
    store = await filled(tmp_path / "chats.sqlite3")
    assert counts(await store.chats_by_model()) == {"a": 2, "b": 2}
    await store.trash_chat("three")
    await store.trash_message("one", "one-a2", "t")
    assert counts(await store.chats_by_model()) == {"a": 2}
    await store.restore_message("t")
    await store.restore_chat("three")
    assert counts(await store.chats_by_model()) == {"a": 2, "b": 2}
    await store.close()


async def test_the_chats_used_last_are_named_the_last_first_and_no_more_than_a_few(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "chats.sqlite3")
    for at in range(LATEST + 2):
        await store.add_chat(chat(f"c{at}", "a", used=float(at)))
    await store.add_chat(chat("other", "b"))
    await store.trash_chat(f"c{LATEST + 1}")
    found = await store.chats_by_model()
    named = [ChatName(id=f"c{at}", title=f"About c{at}") for at in range(LATEST, 0, -1)]
    assert found == {
        "a": ChatUses(count=LATEST + 1, latest=tuple(named)),
        "b": ChatUses(count=1, latest=(ChatName(id="other", title="About other"),)),
    }
    await store.close()


async def test_the_count_looks_into_an_index(tmp_path: Path) -> None:
    store = await filled(tmp_path / "chats.sqlite3")
    plan = await store.database.read(lambda db: [row["detail"] for row in db.execute(f"EXPLAIN QUERY PLAN {_USES}")])
    assert any("messages_by_model" in step for step in plan)
    await store.close()


async def test_a_file_that_nobody_has_open_is_only_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "chats.sqlite3"
    store = await filled(path)
    assert counts(counted_in(path)) == {"a": 2, "b": 2}
    await store.close()
    before = sorted(file.name for file in tmp_path.iterdir())
    assert counts(counted_in(path)) == {"a": 2, "b": 2}
    assert sorted(file.name for file in tmp_path.iterdir()) == before
    assert counted_in(tmp_path / "nowhere") == {}


async def test_a_damaged_message_counts_for_nobody(tmp_path: Path) -> None:
    path = tmp_path / "chats.sqlite3"
    store = await filled(path)
    for spoilt in (b"{", b"\xff", b'{"provenance": 3}'):
        await store.database.write(lambda db, spoilt=spoilt: db.execute("UPDATE messages SET details = ? WHERE id = 'two-a0'", (spoilt,)))
        assert counts(await store.chats_by_model()) == {"a": 1, "b": 2}
    await store.close()
    path.write_bytes(b"no database" * 100)
    assert counted_in(path) == {}


async def test_a_file_of_an_earlier_release_is_counted_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "chats.sqlite3"
    for version, expected in ((1, {}), (5, {"a": 1})):
        path.unlink(missing_ok=True)
        db = sqlite3.connect(path)
        for number, script in enumerate(MIGRATIONS[:version]):
            db.executescript(f"BEGIN; {script} PRAGMA user_version = {number + 1}; COMMIT;")
        db.execute("INSERT INTO chats VALUES ('c', 't', x'7b7d', NULL, 1.0, 1.0, NULL)")
        columns = "(id, chat_id, position, role, state, content, details)"
        values = ("m", "c", 0, "assistant", "complete", "", b'{"provenance": {"model": "a"}}')
        db.execute(f"INSERT INTO messages {columns} VALUES (?, ?, ?, ?, ?, ?, ?)", values)
        db.commit()
        db.close()
        assert counts(counted_in(path)) == expected
