"""Guessing from what stands in the text already: what followed the same tokens before, also where a copy is edited on the way."""

import random
import time

from mlx_harmony.worker.speculation.ngrams import LONG, SHORT, Ngrams


def told(prompt: list[int], answer: list[int]) -> Ngrams:
    ngrams = Ngrams(prompt)
    for token in answer:
        ngrams.saw(token)
    return ngrams


def rightly_expected(prompt: list[int], answer: list[int]) -> int:
    """How many tokens of the answer were expected when they came."""
    ngrams, right = Ngrams(prompt), 0
    for token in answer:
        right += ngrams.expected == token
        ngrams.saw(token)
    return right


def test_nothing_is_guessed_of_a_text_that_repeats_nothing() -> None:
    ngrams = told(list(range(50)), list(range(60, 90)))
    assert ngrams.expected is None
    assert ngrams.guess(5) == []


def test_after_the_same_tokens_the_same_is_guessed_again() -> None:
    ngrams = told([1, 2, 3, 4, 5, 6, 7], [9, 2, 3, 4])
    assert ngrams.guess(3) == [5, 6, 7]
    assert ngrams.run == SHORT


def test_guesses_go_on_over_the_end_of_the_text() -> None:
    assert told([9, 9, 9], [1, 2, 3, 4, 1, 2, 3]).guess(6) == [4, 1, 2, 3, 4, 1]


def test_what_was_said_in_the_answer_is_guessed_too() -> None:
    assert told([50], [1, 2, 3, 4, 70, 1, 2, 3]).guess(2) == [4, 70]


def test_the_longest_agreement_decides_between_two_places() -> None:
    long = [11, 12, 13, 14, 15, 1, 2, 3]
    assert len(long) == LONG
    ngrams = told([*long, 77, 0, 0, 20, 1, 2, 3, 88, 0], [21, *long])
    assert ngrams.guess(1) == [77]


def test_a_place_that_is_followed_is_kept_however_often_its_tokens_stand_elsewhere() -> None:
    prompt = [1, 2, 3, 10, 1, 2, 3, 20, 1, 2, 3, 30, 31, 32]
    ngrams = told(prompt, [5, 1, 2, 3, 30, 31])
    assert ngrams.guess(1) == [32]


def test_a_copy_with_edits_is_followed_again_after_two_tokens() -> None:
    source = list(range(100, 400))
    edited = [*source[:50], 7, *source[51:120], *source[123:200], 8, 9, *source[200:]]
    right = rightly_expected([1, 2, *source, 3], edited)
    # Three tokens before the copy is found, three after each of three edits, and the edits themselves.
    assert len(edited) - right <= 3 + 3 * 3 + 3


def test_a_hundred_thousand_tokens_are_indexed_fast_and_a_token_costs_the_same_however_long_the_text_is() -> None:
    rng = random.Random(1)
    prompt = [rng.randrange(50_000) for _ in range(100_000)]
    began = time.perf_counter()
    ngrams = Ngrams(prompt)
    assert time.perf_counter() - began < 2.0
    began = time.perf_counter()
    for token in prompt[:20_000]:
        ngrams.saw(token)
    assert time.perf_counter() - began < 2.0
    assert ngrams.guess(1) == [prompt[20_000]]
