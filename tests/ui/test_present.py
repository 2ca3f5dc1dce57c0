"""Kept chats as shown: the window, the ends, the figures, the details."""

import pytest

from mlx_harmony.conversation.records import Chat, ChatMessage, ChatSummary, Lane, MessageState, Provenance
from mlx_harmony.errors import ERRORS
from mlx_harmony.events import Failed
from mlx_harmony.records import Sampling, Timings, Usage
from mlx_harmony_ui import failures, present
from mlx_harmony_ui.details import details
from mlx_harmony_ui.render import render

USAGE = Usage(prompt_tokens=1234, completion_tokens=40, cached_tokens=1000, reasoning_tokens=10)
TIMINGS = Timings(prompt_n=234, cached_n=1000, prompt_ms=80.0, predicted_n=40, predicted_ms=500.0, first_token_ms=95.0)


def message(number: int, **changes: object) -> ChatMessage:
    fields: dict[str, object] = {
        "id": f"{number:x}",
        "chat_id": "c",
        "role": "user" if number % 2 == 0 else "assistant",
        "content": f"text {number}",
        "created_at": 0.0,
    }
    return ChatMessage(**{**fields, **changes})  # type: ignore[arg-type]


def chat(*messages: ChatMessage) -> Chat:
    return Chat(summary=ChatSummary(id="c", title="T", created_at=0.0, updated_at=0.0), messages=messages)


def test_a_long_chat_shows_its_last_messages_and_counts_the_others() -> None:
    view = present.history(chat(*(message(number) for number in range(200))))
    assert len(view.items) == present.WINDOW
    assert view.earlier == 140
    assert present.history(chat(*(message(number) for number in range(200))), shown=120).earlier == 80


def test_very_long_messages_make_the_window_shorter() -> None:
    long = [message(number, content="x" * (present.WINDOW_CHARACTERS // 5)) for number in range(30)]
    assert [len(present.history(chat(*long)).items), present.history(chat(*long)).earlier] == [5, 25]
    assert len(present.history(chat(*long), shown=28).items) == 28
    huge = [message(number, content="x" * present.WINDOW_CHARACTERS * 2) for number in range(4)]
    assert len(present.history(chat(*huge)).items) == 2


def test_the_turn_that_is_drawn_live_is_left_out_with_its_question() -> None:
    view = present.history(chat(*(message(number) for number in range(4))), without="3")
    assert [item.message_id for item in view.items] == ["0", "1"]


@pytest.mark.parametrize(
    ("state", "error", "headline"),
    [
        ("complete", None, None),
        ("cancelled", None, "Stopped"),
        ("length", None, "Cut at the length limit"),
        ("interrupted", None, "Interrupted"),
        ("failed", Failed(code="out_of_memory", message="No room."), "The model does not fit this machine’s memory"),
    ],
)
def test_every_end_of_an_answer_is_told(state: MessageState, error: Failed | None, headline: str | None) -> None:
    notice = present.answer(message(1, state=state, error=error)).notice
    assert (notice.headline if notice else None) == headline


def test_the_figures_stand_in_reading_order() -> None:
    shown = [(figure.label, figure.value) for figure in present.figures(USAGE, TIMINGS)]
    assert shown == [("first token", "95 ms"), ("", "80.0 tok/s"), ("prompt", "1,234"), ("cached", "1,000"), ("new", "40")]


def test_versions_know_their_neighbours() -> None:
    view = present.answer(message(1, versions=("0a", "1", "2b")))
    assert (view.version, view.before, view.after) == ("2 of 3", "0a", "2b")
    assert present.answer(message(1, versions=("1",))).version == ""


def test_every_code_of_the_error_tree_has_a_headline() -> None:
    assert failures.untold() == set()
    assert set(failures.HEADLINES) == set(ERRORS)


def test_the_details_tell_how_an_answer_was_made() -> None:
    lanes = (
        Lane(channel="analysis", text="Hm", tokens=30, raw="<|channel|>analysis<|message|>Hm<|end|>", stop_token="<|end|>"),
        Lane(channel="final", text="Yes", tokens=10, stop_token="<|return|>"),
    )
    made = Provenance(model="starter", fingerprint="f" * 64, sampling=Sampling(temperature=0.5), seed=7, version="1.0")
    view = details(message(1, lanes=lanes, usage=USAGE, timings=TIMINGS, provenance=made))
    widths = {line.name: [note.width for note in line.notes] for line in view.staff}
    assert widths == {"final": [25.0], "commentary": [], "analysis": [75.0], "tool": []}
    facts = {row.label: row.value for table in view.tables for row in table.rows}
    assert facts["Temperature"] == "0.5"
    assert facts["Seed"] == "7"
    assert facts["Cached"] == "1,000 tokens"
    assert "closed by <code>&lt;|end|&gt;</code>" in render("details", view=view)
    assert "&lt;|channel|&gt;analysis" in render("details", view=details(message(1, lanes=lanes), raw=True))


def test_notes_stay_on_the_staff_however_many_there_are() -> None:
    lanes = tuple(Lane(channel="analysis", text="x", tokens=1) for _ in range(200))
    for line in details(message(1, lanes=lanes)).staff:
        assert all(note.left >= 0 and note.left + note.width <= 100.01 for note in line.notes)


def test_what_a_person_typed_is_shown_as_typed() -> None:
    html = render("history", view=present.history(chat(message(0, content="<b>**x**</b> {{ 7 }}"))), stamp=1)
    assert "&lt;b&gt;**x**&lt;/b&gt; {{ 7 }}" in html


def test_what_was_mended_and_why_it_ended_stand_under_the_answer() -> None:
    shown = present.answer(message(1, repaired="A header was mended.", note="Thinking was cut at 8 tokens."))
    assert (shown.repaired, shown.note) == ("A header was mended.", "Thinking was cut at 8 tokens.")


def test_a_line_stands_where_the_model_s_sight_of_the_chat_begins() -> None:
    messages = [message(number) for number in range(6)]
    trimmed = chat(*messages[:5], message(5, seen_from="2"))
    view = present.history(trimmed)
    drawn = render("history", view=view, stamp=1)
    assert view.seen_from == "2" and drawn.count("seen-from") == 2 and drawn.index('"seen-from"') < drawn.index('data-message="2"')
    assert drawn.index('data-message="1"') < drawn.index('"seen-from"')
    again = chat(*messages[:4], message(4), message(5, seen_from="2"), message(6), message(7))
    assert present.history(again).seen_from == "" and "seen-from" not in render("history", view=present.history(again), stamp=1)


@pytest.mark.parametrize(("state", "held"), [("complete", False), ("failed", True), ("length", True), ("cancelled", True)])
def test_thinking_that_was_cut_is_never_folded(state: MessageState, held: bool) -> None:
    shown = present.answer(message(1, content="", reasoning="Hm", state=state))
    assert [part.held for part in shown.parts] == [held]
    assert ("open" in render("history", view=present.history(chat(message(1, content="", reasoning="Hm", state=state))), stamp=1)) is held
