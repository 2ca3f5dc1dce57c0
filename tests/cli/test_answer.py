"""How a stream is shown: progress for people, data for programs."""

import msgspec

from mlx_harmony.cli.answer import Answer, guessed_line
from mlx_harmony.conversation.records import TurnEvent
from mlx_harmony.events import Finished, Loading, MessageStarted, Prefill, Queued, TextDelta
from mlx_harmony.prompting.records import ChatSetup
from mlx_harmony.records import Speculated, Timings, Usage
from tests.cli.conftest import Recorded
from tests.fixtures.scripted import finished, say

WAITING: list[TurnEvent] = [
    Queued(position=2),
    Loading(stage="Reading weights", fraction=0.5),
    Prefill(done=512, total=1024),
    Prefill(done=3, total=9),
    MessageStarted(index=0, channel="final"),
    TextDelta(index=0, channel="final", text="Here."),
    finished("stop"),
]


def shown(events: list[TurnEvent], terminal: Recorded) -> Answer:
    answer = Answer(terminal)
    for event in events:
        answer.show(event)
    return answer


def test_a_person_sees_progress_on_one_line_that_goes_away(screen: Recorded) -> None:
    shown(WAITING, screen)
    told = screen.err.getvalue()
    assert "Waiting, 1 before this one" in told
    assert "Loading: Reading weights, 50%" in told
    assert "Reading the prompt: 512 of 1024 tokens" in told and "3 of 9" not in told
    assert "\n" not in told and told.endswith("\r\x1b[K")
    assert screen.out.getvalue() == "Here.\n"


def test_a_pipe_sees_no_progress_and_no_control_codes(pipe: Recorded) -> None:
    shown(WAITING, pipe)
    assert pipe.err.getvalue() == ""
    assert pipe.out.getvalue() == "Here.\n"


def test_thinking_is_no_data(pipe: Recorded) -> None:
    shown([*say("Fine.", thinking="They greet me.")], pipe)
    assert pipe.out.getvalue() == "Fine.\n"


def test_what_cut_an_answer_short_is_said_on_stderr(pipe: Recorded) -> None:
    shown([*say("Long.")[:-1], finished("length")], pipe)
    assert "--max-tokens" in pipe.err.getvalue()


def test_what_a_person_should_know_is_said_on_stderr(pipe: Recorded) -> None:
    end = msgspec.structs.replace(finished("length"), note="Thinking was cut at 9 tokens, its budget.")
    shown([*say("Fine.")[:-1], end], pipe)
    assert pipe.err.getvalue().startswith("Thinking was cut at 9 tokens, its budget.\n")


def test_what_was_mended_is_said_on_stderr(pipe: Recorded) -> None:
    timings = Timings(prompt_n=1, cached_n=0, prompt_ms=1, predicted_n=1, predicted_ms=1)
    end = Finished(reason="stop", usage=Usage(prompt_tokens=1, completion_tokens=1), timings=timings, repaired="a header was cut")
    assert shown([*say("Fine.")[:-1], end], pipe).code == 0
    assert "a header was cut" in pipe.err.getvalue()


def test_what_was_guessed_stands_beside_the_times_and_a_missing_draft_model_on_stderr(pipe: Recorded) -> None:
    guessed = Speculated(kind="lookup", drafted=80, accepted=64, passes=12, note="No model fits.")
    answer = Answer(pipe, ChatSetup(show_timings=True))
    for event in [*say("Fine.")[:-1], msgspec.structs.replace(finished("stop"), speculation=guessed)]:
        answer.show(event)
    assert "64 of 80 guessed tokens were right (lookup)." in pipe.err.getvalue()
    assert pipe.err.getvalue().endswith("No model fits.\n")
    assert guessed_line(Speculated()) == guessed_line(None) == ""
