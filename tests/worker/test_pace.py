"""Chunks of a prompt are as long as the target time allows, on any machine."""

import pytest

from mlx_harmony.worker.pace import FIRST, LARGEST, SMALLEST, Pace


def settled(tokens_per_second: float) -> int:
    pace = Pace()
    for _ in range(20):
        pace.learn(pace.chunk, pace.chunk / tokens_per_second)
    return pace.chunk


@pytest.mark.parametrize(("speed", "chunk"), [(50, SMALLEST), (500, 32), (3000, 256), (10**6, LARGEST)])
def test_a_chunk_takes_about_the_target_time(speed: float, chunk: int) -> None:
    assert settled(speed) == chunk


def test_a_slow_chunk_shrinks_the_next_one_at_once() -> None:
    pace = Pace()
    pace.chunk = 1024
    pace.learn(1024, 4.0)
    assert pace.chunk <= 32


def test_chunks_grow_by_steps() -> None:
    pace = Pace()
    pace.learn(FIRST, 1e-5)
    assert pace.chunk == 4 * FIRST


def test_a_fast_leftover_says_nothing() -> None:
    pace = Pace()
    pace.chunk = 512
    pace.learn(3, 0.02)
    assert pace.chunk == 512


def test_what_little_is_left_after_a_chunk_is_read_with_it() -> None:
    pace = Pace()
    pace.chunk = 64
    assert [pace.next_of(tokens) for tokens in (1, 64, 72, 73, 900)] == [1, 64, 72, 64, 64]


def test_another_prompt_is_read_too_while_that_keeps_answers_waiting_no_longer_than_the_target() -> None:
    pace = Pace()
    pace.shared, pace.chunk = True, 128
    pace.learn(64, 0.02)
    assert pace.fits(64, spent_s=0.02)
    assert pace.fits(2000, spent_s=0.02)
    assert not pace.fits(64, spent_s=0.09)
    assert pace.fits(8, spent_s=0.09)


def test_no_chunk_is_smaller_than_what_is_worth_reading() -> None:
    pace = Pace(least=256)
    assert pace.limit == 256
    pace.learn(256, 5.0)
    assert pace.limit == 256
    pace.shared = True
    assert pace.limit == 256


ON_A_GPU = {256: 0.151, 1024: 0.165, 2048: 0.223}
"""24 layers whose experts are unpacked for each chunk, which costs the same for few tokens as for many."""


def test_where_a_chunk_costs_much_the_same_at_any_length_a_long_one_is_read_from_the_first_on() -> None:
    pace = Pace(least=256, took=ON_A_GPU)
    assert pace.limit == 2048
    pace.learn(2048, 0.22)
    pace.learn(256, 0.16)
    assert pace.limit == 2048
    pace.shared = True
    assert pace.limit == 1024


def test_a_long_chunk_that_got_slow_is_given_up_for_the_next_shorter_one() -> None:
    pace = Pace(least=256, took=ON_A_GPU)
    pace.learn(2048, 0.3)
    assert pace.limit == 1024
    pace.learn(1024, 0.28)
    assert pace.limit == 256


def test_a_longer_chunk_that_is_no_faster_by_the_token_is_not_read() -> None:
    assert Pace(least=256, took={256: 0.11, 1024: 0.4, 2048: 0.8}).limit == 256
    assert Pace(least=256, took={256: 0.05, 512: 0.1, 1024: 0.2}).limit == 256
