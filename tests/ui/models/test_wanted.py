"""What a page asks to see is taken as far as it makes sense; a key says exactly what may go."""

import pytest

from mlx_harmony.models.removal import Selected
from mlx_harmony_ui.models.wanted import MOST_PICKED, key_of, picked_of, selected, wanted_of


@pytest.mark.parametrize(
    "each",
    [
        Selected(id="org/A:b@c"),
        Selected(id="org/A", revision="abc123"),
        Selected(id="a:b", revision="r"),
        Selected(id="x", incomplete_only=True),
    ],
)
def test_a_key_comes_back_as_what_it_was_made_of(each: Selected) -> None:
    assert selected(key_of(each)) == each


@pytest.mark.parametrize("odd", ["", "whole:", "half:", "revision:abc", "revision::x", "revision:abc:", "all:org/A"])
def test_an_odd_key_selects_nothing(odd: str) -> None:
    assert selected(odd) is None


def test_a_selection_is_bounded_and_names_each_thing_once() -> None:
    assert picked_of(["whole:a", 7, "whole:a", None, "half:b"]) == (Selected(id="a"), Selected(id="b", incomplete_only=True))
    assert len(picked_of([f"whole:{at}" for at in range(2 * MOST_PICKED)])) == MOST_PICKED
    assert picked_of("whole:a") == ()


def test_the_filter_is_the_one_of_the_terminal() -> None:
    wanted = wanted_of(
        {"text": "*-4bit", "format": "harmony", "size": "middle", "sort": "used", "reverse": True, "width": 390, "height": True}
    )
    assert (wanted.filter.text, wanted.filter.format, wanted.filter.sort, wanted.filter.reverse) == ("*-4bit", "harmony", "used", True)
    assert (wanted.filter.min_bytes, wanted.filter.max_bytes, wanted.width, wanted.height) == (10**9, 5 * 10**9 - 1, 390, 260)


@pytest.mark.parametrize("odd", [{}, {"text": 7, "format": "gguf", "size": [], "sort": "colour", "reverse": "yes", "width": 1e9}])
def test_what_makes_no_sense_counts_as_not_sent(odd: dict[str, object]) -> None:
    assert wanted_of(odd) == wanted_of({})
