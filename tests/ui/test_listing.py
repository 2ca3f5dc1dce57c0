"""Chats by day, models with where they stand, and the pill."""

from datetime import datetime

from mlx_harmony.conversation.records import ChatSummary, SearchHit, TrashItem
from mlx_harmony.engine.protocols import ModelState
from mlx_harmony.records import ModelEntry
from mlx_harmony_ui import listing
from mlx_harmony_ui.render import render
from mlx_harmony_ui.tabs.chosen import short

STARTER = ModelEntry(
    id="starter",
    path="/m/starter",
    bytes=15_100_000,
    architecture="gpt_oss",
    format="harmony",
    source="bundled",
    bits=8,
    context_length=4096,
)
BROKEN = ModelEntry(
    id="broken", path="/m/broken", bytes=10, architecture="", format="unsupported", source="folder", problem="config.json is missing."
)


def test_chats_stand_newest_first_under_their_days() -> None:
    now = datetime(2026, 3, 15, 12).timestamp()
    chats = tuple(
        ChatSummary(id=name, title=name, created_at=0.0, updated_at=now - gone)
        for name, gone in (("old", 90_000), ("new", 60), ("mid", 600))
    )
    groups = listing.chat_groups(chats, now)
    assert [(group.name, [chat.id for chat in group.chats]) for group in groups] == [("Today", ["new", "mid"]), ("Yesterday", ["old"])]


def test_a_long_list_of_chats_shows_the_newest_and_says_how_many_are_older() -> None:
    chats = tuple(ChatSummary(id=str(number), title="", created_at=0.0, updated_at=float(number)) for number in range(250))
    view = listing.chats(chats, 1e6)
    shown = [chat.id for group in view.groups for chat in group.chats]
    assert (shown[0], len(shown), view.older) == ("249", listing.ROWS, 250 - listing.ROWS)
    more = listing.chats(chats, 1e6, view.more)
    assert (sum(len(group.chats) for group in more.groups), more.older) == (250, 0)
    assert listing.chats(chats, 1e6, rows=-7).older == view.older


def test_the_pill_offers_every_model_with_where_it_stands() -> None:
    states = (ModelState(id="starter", phase="loading", fraction=0.4), ModelState(id="broken", phase="crashed", problem="A file is cut."))
    starter, broken = listing.pill((STARTER, BROKEN), states, "starter").choices
    assert (starter.name, starter.size, starter.phase_text, starter.chosen) == ("Starter", "15 MB", "loading 40 %", True)
    assert (broken.phase_text, broken.problem, broken.chosen) == ("stopped", "config.json is missing.", False)
    assert listing.phase_text(None) == "asleep"


def test_a_model_whose_process_stopped_can_be_chosen_again_and_a_broken_one_cannot() -> None:
    states = (ModelState(id="starter", phase="crashed", problem="Its process was killed."),)
    starter, broken = listing.pill((STARTER, BROKEN), states, "broken").choices
    assert (starter.problem, starter.broken) == ("Its process was killed.", False)
    assert broken.broken


def test_the_pill_shows_a_model_that_went_missing() -> None:
    pill = listing.pill((STARTER,), (), "gone")
    assert (pill.name, pill.phase_text) == ("gone", "missing")
    assert listing.pill((STARTER,), (), "starter").name == "Starter"


def test_an_alias_can_be_picked_and_has_no_size_and_no_state_of_its_own() -> None:
    alias = ModelEntry(id="both", path="", bytes=0, architecture="", format="template", source="alias")
    pill = listing.pill((STARTER, alias), (), "both")
    assert (pill.name, pill.size, pill.phase_text) == ("both", "alias", "")
    assert pill.title == "both: an alias; each answer says which model gave it"
    assert [choice.chosen for choice in pill.choices] == [False, True]


def test_a_narrow_pill_keeps_both_ends_of_a_long_name() -> None:
    assert short("Starter", "starter") == "Starter"
    assert short("mlx-community/…MXFP4-Q8", "mlx-community/gpt-oss-20b-MXFP4-Q8") == "gpt-o…P4-Q8"


def test_matches_are_marked_and_text_stays_text() -> None:
    hits = (
        SearchHit(chat_id="c", title="<b>Zebra", snippet="<b>Zebra", matches=((3, 8),), updated_at=1.0),
        SearchHit(chat_id="c", title="<b>Zebra", snippet="a zebra", matches=((2, 7),), updated_at=1.0, message_id="m", role="user"),
    )
    row = listing.found_rows(hits)[0]
    assert [(piece.text, piece.marked) for piece in row.title] == [("<b>", False), ("Zebra", True)]
    html = render("found", rows=(row,), asked=1)
    assert "&lt;b&gt;<mark>Zebra</mark>" in html
    assert "</b> a <mark>zebra</mark>" in html
    assert 'href="#chat=c&amp;at=m"' in html and "<b>You</b>" in html


def test_a_chat_lists_its_first_places_and_counts_the_others() -> None:
    hits = tuple(
        SearchHit(chat_id="c", title="T", snippet="zebra", matches=((0, 5),), updated_at=1.0, message_id=str(number), role="assistant")
        for number in range(5)
    )
    (row,) = listing.found_rows(hits)
    assert (len(row.places), row.more, row.places[0].speaker) == (listing.PLACES, 2, "Answer")
    assert "and 2 more in this chat" in render("found", rows=(row,), asked=1)


def test_the_trash_tells_what_it_holds() -> None:
    now = datetime(2026, 3, 15, 12).timestamp()
    items = (
        TrashItem(id="c", kind="chat", chat_id="c", title="Plans", trashed_at=now - 60, messages=1200, excerpt="Plans"),
        TrashItem(id="m", kind="message", chat_id="d", title="Other", trashed_at=now - 90_000, messages=1, excerpt="a\n b"),
        TrashItem(id="n", kind="message", chat_id="d", title="", trashed_at=now - 900_000, messages=3, excerpt="x"),
    )
    rows = listing.bin_rows(items, now)
    assert [row.held for row in rows] == [
        "Chat with 1,200 messages",
        "A message of this chat",
        "A message of this chat and 2 that followed it",
    ]
    assert [(row.title, row.when, row.excerpt) for row in rows] == [
        ("Plans", "today", ""),
        ("Other", "yesterday", "a b"),
        ("New chat", "5 Mar 2026", "x"),
    ]
    assert listing.bin_total(items) == "1 chat with 1,200 messages and 4 messages of other chats"
    assert listing.bin_total(items[1:2]) == "1 message"
    assert listing.bin_total(()) == ""
