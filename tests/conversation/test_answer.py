"""How an answer gathers the model's events."""

import msgspec
import pytest

from mlx_harmony.conversation.answer import CUT_WHILE_THINKING, NO_ANSWER, ONLY_THINKING, Answer
from mlx_harmony.conversation.records import ChatMessage, Provenance
from mlx_harmony.events import Event, Failed, Finished, MessageEnded, MessageStarted, Prefill, TextDelta
from mlx_harmony.records import Numerics
from tests.fixtures.scripted import call, finished, say


class Clock:
    """Moves on only when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def blank() -> ChatMessage:
    return ChatMessage(
        id="a", chat_id="c", role="assistant", content="", created_at=0.0, state="streaming", provenance=Provenance(model="starter")
    )


def answered(events: list[Event]) -> tuple[ChatMessage, Event]:
    answer = Answer(blank())
    shown = [answer.add(event) for event in events]
    assert answer.ended
    return answer.message, shown[-1]


def test_channels_part_into_content_reasoning_and_lanes() -> None:
    message, _ = answered(say("The answer.", thinking="Let me see."))
    assert (message.content, message.reasoning, message.state) == ("The answer.", "Let me see.", "complete")
    assert [(lane.channel, lane.stop_token) for lane in message.lanes] == [("analysis", "<|end|>"), ("final", "<|return|>")]
    assert message.lanes[1].raw.startswith("<|channel|>final") and message.lanes[1].text == "The answer."
    assert message.usage and message.usage.completion_tokens == 8 and message.timings


def test_what_was_said_so_far_can_be_read_at_any_time() -> None:
    answer = Answer(blank())
    for text in ("One ", "two "):
        answer.add(TextDelta(index=0, channel="final", text=text))
    assert answer.message.content == "One two " and answer.message.state == "streaming"
    answer.add(TextDelta(index=0, channel="final", text="three"))
    assert answer.message.content == "One two three"


def test_thinking_is_measured_until_the_next_message() -> None:
    clock = Clock()
    answer = Answer(blank(), clock)
    for event, seconds in (
        (MessageStarted(index=0, channel="analysis"), 2.0),
        (MessageEnded(index=0), 5.0),
        (MessageStarted(index=1, channel="final"), 7.0),
        (MessageStarted(index=2, channel="analysis"), 1.0),
    ):
        answer.add(event)
        clock.now += seconds
    answer.end("cancelled")
    assert answer.message.thinking_ms == pytest.approx(3000)


def test_what_a_person_should_know_of_the_end_is_kept() -> None:
    message, end = answered([*say("Fine.")[:-1], msgspec.structs.replace(finished("stop"), note="Stopped.")])
    assert message.note == "Stopped."
    assert isinstance(end, Finished) and end.note == "Stopped."


def test_a_tool_call_is_complete_without_an_answer() -> None:
    message, end = answered(call("python", "python", '{"code": "1"}'))
    assert message.tool_calls[0].name == "python" and message.tool_calls[0].arguments == '{"code": "1"}'
    assert message.state == "complete" and message.lanes[0].recipient == "python" and message.lanes[0].text == '{"code": "1"}'
    assert message.reasoning == "" and isinstance(end, Finished) and end.repaired == ""


def test_a_preamble_is_what_is_shown_where_there_is_no_final() -> None:
    spoken = [
        MessageStarted(index=0, channel="commentary"),
        TextDelta(index=0, channel="commentary", text="I will look it up."),
        MessageEnded(index=0),
        finished("stop"),
    ]
    assert answered(spoken)[0].content == "I will look it up."


@pytest.mark.parametrize(
    ("events", "reason", "note"),
    [
        (say("", thinking="Hmm")[:-1], "stop", ONLY_THINKING),
        (say("", thinking="Hmm")[:-1], "length", CUT_WHILE_THINKING),
        ([], "stop", NO_ANSWER),
        ([], "cancelled", ""),
        (say(" \n ")[:-1], "stop", NO_ANSWER),
    ],
)
def test_an_end_without_an_answer_says_so(events: list[Event], reason: str, note: str) -> None:
    message, end = answered([*events, finished(reason)])
    assert message.repaired == note and isinstance(end, Finished) and end.repaired == note


def test_how_it_ended_is_kept() -> None:
    assert answered([*say("Hi")[:-1], finished("length")])[0].state == "length"
    assert answered([*say("Hi")[:-1], finished("cancelled")])[0].state == "cancelled"
    failure = Failed(code="engine_crashed", message="Gone.")
    message, _ = answered([*say("Hi")[:-1], failure])
    assert (message.state, message.error, message.content) == ("failed", failure, "Hi")


def test_the_seed_and_the_weights_that_were_used_are_kept() -> None:
    answer = Answer(blank())
    answer.add(Prefill(done=1, total=2))
    assert not answer.changed
    answer.add(Finished(reason="stop", seed=77, usage=finished("stop").usage, timings=finished("stop").timings))
    computed = Numerics(device="cpu", mlx="1")
    answer.made_by("weights", computed)
    made = answer.message.provenance
    assert made and (made.seed, made.fingerprint, made.numerics) == (77, "weights", computed)
