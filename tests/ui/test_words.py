"""Numbers, times and names as a person reads them."""

from datetime import date, datetime

import pytest

from mlx_harmony_ui import words


@pytest.mark.parametrize(
    ("amount", "said"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (15_300_000, "15 MB"), (12_400_000_000, "12 GB"), (3 * 10**15, "3000 TB")],
)
def test_sizes_carry_their_unit(amount: int, said: str) -> None:
    assert words.size(amount) == said


@pytest.mark.parametrize(("seconds", "said"), [(0, "0 ms"), (0.0431, "43 ms"), (3.21, "3.2 s"), (75, "1 min 15 s")])
def test_durations_are_as_fine_as_is_useful(seconds: float, said: str) -> None:
    assert words.duration(seconds) == said


def test_thinking_is_told_in_tenths() -> None:
    assert words.moment(0.02) == "0.1 s"
    assert words.moment(3.21) == "3.2 s"
    assert words.moment(90) == "1 min 30 s"


def test_a_rate_and_a_percentage() -> None:
    assert words.rate(98.72) == "98.7 tok/s"
    assert words.rate(512.4) == "512 tok/s"
    assert words.percent(1.7) == "100 %"


def test_long_names_shorten_in_the_middle() -> None:
    assert words.shorten("short") == "short"
    shortened = words.shorten("mlx-community/gpt-oss-120b-MXFP4-Q8", 20)
    assert len(shortened) == 20
    assert shortened.startswith("mlx-commu")
    assert shortened.endswith("MXFP4-Q8")


def test_chats_stand_under_their_day() -> None:
    today = date(2026, 3, 15)

    def under(day: date) -> str:
        return words.day(datetime(day.year, day.month, day.day, 12).timestamp(), today)

    assert under(today) == "Today"
    assert under(date(2026, 3, 14)) == "Yesterday"
    assert under(date(2026, 3, 10)) == "Last 7 days"
    assert under(date(2026, 2, 20)) == "Last 30 days"
    assert under(date(2025, 11, 3)) == "November 2025"


def test_things_are_counted_in_words() -> None:
    assert [words.several(amount, "chat") for amount in (0, 1, 1200)] == ["0 chats", "1 chat", "1,200 chats"]
    assert words.dated(datetime(2026, 3, 5, 12).timestamp()) == "5 Mar 2026"
