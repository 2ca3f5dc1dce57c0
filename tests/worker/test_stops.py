"""Stop strings end an answer wherever they fall, and nothing else is lost or delayed for good."""

import random

import pytest

from mlx_harmony.events import Event, MessageEnded, MessageStarted, TextDelta, TokenLogprob, ToolCallDelta
from mlx_harmony.records import Channel
from mlx_harmony.worker.stops import StopFilter


def text(piece: str, channel: Channel = "final", index: int = 0) -> TextDelta:
    return TextDelta(index=index, channel=channel, text=piece)


def run(stops: tuple[str, ...], *pieces: Event) -> tuple[str, str | None]:
    filtered = StopFilter(stops)
    shown: list[Event] = []
    stop = None
    for piece in pieces:
        events, stop = filtered.feed([piece])
        shown += events
        if stop is not None:
            break
    shown += filtered.flush()
    return "".join(event.text for event in shown if isinstance(event, TextDelta)), stop


def test_a_stop_inside_one_piece_cuts_there() -> None:
    assert run(("END",), text("one END two")) == ("one ", "END")


def test_a_stop_across_pieces_is_found_and_never_shown() -> None:
    assert run(("STOP",), text("a S"), text("TO"), text("P b")) == ("a ", "STOP")


def test_only_what_could_become_a_stop_is_held_back() -> None:
    filtered = StopFilter(("STOP",))

    assert filtered.feed([text("abc ST")]) == ([text("abc ")], None)
    assert filtered.feed([text("AR")]) == ([text("ST"), text("AR")], None)


def test_what_was_held_back_comes_at_the_end() -> None:
    assert run(("STOP",), text("abc STO")) == ("abc STO", None)


def test_the_stop_that_is_complete_first_counts() -> None:
    assert run(("abcd", "b"), text("xabcd")) == ("xa", "b")


def test_of_two_stops_complete_at_once_the_longer_is_cut() -> None:
    assert run(("b", "ab"), text("xab")) == ("x", "ab")


def test_overlapping_beginnings_are_found() -> None:
    assert run(("aab",), text("a"), text("a"), text("a"), text("b")) == ("a", "aab")


def test_thinking_and_calls_pass_untouched_and_in_order() -> None:
    filtered = StopFilter(("STOP",))
    thought = text("STOP", "analysis")
    call = ToolCallDelta(index=1, call_id="c", arguments="STOP")

    assert filtered.feed([thought, call]) == ([thought, call], None)


def test_a_preamble_is_visible_and_so_matched() -> None:
    assert run(("STOP",), text("a STOP", "commentary")) == ("a ", "STOP")


def test_a_stop_does_not_reach_from_one_message_into_the_next() -> None:
    ended, started = MessageEnded(index=0), MessageStarted(index=1, channel="final")

    assert run(("STOP",), text("ST", "commentary"), ended, started, text("OP", index=1)) == ("STOP", None)


def test_after_a_stop_only_the_open_message_is_ended() -> None:
    filtered = StopFilter(("STOP",))
    ended = MessageEnded(index=0, raw="x STOP y")

    assert filtered.feed([text("x STOP"), text("y"), ended]) == ([text("x "), ended], "STOP")
    assert filtered.feed([text("z"), MessageStarted(index=1, channel="final")]) == ([], "STOP")


def test_empty_stops_match_nothing() -> None:
    assert run(("", ""), text("abc")) == ("abc", None)


def test_log_probabilities_are_kept() -> None:
    logprob = TokenLogprob(token="ab", token_id=1, logprob=-1.0)
    filtered = StopFilter(("bc",))
    piece = TextDelta(index=0, channel="final", text="ab", logprobs=(logprob,))

    events, _ = filtered.feed([piece])
    events += filtered.flush()

    assert [found for event in events if isinstance(event, TextDelta) for found in event.logprobs] == [logprob]


@pytest.mark.parametrize("seed", range(50))
def test_how_the_text_is_cut_into_pieces_does_not_matter(seed: int) -> None:
    rng = random.Random(seed)
    whole = "".join(rng.choices("ab\n", k=40))
    stops = tuple("".join(rng.choices("ab\n", k=rng.randint(2, 6))) for _ in range(3))
    pieces = []
    at = 0
    while at < len(whole):
        size = rng.randint(1, 7)
        pieces.append(text(whole[at : at + size]))
        at += size

    shown, stop = run(stops, *pieces)

    ends = [(whole.find(each) + len(each), -len(each), each) for each in stops if each in whole]
    expected = min(ends) if ends else None
    assert stop == (expected[2] if expected else None)
    assert shown == (whole[: expected[0] + expected[1]] if expected else whole)
