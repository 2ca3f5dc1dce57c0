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


def test_no_chunk_is_smaller_than_what_is_worth_reading() -> None:
    pace = Pace(least=256)
    assert pace.limit == 256
    pace.learn(256, 5.0)
    assert pace.limit == 256
    pace.shared = True
    assert pace.limit == 256
