"""States that say what to do next: a failed answer's report, waiting that can be ended, a model that is gone."""

import json

from mlx_harmony.conversation.records import ChatMessage, Provenance
from mlx_harmony.events import Failed
from mlx_harmony_ui import failures, present
from mlx_harmony_ui.components.surface import Commands
from mlx_harmony_ui.live import LiveTurn
from mlx_harmony_ui.render import render


def failed_answer() -> ChatMessage:
    made = Provenance(model="starter", fingerprint="abcdef0123456789", version="0.5.0")
    error = Failed(code="out_of_memory", message="The model needs 40 GB.", hint="Choose a smaller one.")
    return ChatMessage(id="m", chat_id="c", role="assistant", content="", created_at=0.0, state="failed", provenance=made, error=error)


def test_a_failed_answer_has_a_report_with_all_that_is_known() -> None:
    assert failures.report(failed_answer()).splitlines() == [
        "The model does not fit this machine’s memory (out_of_memory)",
        "The model needs 40 GB.",
        "Choose a smaller one.",
        "Model: starter abcdef012345",
        "MLX Harmony 0.5.0",
        "Message m of chat c",
    ]


def test_an_answer_that_did_not_fail_has_none() -> None:
    assert failures.report(ChatMessage(id="m", chat_id="c", role="assistant", content="Hi", created_at=0.0)) == ""


def test_a_failed_answer_can_be_tried_again_and_its_report_copied() -> None:
    view = present.HistoryView(chat_id="c", title="T", items=(present.answer(failed_answer()),))
    html = render("history", view=view, stamp=1)
    assert 'data-do="regenerate">Try again' in html and "The model needs 40 GB.\nChoose" in html
    assert 'role="alert"' in html and "Continue" not in html


def test_waiting_and_loading_can_be_cancelled_but_not_an_answer_in_another_window() -> None:
    turn = LiveTurn(chat_id="c", user_text="Hi", stage="loading", fraction=0.4)
    assert 'data-do="stop"' in render("live", view=present.growing(turn, {}))
    elsewhere = ChatMessage(id="m", chat_id="c", role="assistant", content="", created_at=0.0, state="streaming")
    html = render("history", view=present.HistoryView(chat_id="c", title="T", items=(present.answer(elsewhere),)), stamp=1)
    assert "Being written in another window" in html and 'data-do="stop"' not in html


def test_a_model_that_is_gone_is_named_with_the_way_to_another() -> None:
    html = render("starter", missing="someone/a-very-long-name-of-a-model-that-is-gone-8bit", size="")
    assert "is not on this machine" in html and 'data-do="models-menu"' in html
    assert 'title="someone/a-very-long-name-of-a-model-that-is-gone-8bit"' in html


def test_commands_hold_no_tag_whatever_they_tell() -> None:
    sent = str(Commands().add("say", text="<script>x</script>"))
    assert "<" not in sent and json.loads(sent)[0]["text"] == "<script>x</script>"
