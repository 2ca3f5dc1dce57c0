"""The prompts that every side is asked: their own for each number, within the vocabulary; and how rounds become a figure."""

import pytest

from mlx_harmony.bench.figures import Single, best, gain, percentile
from mlx_harmony.bench.work import chat_messages, prompt_ids, question


@pytest.mark.parametrize("vocabulary", [16, 400, 4096, 200_000])
def test_prompts_stay_off_both_ends_of_the_vocabulary(vocabulary: int) -> None:
    for number in (0, 7, 900_000):
        ids = prompt_ids(number, 700, vocabulary)
        assert len(ids) == 700
        assert all(vocabulary // 8 <= token < vocabulary - vocabulary // 8 for token in ids)


def test_no_prompt_begins_like_another() -> None:
    assert len({prompt_ids(number, 16, 4096) for number in range(200)}) == 200
    assert len({prompt_ids(number, 1, 4096) for number in range(10)}) == 10
    assert len({question(number, 20) for number in range(50)}) == 50


def test_a_longer_prompt_goes_on_from_the_shorter_one() -> None:
    assert prompt_ids(3, 80, 4096)[:64] == prompt_ids(3, 64, 4096)


def test_each_turn_of_the_chat_goes_on_from_the_one_before() -> None:
    third = chat_messages(2, 10)
    assert [message["role"] for message in third] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert chat_messages(3, 10)[: len(third)] == third


def test_the_best_of_the_rounds_counts_figure_by_figure() -> None:
    slow = Single(first_token_s=2.0, prefill_per_second=10.0, decode_per_second=9.0, tokens=8, gaps_ms=(1.0,))
    other = Single(first_token_s=1.0, prefill_per_second=20.0, decode_per_second=5.0, tokens=8, gaps_ms=(2.0, 3.0))
    top = best([slow, other])
    assert (top.first_token_s, top.prefill_per_second, top.decode_per_second, top.gaps_ms) == (1.0, 20.0, 9.0, (1.0, 2.0, 3.0))


def test_a_percentile_is_a_value_that_was_measured() -> None:
    assert percentile([5.0, 1.0, 3.0], 0.95) == 5.0
    assert percentile([float(value) for value in range(100)], 0.95) == 95.0
    assert percentile([], 0.95) == 0.0


def test_a_gain_is_how_many_times_faster() -> None:
    assert gain(3.0, 1.5).gain == 2.0
    assert gain(3.0, 0.0).gain == 0.0
