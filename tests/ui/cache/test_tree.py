"""The prefix tree as shown: what leads to what, what is whose, what can be done with it and what that frees."""

import time

import msgspec

from mlx_harmony.cache_records import CacheEntry
from mlx_harmony_ui.cache.tree import OPEN_ROWS, first_words, freed, kv_form, tree
from tests.fixtures.kept import ENTRIES, NOW, TITLES, large


def test_runs_are_rows_under_what_they_go_on_from_and_chats_are_leaves() -> None:
    rows = tree(ENTRIES, TITLES, NOW).rows
    assert [(row.level, row.kind, row.first or row.chat) for row in rows] == [
        (1, "run", "root"),
        (2, "run", "turn"),
        (3, "chat", "garden"),
        (2, "run", "other"),
        (3, "chat", "kettle"),
        (1, "run", "lost"),
    ]
    assert [(row.place, row.peers) for row in rows if row.kind == "run"] == [(1, 2), (1, 2), (2, 2), (2, 2)]
    assert [row.branches for row in rows] == [True, True, False, True, False, False]


def test_a_row_tells_its_range_where_it_is_kept_and_how_much_it_takes() -> None:
    root, turn, _, other, _, lost = tree(ENTRIES, TITLES, NOW).rows
    assert (root.range, root.tokens, root.where_text, root.size, root.used) == ("0 – 812", "812 tokens", "in memory", "4.0 MB", "just now")
    assert (turn.pinned, root.pinned, turn.label) == (
        True,
        False,
        "user What should I plant in May?, 428 tokens, in memory, pinned",
    )
    assert (other.where_text, other.used) == ("on disk", "1 hour ago")
    assert (lost.where_text, lost.size) == ("evicted", "")


def test_runs_with_nothing_beside_them_are_one_row() -> None:
    other = tree(ENTRIES, TITLES, NOW).rows[3]
    assert (other.first, other.last, other.range, other.size) == ("other", "more", "812 – 1,400", "2.0 MB")
    assert other.pieces == "Kept in 2 pieces; used 0 times"


def test_a_short_run_is_told_with_the_one_after_it() -> None:
    line = (
        CacheEntry(id="a", parent="", start=0, end=1, where="memory", text="<|start|>"),
        CacheEntry(id="b", parent="a", start=1, end=90, where="memory", text="assistant<|channel|>final"),
        CacheEntry(id="c", parent="b", start=90, end=91, where="memory", text="unseen"),
    )
    (row,) = tree(line, {}, NOW).rows
    assert "".join(piece.text for piece in row.text) == "<|start|>assistant<|channel|>final"


def test_a_pin_or_another_tier_parts_a_row() -> None:
    pinned = tuple(msgspec.structs.replace(entry, pinned=entry.id == "more") for entry in ENTRIES)
    moved = tuple(msgspec.structs.replace(entry, where="memory") if entry.id == "more" else entry for entry in ENTRIES)
    for entries in (pinned, moved):
        assert [row.first for row in tree(entries, TITLES, NOW).rows if row.kind == "run"] == ["root", "turn", "other", "more", "lost"]


def test_a_prompt_that_was_read_into_a_file_is_no_chat() -> None:
    (row,) = [row for row in tree((msgspec.structs.replace(ENTRIES[0], chats=("prompt-1a",)),), TITLES, NOW).rows if row.kind == "chat"]
    assert (row.chat, row.label) == ("", "A prompt that was read into a file")


def test_another_form_of_keys_and_values_is_told_and_parts_a_row() -> None:
    packed = tuple(msgspec.structs.replace(each, kv="8 bits in groups of 64 from 0") if each.id == "more" else each for each in ENTRIES)
    rows = {row.first: row for row in tree(packed, TITLES, NOW).rows if row.kind == "run"}
    assert (rows["other"].kv, rows["more"].kv, rows["more"].kv_text) == ("", "8-bit KV", "Keys and values: 8 bits in groups of 64 from 0")
    assert rows["more"].label.endswith(", 8-bit KV")
    assert [kv_form(words) for words in ("", "window of 64 with 4", "as computed and 4 bits in groups of 32 from 0")] == [
        "",
        "KV in a window",
        "KV in several forms",
    ]


def test_dropping_says_what_it_frees_with_all_that_goes_on_from_it() -> None:
    root, turn, _, other, _, lost = tree(ENTRIES, TITLES, NOW).rows
    assert root.frees == "This frees 6.0 MB in memory and 6.0 MB on disk. 3 entries that go on from it will go too."
    assert turn.frees == "This frees 2.0 MB in memory."
    assert other.frees == "This frees 2.0 MB on disk."
    assert lost.frees == "It takes no room any more."
    assert freed(0, 5, 2) == "This frees 5 B on disk. 1 entry that goes on from it will go too."


def test_a_chat_without_a_title_and_one_that_is_gone_are_told_apart() -> None:
    rows = tree(ENTRIES, {"garden": ""}, NOW).rows
    chats = [(row.text[0].text, row.chat) for row in rows if row.kind == "chat"]
    assert chats == [("New chat", "garden"), ("a chat that is no longer listed", "")]


def test_an_entry_whose_parent_is_not_told_of_stands_at_the_root() -> None:
    (row,) = tree((ENTRIES[3],), {}, NOW).rows[:1]
    assert (row.level, row.range) == (1, "1,100 – 1,400")


def test_control_tokens_are_told_from_words() -> None:
    pieces = first_words("<|start|>user<|message|>a <b>\n\n c")
    assert [(piece.text, piece.marked) for piece in pieces] == [
        ("<|start|>", True),
        ("user", False),
        ("<|message|>", True),
        ("a <b> c", False),
    ]
    assert first_words(" \n")[0].text == "…"


def test_a_large_tree_begins_folded_and_is_made_at_once() -> None:
    state = large()
    assert len(state.entries) == 500
    began = time.perf_counter()
    view = tree(state.entries, {}, NOW)
    assert time.perf_counter() - began < 0.5
    assert len(view.rows) > OPEN_ROWS and view.folded
    assert [row.level for row in view.rows if row.open] == [1]
    assert not tree(ENTRIES, TITLES, NOW).folded


def test_a_tree_deeper_than_any_recursion_is_drawn() -> None:
    line: list[CacheEntry] = []
    for at in range(3000):
        parent = f"a{at - 1}" if at else ""
        line.append(CacheEntry(id=f"a{at}", parent=parent, start=at, end=at + 1, where="memory", chats=(f"chat {at}",)))
    rows = tree(tuple(line), {}, NOW).rows
    assert max(row.level for row in rows) == 3001
    assert max(row.inset for row in rows) == 9
