"""Searching all chats: what is found, in which order, where the matches are, and that any text is safe to search for."""

import sqlite3
import time
from pathlib import Path

import msgspec
import pytest

from mlx_harmony.conversation.records import ChatMessage, SearchHit, TurnOptions
from mlx_harmony.conversation.schema import MIGRATIONS, migrate
from mlx_harmony.conversation.store import Store


def said(name: str, text: str, parent: str | None = None, chat: str = "c") -> ChatMessage:
    return ChatMessage(id=name, chat_id=chat, role="user", content=text, created_at=1.0, parent_id=parent)


@pytest.fixture
async def chats(store: Store) -> Store:
    await store.create_chat("c", TurnOptions())
    texts = (
        "The harmony of Bach's chorales\nis worth a study",
        "Crème brûlée needs a torch; C++ needs a compiler",
        "東京都の天気は晴れです",
        "We celebrate 🎉 with 100% juice, under_score and back\\slash",
    )
    for number, text in enumerate(texts):
        await store.begin_turn((said(f"m{number}", text, f"m{number - 1}" if number else None),), TurnOptions())
    await store.create_chat("d", TurnOptions())
    await store.rename_chat("d", "Harmony lessons")
    return store


def found(hits: tuple[SearchHit, ...]) -> list[str]:
    return [hit.message_id or f"title of {hit.chat_id}" for hit in hits]


def shown(hit: SearchHit) -> list[str]:
    return [hit.snippet[start:end] for start, end in hit.matches]


@pytest.mark.parametrize(
    ("query", "names", "marked"),
    [
        ("harmony", ["title of d", "m0"], ["Harmony"]),
        ("harm chor", ["m0"], ["harmony", "chorales"]),
        ("creme BRULEE", ["m1"], ["Crème", "brûlée"]),
        ("bach's", ["m0"], ["Bach's"]),
        ("C++", ["m1"], ["C"]),
        ('"a torch"', ["m1"], ["a torch"]),
        ('"torch a"', [], []),
        ("天気", ["m2"], ["天気"]),
        ("🎉", ["m3"], ["🎉"]),
        ("100%", ["m3"], ["100"]),
        ("elebrat", ["m3"], ["elebrat"]),
        ("under_score", ["m3"], ["under_score"]),
        ("back\\slash", ["m3"], ["back\\slash"]),
        ("harmony torch", [], []),
    ],
)
async def test_words_are_found_by_their_beginnings_and_signs_as_they_are(
    chats: Store, query: str, names: list[str], marked: list[str]
) -> None:
    hits = await chats.search(query)
    assert found(hits) == names
    assert not hits or shown(hits[0]) == marked


async def test_a_hit_names_its_chat_and_is_one_line(chats: Store) -> None:
    _, hit = await chats.search("harmony")
    assert (hit.chat_id, hit.title, hit.role) == ("c", "New chat", "user") and "\n" not in hit.snippet
    assert hit.snippet == "The harmony of Bach's chorales is worth a study" and hit.matches == ((4, 11),)


HOSTILE = (
    *('"', '""', '"""', "'", "';--", "AND", "OR", "NOT", "NEAR", "harmony AND", "NOT harmony", "NEAR(a b)", "a OR b", "(", ")", "((", "*"),
    *("**", "^a", "text:a", "words", "-a", "+", "{a b}:c", "a*b", "\x00", "a\x00b", "\n", "\\", "%", "_", "%%", "\\%", "\ue000a\ue001"),
    *(
        "𝕳",
        "\u202e",
        "e\u0301",
        "ﬁ",
        "İ",
        "ß",
        "👩‍👩‍👧",
        "x" * 5000,
        "w " * 2000,
        '"' * 999,
        "[a-z]+",
        "<b>",
        "$1",
        "?",
        "?1",
        ":a",
        "@a",
        "NULL",
    ),
)


@pytest.mark.parametrize("query", HOSTILE, ids=lambda query: ascii(query)[:20])
async def test_any_text_is_a_query(chats: Store, query: str) -> None:
    for hit in await chats.search(query):
        assert all(0 <= start < end <= len(hit.snippet) for start, end in hit.matches)


async def test_nothing_typed_finds_nothing(chats: Store) -> None:
    for query in ("", "  ", '""', "\t\n"):
        assert await chats.search(query) == ()


async def test_marks_in_a_text_do_not_pass_for_matches(store: Store) -> None:
    await store.create_chat("c", TurnOptions())
    await store.begin_turn((said("m", "\ue000fake\ue001 torch \ue001\ue000"),), TurnOptions())
    (hit,) = await store.search("torch")
    assert "torch" in shown(hit) and all(0 <= start < end <= len(hit.snippet) for start, end in hit.matches)


async def test_the_index_keeps_step(chats: Store) -> None:
    message = (await chats.read_path("c", "m0"))[-1]
    await chats.save_message(msgspec.structs.replace(message, content="Counterpoint"))
    await chats.rename_chat("d", "Fugue")
    assert found(await chats.search("harmony")) == []
    assert found(await chats.search("counter")) == ["m0"] and found(await chats.search("fug")) == ["title of d"]
    await chats.trash_message("c", "m1", "t")
    await chats.trash_chat("d")
    assert found(await chats.search("torch")) == [] == found(await chats.search("天気")) == found(await chats.search("fugue"))
    await chats.restore_message("t")
    assert found(await chats.search("torch")) == ["m1"]
    await chats.trash_message("c", "m2", "t")
    await chats.empty_trash()
    await chats.database.write(lambda db: db.execute("INSERT INTO words (words) VALUES ('integrity-check')").close())
    left = await chats.database.read(lambda db: db.execute("SELECT COUNT(*) FROM documents").fetchone()[0])
    assert left == 3 and found(await chats.search("fugue")) == []


async def test_a_file_from_before_the_index_is_indexed(tmp_path: Path) -> None:
    path = tmp_path / "chats.sqlite3"
    older = sqlite3.connect(path, isolation_level=None)
    migrate(older, MIGRATIONS[:2])
    older.execute("INSERT INTO chats VALUES ('c', 'Old times', X'7B7D', 'u', 1.0, 1.0, NULL)")
    details = b'{"id":"u","chat_id":"c","role":"user","content":"","created_at":1.0}'
    older.execute("INSERT INTO messages VALUES ('u', 'c', NULL, 0, NULL, 'user', 'complete', 'Good old harmony', ?, NULL)", (details,))
    older.close()
    store = await Store.open(path)
    assert found(await store.search("old")) == ["title of c", "u"] and found(await store.search("harm")) == ["u"]
    await store.close()


async def test_ten_thousand_messages_are_searched_at_once(store: Store) -> None:
    await store.create_chat("c", TurnOptions())
    many = [said(f"m{number}", f"word{number} and some common text " * 5) for number in range(10_000)]
    await store.begin_turn(tuple(many), TurnOptions())
    began = time.perf_counter()
    assert set(found(await store.search("word777"))) == {f"m{number}" for number in (777, *range(7770, 7780))}
    assert len(await store.search("common")) == 50
    assert time.perf_counter() - began < 1.0
