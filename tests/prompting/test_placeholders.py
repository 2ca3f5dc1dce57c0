"""Placeholders: the built-in ones, the person's own, and what stays as it is."""

import datetime

import pytest

from mlx_harmony.prompting.placeholders import BUILT_IN, expander, moment

NOON = datetime.datetime(2026, 1, 27, 15, 4, 5, 999).astimezone()
SAID = {
    "DATE": "2026-01-27",
    "DATETIME": "2026-01-27T15:04:05",
    "TIME": "15:04:05",
    "TIMEZ": "15:04:05",
    "TIMEA": "03:04:05 PM",
    "TIMEU": NOON.astimezone(datetime.UTC).strftime("%H:%M:%S UTC"),
}


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_one_tells_the_given_time_in_any_case(name: str) -> None:
    expand = expander({}, NOON)
    assert expand(f"at <|{name}|>!") == f"at {SAID[name]}!"
    assert expand(f"<|{name.lower()}|><|{name.title()}|>") == SAID[name] * 2


@pytest.mark.parametrize(("hour", "said"), [(0, "12:00:00 AM"), (12, "12:00:00 PM"), (23, "11:00:00 PM"), (9, "09:00:00 AM")])
def test_the_twelve_hour_clock(hour: int, said: str) -> None:
    assert expander({}, datetime.datetime(2026, 1, 1, hour))("<|TIMEA|>") == said


def test_own_ones_match_in_braces_exactly_and_in_angles_in_any_case() -> None:
    expand = expander({"user": "Sam", "My Key": "x"}, NOON)
    assert expand("{user} {User} <|USER|> <|user|> {My Key} <|my key|>") == "Sam {User} Sam Sam x x"


def test_an_own_one_wins_over_a_built_in_one() -> None:
    assert expander({"date": "never"}, NOON)("<|DATE|>") == "never"


@pytest.mark.parametrize("text", ["<|end|>", "<|start|>system", "{nobody}", "{}", "{{user", "<||>", "<|DATE", "DATE", "{date}", "100%"])
def test_unknown_ones_stay_as_they_are(text: str) -> None:
    assert expander({"user": "Sam"}, NOON)(text) == text


@pytest.mark.parametrize("payload", ["{0.__class__}", "{user.__class__}", "{user!r}", "{user:>99999999}", "%(user)s", "${user:-x}"])
def test_no_text_runs_as_a_format(payload: str) -> None:
    assert "class 'str'" not in expander({"user": "Sam"}, NOON)(payload)
    assert len(expander({"user": "Sam"}, NOON)(payload)) < 50


def test_what_was_put_in_is_not_expanded_again() -> None:
    assert expander({"a": "{b}<|DATE|>", "b": "{a}"}, NOON)("{a}{b}") == "{b}<|DATE|>{a}"


def test_a_time_without_a_zone_is_the_same_moment_everywhere() -> None:
    assert moment("2026-01-27T12:00:00") == moment("2026-01-27T12:00:00Z")
    assert expander({}, moment("2026-01-27T12:00:00Z"))("<|TIMEU|>") == "12:00:00 UTC"
