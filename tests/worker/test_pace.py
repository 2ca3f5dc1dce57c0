"""Chunks of a prompt are so long that a layer of them takes as long as it may, on any machine."""

import pytest

from mlx_harmony.worker.pace import FIRST, LARGEST, SMALLEST, Pace

LAYERS = 10


def read(pace: Pace, tokens: int, seconds: float) -> None:
    """A chunk that took so long, each of its layers alike."""
    pace.learn(tokens, seconds, seconds / LAYERS)


def settled(tokens_per_second: float) -> int:
    pace = Pace()
    for _ in range(20):
        read(pace, pace.chunk, pace.chunk / tokens_per_second)
    return pace.chunk


@pytest.mark.parametrize(("speed", "chunk"), [(2, SMALLEST), (25, 32), (150, 256), (10**5, LARGEST)])
def test_a_layer_of_a_chunk_takes_no_longer_than_it_may(speed: float, chunk: int) -> None:
    assert settled(speed) == chunk


def test_what_cannot_be_divided_takes_no_longer_however_quick_the_rest_is() -> None:
    pace = Pace()
    for _ in range(20):
        pace.learn(pace.chunk, pace.chunk / 250, pace.chunk / 250)
    assert pace.chunk == 32


def test_a_slow_chunk_shrinks_the_next_one_at_once() -> None:
    pace = Pace()
    pace.chunk = 1024
    read(pace, 1024, 40.0)
    assert pace.chunk <= 32


def test_chunks_grow_by_steps() -> None:
    pace = Pace()
    read(pace, FIRST, 1e-5)
    assert pace.chunk == 4 * FIRST


def test_a_fast_leftover_says_nothing() -> None:
    pace = Pace()
    pace.chunk = 512
    read(pace, 3, 0.2)
    assert pace.chunk == 512


def test_what_little_is_left_after_a_chunk_is_read_with_it() -> None:
    pace = Pace()
    pace.chunk = 64
    assert [pace.next_of(tokens) for tokens in (1, 64, 72, 73, 900)] == [1, 64, 72, 64, 64]


def test_where_an_answer_waits_a_step_takes_half_as_long_and_a_chunk_has_half_the_tokens() -> None:
    pace = Pace()
    assert (pace.step_s, pace.limit) == (0.1, FIRST)
    pace.shared = True
    assert (pace.step_s, pace.limit) == (0.05, FIRST // 2)


def test_where_each_token_of_the_answer_takes_long_a_step_may_take_as_long_but_no_longer_than_others_may_wait() -> None:
    pace = Pace()
    pace.shared, pace.answer_s = True, 0.15
    assert pace.step_s == 0.15
    pace.answer_s = 3.0
    assert pace.step_s == 0.2
    pace.shared = False
    assert pace.step_s == 0.1


def test_a_layer_is_expected_to_take_as_long_as_that_of_the_last_chunk_and_longer_in_a_longer_one() -> None:
    pace = Pace()
    assert pace.layer_s(64) == 0.0
    read(pace, 64, 0.1)
    assert [pace.layer_s(tokens) for tokens in (8, 64, 128)] == pytest.approx([0.01, 0.01, 0.02])


def test_another_prompt_is_read_too_while_that_keeps_answers_waiting_no_longer_than_the_target() -> None:
    pace = Pace()
    pace.shared, pace.chunk = True, 128
    read(pace, 128, 0.04)
    assert pace.fits(64, spent_s=0.02)
    assert pace.fits(2000, spent_s=0.02)
    assert not pace.fits(64, spent_s=0.09)
    assert pace.fits(8, spent_s=0.09)
    pace.answer_s = 0.15
    assert pace.fits(64, spent_s=0.09)


def test_no_chunk_is_smaller_than_what_is_worth_reading() -> None:
    pace = Pace(least=256)
    assert pace.chunk == 256
    read(pace, 256, 50.0)
    assert pace.chunk == 256
    pace.shared = True
    assert pace.limit == 256


def test_the_first_chunk_is_the_longest_whose_layers_were_quick_enough_at_the_load() -> None:
    pace = Pace(least=256, layers_s={256: 0.006, 1024: 0.007, 2048: 0.01})
    assert (pace.chunk, pace.layer_s(2048)) == (2048, 0.01)
    assert Pace(least=256, layers_s={256: 0.05, 1024: 0.09, 2048: 0.2}).chunk == 1024
    assert Pace(least=256, layers_s={256: 0.2, 1024: 0.8}).chunk == 256


def test_chunks_may_be_as_long_as_the_longest_that_was_quick_enough_at_the_load() -> None:
    for longest, most in ((4096, 4096), (512, LARGEST)):
        pace = Pace(layers_s={longest: 0.01})
        for _ in range(9):
            read(pace, pace.chunk, 0.01)
        assert pace.chunk == most


def test_a_length_that_is_no_power_of_two_is_no_chunk_to_begin_with() -> None:
    assert Pace(layers_s={32: 0.001, 100: 0.001}).chunk == 32
