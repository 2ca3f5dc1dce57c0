"""Chats by day, models with where they stand, and the pill."""

from datetime import datetime

from mlx_harmony.conversation.records import ChatSummary, SearchHit, TrashItem
from mlx_harmony.engine.protocols import ModelState
from mlx_harmony.models.forecast import Forecast
from mlx_harmony.models.outlook import Needs
from mlx_harmony.records import ModelEntry
from mlx_harmony_ui import listing
from mlx_harmony_ui.render import render

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


def test_a_model_says_where_it_stands_and_what_can_be_done() -> None:
    asleep, broken = listing.model_rows((STARTER, BROKEN), (), "starter")
    assert (asleep.name, asleep.size, asleep.phase_text, asleep.chosen) == ("Starter", "15 MB", "asleep", True)
    assert (asleep.can_load, asleep.can_unload, asleep.can_talk) == (True, False, True)
    assert (broken.can_load, broken.can_unload, broken.can_talk) == (False, False, False)
    assert broken.problem == "config.json is missing."


def test_loading_tells_its_percent_and_can_be_left() -> None:
    (row,) = listing.model_rows((STARTER,), (ModelState(id="starter", phase="loading", fraction=0.4),), "")
    assert (row.phase_text, row.fraction, row.can_load, row.can_unload) == ("loading 40 %", 0.4, False, True)


def test_a_crashed_model_says_why_and_can_be_loaded_again() -> None:
    crashed = ModelState(id="starter", phase="crashed", problem="A file is cut.", hint="Download the model again.")
    (row,) = listing.model_rows((STARTER,), (crashed,), "")
    assert (row.phase_text, row.problem, row.can_load) == ("stopped", "A file is cut. Download the model again.", True)


def test_the_pill_shows_a_model_that_went_missing() -> None:
    pill = listing.pill((STARTER,), (), "gone")
    assert (pill.name, pill.phase_text) == ("gone", "missing")
    assert listing.pill((STARTER,), (), "starter").name == "Starter"


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


def test_a_models_memory_is_told_before_it_is_loaded_and_no_longer_once_it_is() -> None:
    told = Forecast(weights=2_000_000_000, kv=500_000_000, working=300_000_000, context=4096)
    for verdict, text in (("fits", "fits"), ("tight", "shorter context"), ("too large", "will not fit"), ("unknown", "")):
        needs = {"starter": Needs(forecast=told, verdict=verdict, free=3_000_000_000)}  # type: ignore[arg-type]
        (row,) = listing.model_rows((STARTER,), (), "starter", needs)
        assert (row.needs, row.fit_text) == ("2.8 GB", text)
        assert row.fit_title == "Weights 2.0 GB, 4,096 tokens 500 MB, room to work 300 MB; 3.0 GB are free"
    (row,) = listing.model_rows((STARTER,), (ModelState(id="starter", phase="awake"),), "starter", needs)
    assert (row.needs, row.fit_text) == ("2.8 GB", "")
    (row,) = listing.model_rows((STARTER,), (), "starter")
    assert (row.needs, row.fit_text, row.fit_title) == ("—", "", "")
