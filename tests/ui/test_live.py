"""Events folded into a growing answer, and the growing answer as it is shown."""

import re

from mlx_harmony.conversation.records import ChatMessage, Lane, TurnEvent, TurnStarted
from mlx_harmony.events import (
    Failed,
    Loading,
    MessageEnded,
    MessageStarted,
    Prefill,
    Queued,
    Routed,
    TextDelta,
    ToolCallDelta,
    Trimmed,
)
from mlx_harmony.records import ToolCall
from mlx_harmony_ui import present
from mlx_harmony_ui.live import LiveTurn, fold
from mlx_harmony_ui.render import render
from mlx_harmony_ui.voices import Voice, of_message
from tests.fixtures.scripted import call, finished, say

STARTED = TurnStarted(chat_id="c", user_message_id="u", assistant_message_id="a", model="starter")


def folded(*events: TurnEvent, step_s: float = 1.0) -> LiveTurn:
    turn = LiveTurn(chat_id="c", user_text="Hi")
    for number, event in enumerate(events):
        turn = fold(turn, event, number * step_s)
    return turn


def shown(turn: LiveTurn) -> present.AnswerView:
    return present.growing(turn, {}).answer


def test_every_wait_says_what_it_waits_for() -> None:
    assert shown(folded()).progress == "Sending"
    assert shown(folded(STARTED, Queued(position=3))).progress == "Waiting for 2 other answers"
    assert shown(folded(STARTED, Queued(position=1))).progress == "Next in line"
    loading = shown(folded(STARTED, Loading(stage="weights", fraction=0.42)))
    assert loading.progress == "Loading the model · 42 %"
    assert loading.fraction == 0.42
    reading = shown(folded(STARTED, Prefill(done=512, total=2048, cached=256)))
    assert reading.progress == "Reading 2,048 tokens · 25 %, 256 of them kept from before"
    assert reading.fraction == 0.25


def test_an_answer_to_an_alias_names_who_gives_it_once_that_is_known() -> None:
    asked = TurnStarted(chat_id="c", user_message_id="u", assistant_message_id="a", model="both")
    assert shown(folded(asked, Loading(stage="weights", fraction=0.4))).model == "both"
    assert shown(folded(asked, Routed(alias="both", model="starter", note="It was its turn."))).model == "starter"


def test_reading_the_prompt_is_a_bar_that_fills_to_the_end() -> None:
    values = []
    for done in (0, 512, 1024, 2048):
        view = present.growing(folded(STARTED, Prefill(done=done, total=2048)), {})
        (bar,) = re.findall(r"<progress [^>]*>", render("live", view=view))
        assert 'aria-label="Reading 2,048 tokens' in bar
        values.append(float(re.findall(r'value="([\d.]+)"', bar)[0]))
    assert values == [0.0, 0.25, 0.5, 1.0]


def test_thinking_is_open_while_it_runs_and_then_tells_its_time() -> None:
    begun = (STARTED, MessageStarted(index=0, channel="analysis"), TextDelta(index=0, channel="analysis", text="Hm."))
    assert shown(folded(*begun)).parts[0].running
    over = shown(folded(*begun, MessageEnded(index=0, stop_token="<|end|>")))
    assert not over.parts[0].running
    assert over.parts[0].time == "2.0 s"


def test_a_whole_turn_becomes_thinking_and_answer() -> None:
    view = shown(folded(STARTED, *say("The answer.", thinking="I think.")))
    assert [part.kind for part in view.parts] == ["thinking", "answer"]
    assert "The answer." in view.parts[1].blocks[0]
    assert not view.running
    assert view.progress == ""


def test_a_call_is_a_call_whatever_its_channel() -> None:
    view = shown(folded(STARTED, *call("python", "python", '{"code": "print(417 * 36)"}')))
    assert [part.kind for part in view.parts] == ["call"]
    assert view.parts[0].name == "python"
    assert view.parts[0].line == "print(417 * 36)"


def test_a_call_in_the_middle_of_its_arguments_is_shown_as_it_stands() -> None:
    opened = MessageStarted(index=0, channel="commentary", recipient="functions.get_weather")
    turn = folded(STARTED, opened, ToolCallDelta(index=0, call_id="1", name="get_weather", arguments='{"city": "Os'))
    part = shown(turn).parts[0]
    assert part.running
    assert part.line == '{"city": "Os'


def test_a_failure_keeps_the_text_and_says_what_happened() -> None:
    text = (MessageStarted(index=0, channel="final"), TextDelta(index=0, channel="final", text="So far"))
    view = shown(folded(STARTED, *text, Failed(code="engine_crashed", message="The worker was killed.")))
    assert "So far" in view.parts[0].blocks[0]
    assert not view.parts[0].running
    assert view.notice is not None
    assert view.notice.headline == "The model’s process stopped"
    assert "restarts" in view.notice.text


def test_what_streamed_and_what_is_kept_look_the_same() -> None:
    events = say("Done.", thinking="Quick.")
    live = shown(folded(STARTED, *events))
    lanes = (Lane(channel="analysis", text="Quick."), Lane(channel="final", text="Done."))
    kept = present.answer(
        ChatMessage(id="a", chat_id="c", role="assistant", content="Done.", reasoning="Quick.", created_at=0.0, lanes=lanes)
    )
    assert [(part.kind, part.key, part.blocks) for part in kept.parts] == [(part.kind, part.key, part.blocks) for part in live.parts]
    assert kept.key == live.key


def test_lanes_and_calls_of_a_kept_answer_belong_together() -> None:
    message = ChatMessage(
        id="a",
        chat_id="c",
        role="assistant",
        content="",
        created_at=0.0,
        thinking_ms=1200,
        lanes=(
            Lane(channel="analysis", text="I need it."),
            Lane(channel="commentary", text="Let me look."),
            Lane(channel="commentary", text="raw", recipient="functions.look"),
        ),
        tool_calls=(ToolCall(id="1", name="look", arguments='{"at": 1}'),),
    )
    voices = of_message(message)
    assert [voice.part for voice in voices] == ["thinking", "aside", "call"]
    assert voices[0].seconds == 1.2
    assert (voices[2].name, voices[2].text) == ("look", '{"at": 1}')


def test_an_answer_without_lanes_is_read_from_its_fields() -> None:
    message = ChatMessage(id="a", chat_id="c", role="assistant", content="Yes.", reasoning="Hm.", created_at=0.0)
    assert [(voice.part, voice.text) for voice in of_message(message)] == [("thinking", "Hm."), ("answer", "Yes.")]


def test_the_end_closes_what_was_left_open() -> None:
    turn = folded(STARTED, MessageStarted(index=0, channel="final"), TextDelta(index=0, channel="final", text="x"), finished("stop"))
    assert turn.voices[0].ended_s is not None


def test_an_answer_that_goes_on_grows_in_its_last_voice() -> None:
    kept = (Voice(index=0, channel="analysis", text="Hm.", ended_s=0.0), Voice(index=1, channel="final", text="One ", ended_s=0.0))
    turn = LiveTurn(chat_id="c", user_text="x", again=True, base=2, voices=kept)
    for event in (MessageStarted(index=0, channel="final"), TextDelta(index=0, channel="final", text="two")):
        turn = fold(turn, event, 5.0)
    assert [voice.text for voice in turn.voices] == ["Hm.", "One two"]
    turn = fold(turn, MessageStarted(index=1, channel="analysis"), 6.0)
    assert [voice.index for voice in turn.voices] == [0, 1, 2]


def test_messages_that_do_not_fit_are_counted() -> None:
    assert fold(LiveTurn(chat_id="c", user_text="x"), Trimmed(messages=(1, 2)), 0.0).unseen == 2
