"""The two answers as columns: each side's own events, settings and figures, how each ended, and what can be done about it."""

import msgspec
import pytest

from mlx_harmony.comparing import Side
from mlx_harmony.conversation.records import TurnEvent, TurnOptions, TurnStarted
from mlx_harmony.events import Failed, Finished, Loading, MessageStarted, TextDelta
from mlx_harmony.records import Sampling
from mlx_harmony_ui.comparing.sides import Asked, Pair, SideView, folded, nothing_yet, side_view
from mlx_harmony_ui.tabs.talk import Pen
from tests.fixtures.scripted import finished

SURE = TurnOptions(model="starter", sampling=Sampling(temperature=0.0, seed=5), max_tokens=40)
DRAWN = TurnOptions(model="org/other", effort="high")
BEGUN = TurnStarted(chat_id="c1", user_message_id="u", assistant_message_id="a", model="starter")
SAID = (BEGUN, MessageStarted(index=0, channel="final"), TextDelta(index=0, channel="final", text="Yes."))


def after(side: Side, *events: TurnEvent) -> Pair:
    pair = nothing_yet("Well?", Asked(name="Starter", options=SURE), Asked(name="other", options=DRAWN))
    for event in events:
        pair = folded(pair, (side, event), 1.0)
    return pair


def seen(pair: Pair, side: Side) -> SideView:
    return side_view(pair, side, Pen().view(pair.of(side)).answer)


def test_an_event_touches_its_own_side_only() -> None:
    pair = after("right", *SAID)
    assert pair.left == nothing_yet("Well?", *pair.asked).left
    assert (pair.right.chat_id, pair.right.voices[0].text) == ("c1", "Yes.")


def test_a_column_tells_what_it_was_asked_with() -> None:
    assert seen(after("left"), "left").settings == "Temperature 0 · medium effort · at most 40 tokens"
    assert seen(after("right"), "right").settings == "Temperature 1 · high effort"
    done = msgspec.structs.replace(finished("stop"), seed=123)
    assert seen(after("right", *SAID, done), "right").settings == "Temperature 1 · seed 123 · high effort"


def test_a_whole_answer_has_its_figures_and_can_be_kept() -> None:
    growing, done = seen(after("left", *SAID), "left"), seen(after("left", *SAID, finished("stop")), "left")
    assert growing.answer.running and not growing.chat_id and not growing.figures
    assert (done.chat_id, done.answer.notice, done.answer.running) == ("c1", None, False)
    assert [(figure.label, figure.value) for figure in done.figures][:2] == [("first token", "6 ms"), ("", "200 tok/s")]
    # What only a chat can do is not offered: no acts, no Continue, no Cancel of the chat's own.
    assert (done.answer.message_id, done.answer.can_go_on, done.answer.can_cancel) == ("", False, False)


@pytest.mark.parametrize(
    ("end", "headline"),
    [
        (finished("length"), "Cut at the length limit"),
        (finished("cancelled"), "Stopped"),
        (Failed(code="engine_crashed", message="It was killed."), "The model’s process stopped"),
    ],
)
def test_how_an_answer_ended_is_said_and_what_was_written_can_be_kept(end: Finished | Failed, headline: str) -> None:
    view = seen(after("left", *SAID, end), "left")
    assert view.answer.notice and view.answer.notice.headline == headline
    assert view.chat_id == "c1" and not view.anyway
    assert not seen(after("left", BEGUN, end), "left").chat_id, "nothing was said that could be kept"


def test_a_stopped_answer_shows_no_figures_it_does_not_have() -> None:
    assert seen(after("left", *SAID, finished("cancelled")), "left").figures == ()


def test_a_side_without_room_says_so_and_can_be_loaded_anyway() -> None:
    waiting = seen(after("right", Loading(stage="Waiting until starter has answered", fraction=0.0)), "right")
    assert waiting.waits and "no room for both" in waiting.waits.headline and waiting.anyway
    assert (waiting.answer.progress, waiting.answer.fraction) == ("Waiting until starter has answered", None)
    loading = seen(after("right", Loading(stage="reading weights", fraction=0.4)), "right")
    assert loading.waits is None and not loading.anyway and loading.answer.fraction == 0.4

    refused = seen(after("right", BEGUN, Failed(code="out_of_memory", message="It needs 9 GB.")), "right")
    assert refused.anyway and refused.waits is None and refused.answer.notice
    assert not seen(after("right", BEGUN, Failed(code="load_failed", message="It is broken.")), "right").anyway
