"""Where an answer is cut by something else than its model, it is cut in the middle of guesses just as without them."""

from typing import Any

import msgspec
import pytest

from mlx_harmony.records import Sampling
from mlx_harmony.worker.load import LoadedModel
from tests.worker.company import ask, end, text
from tests.worker.speculation.eager import guessed, plainly
from tests.worker.test_reply import asks, letters_only

DRAWN: dict[str, Any] = {"temperature": 0.9, "seed": 5, "repetition_penalty": 1.5, "repetition_context_size": 24}


@pytest.mark.parametrize("budget", [0, 1, 18, 19, 20, 21])
@pytest.mark.parametrize("fields", [{}, DRAWN], ids=["greedy", "drawn"])
def test_thinking_is_closed_at_its_budget_and_goes_on_with_the_same_draws(
    gpt_oss: LoadedModel, budget: int, fields: dict[str, Any]
) -> None:
    sampling = msgspec.structs.replace(letters_only(gpt_oss), **fields)
    request = asks(gpt_oss, analysis_budget=budget, sampling=sampling)
    plain, ahead = plainly(gpt_oss, request), guessed(gpt_oss, request)
    assert ahead.tokens == plain.tokens
    assert (end(ahead.events).usage, end(ahead.events).note) == (end(plain.events).usage, end(plain.events).note)
    assert budget < 2 or end(ahead.events).speculation.accepted > 4  # type: ignore[union-attr]


def test_a_loop_is_ended_at_the_same_token(llama: LoadedModel) -> None:
    stuck = Sampling(temperature=0.0, repetition_penalty=1.0, logit_bias={60: 100.0})
    request = ask("r", max_tokens=40, sampling=stuck, loop_detection="cheap")
    plain, ahead = plainly(llama, request), guessed(llama, request)
    assert ahead.tokens == plain.tokens == [60] * 16
    assert (text(ahead.events), end(ahead.events).note) == (text(plain.events), end(plain.events).note)
    assert end(ahead.events).note
