"""Guessing only where it pays: told by what passes cost here and by how often guesses are right."""

import pytest

from mlx_harmony.worker.speculation.acceptance import Acceptance
from mlx_harmony.worker.speculation.gain import FIRST_PAUSE, LAST_PAUSE, MOST, Gain

SURE = [0.95] * MOST


def measured(costs: dict[int, float]) -> Gain:
    gain = Gain()
    for width, seconds in costs.items():
        for _ in range(3):
            gain.learn(width, seconds)
    return gain


def test_where_a_pass_costs_as_much_as_a_step_all_is_guessed_that_is_likely() -> None:
    gain = measured({1: 0.1, 5: 0.101, 9: 0.102})
    assert gain.worth(SURE) == MOST
    assert gain.worth([0.95, 0.9, 0.001, 0.001]) >= 2
    assert gain.worth([]) == 0


def test_where_each_token_costs_a_step_nothing_is_guessed_but_a_rare_trial() -> None:
    gain = measured({width: 0.01 * width for width in (1, 3, 9)})
    tried = 0
    for _ in range(5000):
        if gain.worth(SURE):
            tried += 1
            gain.learn(9, 0.09)
    assert 3 <= tried <= 5000 // LAST_PAUSE + 6


def test_unlikely_guesses_are_not_made_even_for_a_trial() -> None:
    gain = measured({width: 0.01 * width for width in (1, 3, 9)})
    assert not any(gain.worth([0.3, 0.3]) for _ in range(3 * LAST_PAUSE))


def test_a_trial_that_finds_it_cheap_turns_guessing_on_again() -> None:
    gain = measured({1: 0.01, 9: 0.09})
    assert not any(gain.worth(SURE) for _ in range(FIRST_PAUSE - 1))
    assert gain.worth(SURE) > 0
    for _ in range(20):
        gain.learn(9, 0.011)
    assert gain.worth(SURE) == MOST


def test_the_first_pass_of_a_width_is_not_believed() -> None:
    gain = Gain()
    gain.learn(1, 5.0)
    gain.learn(1, 0.1)
    gain.learn(4, 9.0)
    gain.learn(4, 0.12)
    assert gain.cost(4) == 0.12
    assert gain.cost(1) == 0.1


def test_one_outlier_changes_little() -> None:
    gain = measured({1: 0.1})
    gain.learn(1, 60.0)
    assert gain.cost(1) < 0.15


def test_widths_that_were_not_measured_are_told_from_those_that_were() -> None:
    gain = measured({1: 0.1, 5: 0.14})
    assert gain.cost(3) == pytest.approx(0.12)
    assert gain.cost(9) == pytest.approx(0.18)


def test_a_jump_from_one_token_to_two_is_not_taken_for_the_price_of_each_further_one() -> None:
    gain = measured({1: 0.1, 3: 0.25, 9: 0.31})
    assert gain.cost(17) == pytest.approx(0.39)
    assert gain.cost(6) == pytest.approx(0.28)
    assert gain.cost(2) == pytest.approx(0.175)
    assert gain.worth(SURE) == MOST


def test_a_draft_models_own_time_counts() -> None:
    gain = measured({1: 0.1, 5: 0.101, 9: 0.102})
    assert gain.worth(SURE, each_s=0.09) == 0
    assert gain.worth(SURE, each_s=0.01) > 3


def test_reading_again_after_a_wrong_guess_counts() -> None:
    gain = measured({1: 0.1, 5: 0.16, 9: 0.22})
    even = [0.7] * MOST
    assert gain.worth(even, redone=True) < gain.worth(even)


def test_chances_follow_what_came_of_guesses_and_later_ones_count_more() -> None:
    acceptance = Acceptance()
    before = acceptance.chances(5, 1)[0]
    for _ in range(50):
        acceptance.learn(5, False)
    assert acceptance.chances(5, 1)[0] < 0.1
    assert acceptance.chances(20, 1)[0] > before
    for _ in range(100):
        acceptance.learn(5, True)
    assert acceptance.chances(5, 1)[0] > 0.8
