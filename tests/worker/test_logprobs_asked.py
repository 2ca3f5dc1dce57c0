"""Log-probabilities are computed where somebody asked for them or a filter goes by them, and nowhere else: alone, together and ahead."""

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import pytest

from mlx_harmony.records import GenerationRequest, Sampling
from mlx_harmony.worker.load import LoadedModel
from mlx_harmony.worker.loop import Loop
from mlx_harmony.worker.speculation.drafts import Guessing
from tests.worker.company import GREEDY, ask, end, run_loop, together
from tests.worker.speculation.eager import Eager

PENALISED = Sampling(temperature=0.0, repetition_penalty=1.3, logit_bias={60: 2.0})
REPEATING = Sampling(temperature=0.0, repetition_penalty=1.0, logit_bias={60: 12.0, 61: 12.0})
WARM = Sampling(temperature=0.8, seed=3, repetition_penalty=1.2, top_k=40, top_p=1.0)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of all that is normalised. mlx is no seam of ours, so its function is counted where it stands."""
    shapes: list[tuple[int, ...]] = []
    theirs = mx.logsumexp

    def counting(array: mx.array, *args: Any, **named: Any) -> mx.array:
        shapes.append(array.shape)
        return theirs(array, *args, **named)

    monkeypatch.setattr(mx, "logsumexp", counting)
    return shapes


def answered(loaded: LoadedModel, requests: Sequence[GenerationRequest]) -> None:
    heard = together(loaded, requests)
    assert all(end(heard[request.id]).usage.completion_tokens == 20 for request in requests)


@pytest.mark.parametrize("sampling", [GREEDY, PENALISED, WARM], ids=["greedy", "penalised", "warm"])
def test_nothing_is_normalised_that_nobody_asked_for(llama: LoadedModel, counted: list[tuple[int, ...]], sampling: Sampling) -> None:
    answered(llama, [ask("alone", max_tokens=20, sampling=sampling)])
    answered(llama, [ask(str(at), start=at * 31, max_tokens=20, sampling=sampling) for at in range(4)])
    assert counted == []


def test_guessing_ahead_normalises_nothing_either(llama: LoadedModel, counted: list[tuple[int, ...]]) -> None:
    request = ask("r", max_tokens=60, sampling=REPEATING)
    heard = run_loop(lambda loaded, inbox: Loop(loaded, inbox, guessing=Guessing(Eager())), llama, [request], {}, 1)
    assert end(heard["r"]).speculation.passes > 0  # type: ignore[union-attr]
    assert counted == []


def test_only_the_rows_that_asked_are_normalised_once_a_token(llama: LoadedModel, counted: list[tuple[int, ...]]) -> None:
    answered(llama, [ask("asked", max_tokens=20, top_logprobs=2), ask("other", start=90, max_tokens=20)])
    assert set(counted) == {(1, llama.card.vocabulary_size)}
    assert 20 <= len(counted) <= 21


@pytest.mark.parametrize("fields", [{"top_p": 0.9}, {"min_p": 0.05}, {"xtc_probability": 0.5, "xtc_threshold": 0.1}], ids=str)
def test_a_filter_that_goes_by_probabilities_has_them_once_a_token(
    llama: LoadedModel, counted: list[tuple[int, ...]], fields: dict[str, float]
) -> None:
    warm = {"temperature": 0.8, "seed": 3, "repetition_penalty": 1.0, "top_p": 1.0, "min_p": 0.0, "xtc_probability": 0.0}
    answered(llama, [ask("r", max_tokens=20, sampling=Sampling(**(warm | fields)), top_logprobs=0)])  # type: ignore[arg-type]
    assert 20 <= len(counted) <= 21
