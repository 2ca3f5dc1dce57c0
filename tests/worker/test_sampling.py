"""Our filters leave exactly the tokens that mlx-lm's leave, and draw them with the right frequencies, from the request's own key."""

import math
from collections.abc import Callable

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm import sample_utils

from mlx_harmony.records import Sampling
from mlx_harmony.worker.sampling import Penalties, Sampler, exclude_top_choices, keep_min_p, keep_top_k, keep_top_p

VOCABULARY = 200


def random_logprobs(seed: int, spread: float = 3.0, size: int = VOCABULARY) -> mx.array:
    logits = mx.array(np.random.default_rng(seed).normal(0, spread, (1, size)).astype(np.float32))
    return logits - mx.logsumexp(logits, axis=-1, keepdims=True)


def survivors(logprobs: mx.array) -> set[int]:
    return {int(at) for at in np.flatnonzero(np.isfinite(np.array(logprobs)[0]))}


def sampler(prompt: list[int] | None = None, penalties: Penalties | None = None, kept: tuple[int, ...] = (), **fields: float) -> Sampler:
    return Sampler(Sampling(**fields), penalties or Penalties(), kept, prompt or [1])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("top_p", [0.01, 0.3, 0.9, 0.999])
def test_top_p_keeps_what_mlx_lm_keeps(seed: int, top_p: float) -> None:
    logprobs = random_logprobs(seed)
    assert survivors(keep_top_p(logprobs, top_p)) == survivors(sample_utils.apply_top_p(logprobs, top_p))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("min_p", "at_least"), [(0.001, 1), (0.05, 1), (0.5, 7), (1.0, 3)])
def test_min_p_keeps_what_mlx_lm_keeps(seed: int, min_p: float, at_least: int) -> None:
    logprobs = random_logprobs(seed)
    assert survivors(keep_min_p(logprobs, min_p, at_least)) == survivors(sample_utils.apply_min_p(logprobs, min_p, at_least))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("top_k", [1, 2, 50, VOCABULARY - 1])
def test_top_k_keeps_what_mlx_lm_keeps(seed: int, top_k: int) -> None:
    logprobs = random_logprobs(seed)
    assert survivors(keep_top_k(logprobs, top_k)) == survivors(sample_utils.apply_top_k(logprobs, top_k))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("threshold", [0.0, 0.01, 0.1, 0.5])
def test_xtc_excludes_what_mlx_lm_excludes(seed: int, threshold: float) -> None:
    logprobs = random_logprobs(seed)
    protected = [int(mx.argmax(logprobs).item())]
    for kept in ([], protected):
        expected = sample_utils.apply_xtc(logprobs, 1.0, threshold, kept)
        ours = exclude_top_choices(logprobs, threshold, mx.array(kept) if kept else None)
        assert survivors(ours) == survivors(expected)


def test_xtc_keeps_the_least_likely_of_the_top_choices() -> None:
    logprobs = mx.log(mx.array([[0.4, 0.3, 0.2, 0.06, 0.04]]))
    assert survivors(exclude_top_choices(logprobs, 0.1, None)) == {2, 3, 4}
    assert survivors(exclude_top_choices(logprobs, 0.1, mx.array([0]))) == {0, 2, 3, 4}


@pytest.mark.parametrize("seed", range(8))
def test_all_filters_together_leave_what_mlx_lm_leaves_in_its_order(seed: int) -> None:
    logprobs = random_logprobs(seed, 2.0)
    chosen = sampler(top_p=0.95, min_p=0.02, min_tokens_to_keep=3, xtc_threshold=0.05, top_k=20)
    expected = sample_utils.apply_min_p(sample_utils.apply_top_p(logprobs, 0.95), 0.02, 3)
    expected = sample_utils.apply_top_k(sample_utils.apply_xtc(expected, 1.0, 0.05, []), 20)
    assert survivors(chosen.survivors(logprobs, xtc=True)) == survivors(expected)


def test_filters_that_are_off_leave_everything() -> None:
    logprobs = random_logprobs(1)
    for top_p in (0.0, 1.0):
        assert len(survivors(sampler(top_p=top_p, top_k=0, min_p=0.0).survivors(logprobs, xtc=False))) == VOCABULARY


@pytest.mark.parametrize(
    ("penalties", "theirs"),
    [
        (Penalties(repetition=1.3, window=4), lambda: sample_utils.make_repetition_penalty(1.3, 4)),
        (Penalties(repetition=0.8, window=0), lambda: sample_utils.make_repetition_penalty(0.8, 100)),
        (Penalties(presence=0.7, window=5), lambda: sample_utils.make_presence_penalty(0.7, 5)),
        (Penalties(frequency=0.4, window=20), lambda: sample_utils.make_frequency_penalty(0.4, 20)),
        (Penalties(bias={3: 2.0, 9: -50.0}), lambda: sample_utils.make_logits_processors({3: 2.0, 9: -50.0})[0]),
    ],
)
def test_penalties_change_the_logits_as_mlx_lm_does(penalties: Penalties, theirs: Callable[[], sample_utils.LogitsProcessor]) -> None:
    history = [5, 7, 7, 9, 5, 3, 7]
    logits = random_logprobs(3)
    expected = theirs()(mx.array(history), mx.array(logits))
    expected = expected - mx.logsumexp(expected, axis=-1, keepdims=True)
    drawn = sampler(history, penalties, temperature=0.0).draw(logits)
    np.testing.assert_allclose(np.array(drawn.logprobs), np.array(expected), rtol=1e-5, atol=1e-5)


def test_the_window_of_a_penalty_moves_on_with_what_is_generated() -> None:
    flat = mx.zeros((1, 6))
    chosen = sampler([0], Penalties(presence=2.0, window=2), temperature=0.0)
    drawn = [int(chosen.draw(flat).token.item()) for _ in range(4)]
    assert drawn == [1, 2, 0, 1]


def test_temperature_zero_takes_the_likeliest() -> None:
    for seed in range(3):
        logprobs = random_logprobs(seed)
        assert sampler(temperature=0.0, top_p=0.5).draw(logprobs).token.item() == mx.argmax(logprobs).item()


def test_equal_seeds_draw_equal_tokens_and_others_differ() -> None:
    logprobs = random_logprobs(0, 0.5)

    def drawn(seed: int) -> list[int]:
        chosen = sampler(seed=seed, xtc_probability=0.5, xtc_threshold=0.01)
        return [int(chosen.draw(logprobs).token.item()) for _ in range(100)]

    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)


def test_a_seed_is_drawn_and_told_where_none_was_given() -> None:
    first, second = sampler(seed=-1), sampler(seed=-1)
    assert first.seed >= 0
    assert first.seed != second.seed
    assert sampler(seed=2**63 - 1).draw(random_logprobs(1)).token.shape == (1,)


def chi_square(fields: dict[str, float], expected: np.ndarray, logits: mx.array, draws: int = 3000) -> float:
    """The statistic of `draws` draws against expected probabilities; tokens of probability 0 must never come."""
    chosen = sampler(seed=11, **fields)
    tokens = mx.concatenate([chosen.draw(logits).token for _ in range(draws)])
    counts = np.bincount(np.array(tokens), minlength=expected.size)
    possible = expected > 0
    assert counts[~possible].sum() == 0
    return float((((counts - draws * expected)[possible] ** 2) / (draws * expected[possible])).sum())


BASE = np.array([0.35, 0.25, 0.2, 0.1, 0.07, 0.03])
DEGREES_5_AT_ONE_IN_10000 = 25.7


@pytest.mark.parametrize(
    ("fields", "keeps"),
    [
        ({"temperature": 1.0}, [0, 1, 2, 3, 4, 5]),
        ({"temperature": 1.0, "top_p": 0.75}, [0, 1, 2]),
        ({"temperature": 1.0, "min_p": 0.25}, [0, 1, 2, 3]),
        ({"temperature": 1.0, "top_k": 2}, [0, 1]),
        ({"temperature": 1.0, "xtc_probability": 1.0, "xtc_threshold": 0.15}, [2, 3, 4, 5]),
    ],
)
def test_tokens_come_as_often_as_their_filtered_probabilities(fields: dict[str, float], keeps: list[int]) -> None:
    expected = np.zeros_like(BASE)
    expected[keeps] = BASE[keeps] / BASE[keeps].sum()
    assert chi_square(fields, expected, mx.log(mx.array(BASE, mx.float32))[None]) < DEGREES_5_AT_ONE_IN_10000


def test_temperature_sharpens_the_probabilities() -> None:
    expected = BASE**2 / (BASE**2).sum()
    assert chi_square({"temperature": 0.5}, expected, mx.log(mx.array(BASE, mx.float32))[None]) < DEGREES_5_AT_ONE_IN_10000


def test_xtc_strikes_as_often_as_it_was_told() -> None:
    struck = np.array([0, 0, 0.2, 0.1, 0.07, 0.03])
    expected = 0.3 * struck / struck.sum() + 0.7 * BASE
    fields = {"temperature": 1.0, "xtc_probability": 0.3, "xtc_threshold": 0.15}
    assert chi_square(fields, expected, mx.log(mx.array(BASE, mx.float32))[None]) < DEGREES_5_AT_ONE_IN_10000


def test_log_probabilities_are_those_before_filters_and_temperature() -> None:
    logits = mx.log(mx.array(BASE, mx.float32))[None] + 4.0
    drawn = sampler(temperature=0.3, top_k=1).draw(logits)
    np.testing.assert_allclose(np.array(drawn.logprobs)[0], np.log(BASE), rtol=1e-4)
    assert math.isclose(float(mx.exp(drawn.logprobs).sum().item()), 1.0, rel_tol=1e-4)
