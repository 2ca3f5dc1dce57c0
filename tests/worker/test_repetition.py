"""When a model goes round in circles, and when it only looks so."""

from collections.abc import Iterable

import numpy as np
import pytest

from mlx_harmony.records import LOOP_DETECTIONS, LoopDetection
from mlx_harmony.worker.repetition import RepetitionWatch


def seen_after(mode: LoopDetection, tokens: Iterable[int]) -> int | None:
    """How many tokens it took to see a loop."""
    watch = RepetitionWatch(mode)
    return next((count for count, token in enumerate(tokens, 1) if watch.sees_loop(token)), None)


@pytest.mark.parametrize(("mode", "expected"), [("off", None), ("cheap", 16), ("full", 16)])
def test_sixteen_equal_tokens_are_a_loop(mode: LoopDetection, expected: int | None) -> None:
    assert seen_after(mode, [7] * 40) == expected


@pytest.mark.parametrize("mode", LOOP_DETECTIONS)
def test_fifteen_equal_tokens_are_none(mode: LoopDetection) -> None:
    assert seen_after(mode, ([7] * 15 + [8]) * 2) is None


@pytest.mark.parametrize("length", [2, 5, 12, 30, 64])
def test_a_span_said_again_and_again_is_a_loop_to_full_alone(length: int) -> None:
    span = list(range(100, 100 + length))
    told = [1, 2, 3, *span * 60]
    seen = seen_after("full", told)
    assert seen is not None
    assert seen - 3 == max(4 * length, 48)
    assert seen_after("cheap", told) is None


def test_a_refrain_with_other_text_between_is_no_loop() -> None:
    refrain = list(range(50, 70))
    told = [token for verse in range(12) for token in (*refrain, *range(1000 + 40 * verse, 1030 + 40 * verse))]
    assert seen_after("full", told) is None


def test_a_long_stretch_of_few_kinds_is_a_loop_to_full_alone() -> None:
    told = np.random.default_rng(1).integers(0, 5, 400).tolist()
    assert seen_after("full", told) is not None
    assert seen_after("cheap", told) is None


def test_counting_and_plain_text_are_no_loop() -> None:
    counting = [int(digit) if digit.isdigit() else 20 for number in range(300) for digit in f"{number},"]
    text = np.random.default_rng(2).zipf(1.4, 3000).tolist()
    assert seen_after("full", counting) is None
    assert seen_after("full", text) is None
