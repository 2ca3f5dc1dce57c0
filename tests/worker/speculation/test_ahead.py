"""Guessing changes how an answer comes and never what it says: for every family of caches, every way to draw, and every end."""

import msgspec
import pytest

from mlx_harmony.events import TextDelta
from mlx_harmony.records import GenerationRequest, KvOptions, Sampling, TokenPrompt
from mlx_harmony.worker.load import LoadedModel
from mlx_harmony.worker.prompt_cache import PromptCache
from tests.worker.company import GREEDY, ask, end, text, tokens_of
from tests.worker.speculation.eager import Made, guessed, plainly

WAYS = (
    GREEDY,
    Sampling(temperature=0.9, seed=3, repetition_penalty=1.0),
    Sampling(temperature=0.8, seed=4, top_p=0.9, repetition_penalty=1.3, repetition_context_size=16),
    Sampling(temperature=1.0, seed=5, xtc_probability=0.5, xtc_threshold=0.1, presence_penalty=0.5),
    Sampling(temperature=0.0, repetition_penalty=1.5, frequency_penalty=0.2),
)


@pytest.mark.parametrize("sampling", WAYS, ids=["greedy", "seeded", "penalties", "xtc", "greedy_penalties"])
@pytest.mark.parametrize("wrong", [1, 3])
def test_the_tokens_are_those_of_the_plain_answer(family: LoadedModel, sampling: Sampling, wrong: int) -> None:
    # 60 tokens of prompt and 70 of answer: gpt_oss's window of 16 has long been full.
    request = ask("r", length=60, max_tokens=70, sampling=sampling)
    plain, ahead = plainly(family, request), guessed(family, request, wrong)
    assert ahead.tokens == plain.tokens
    assert text(ahead.events) == text(plain.events)
    assert end(ahead.events).usage == end(plain.events).usage
    assert end(ahead.events).timings.kv_length == end(plain.events).timings.kv_length
    came_of = end(ahead.events).speculation
    assert came_of is not None
    assert came_of.drafted > 3
    assert (came_of.accepted == 0) == (wrong == 1)
    assert came_of.accepted < came_of.drafted


@pytest.mark.parametrize("wrong", [0, 3])
@pytest.mark.parametrize(
    ("name", "kv"),
    [
        ("qwen3", KvOptions(kv_bits=8, kv_group_size=32)),
        ("qwen3", KvOptions(kv_bits=4, kv_group_size=32, quantized_kv_start=57)),
        ("llama", KvOptions(max_kv_size=24, kv_keep=4)),
        ("gpt_oss", KvOptions(max_kv_size=30)),
        ("falcon_h1", KvOptions(max_kv_size=24, kv_keep=0)),
    ],
    ids=["packed", "packed_later", "window", "two_windows", "window_and_states"],
)
def test_so_they_are_with_keys_and_values_packed_or_in_a_window(
    families: dict[str, LoadedModel], name: str, kv: KvOptions, wrong: int
) -> None:
    request = ask("r", length=40, max_tokens=60, kv=kv)
    plain, ahead = plainly(families[name], request), guessed(families[name], request, wrong)
    assert ahead.tokens == plain.tokens
    assert end(ahead.events).usage == end(plain.events).usage
    assert end(ahead.events).speculation.drafted > 8  # type: ignore[union-attr]


@pytest.mark.parametrize("wrong", [0, 2, 5])
def test_what_is_kept_of_it_serves_the_next_prompt_as_if_nothing_had_been_guessed(family: LoadedModel, wrong: int) -> None:
    first, cache = ask("first", length=40, max_tokens=25), PromptCache()
    answer = guessed(family, first, wrong, cache).tokens
    following = going_on(first, answer)
    ahead = guessed(family, following, wrong, cache)
    assert ahead.tokens == plainly(family, following).tokens
    # All but the last token of an answer that was cut by its length are in the caches, as without guesses.
    assert end(ahead.events).usage.cached_tokens == 40 + 25 - 1


@pytest.mark.parametrize("at", [1, 2, 5, 9])
def test_a_stop_inside_guesses_cuts_where_it_would_without(family: LoadedModel, at: int) -> None:
    request, cache = ask("r", length=40, max_tokens=30), PromptCache()
    deltas = [event.text for event in plainly(family, request).events if isinstance(event, TextDelta)]
    stopping = msgspec.structs.replace(request, stop=(deltas[min(at, len(deltas) - 1)],))
    plain, ahead = plainly(family, stopping), guessed(family, stopping, 0, cache)
    assert end(ahead.events).stop is not None
    assert (text(ahead.events), end(ahead.events).stop) == (text(plain.events), end(plain.events).stop)
    assert end(ahead.events).usage == end(plain.events).usage
    following = going_on(request, ahead.tokens)
    after = guessed(family, following, 0, cache)
    assert after.tokens == plainly(family, following).tokens
    assert end(after.events).usage.cached_tokens == 40 + len(ahead.tokens)


@pytest.mark.parametrize("when", [5, 9, 10, 11])
def test_a_cancel_ends_it_before_the_next_token(family: LoadedModel, when: int) -> None:
    request, asked = ask("r", length=40, max_tokens=30), iter(range(1000))
    ahead = guessed(family, request, 0, None, lambda: next(asked) > when)
    assert end(ahead.events).reason == "cancelled"
    assert 0 < len(ahead.tokens) < when
    assert ahead.tokens == plainly(family, request).tokens[: len(ahead.tokens)]


def test_log_probabilities_are_those_of_the_plain_answer(family: LoadedModel) -> None:
    request = ask("r", length=40, max_tokens=30, top_logprobs=3)
    plain, ahead = facts(plainly(family, request)), facts(guessed(family, request, 4))
    assert [token for token, _ in ahead] == [token for token, _ in plain]
    assert [value for _, value in ahead] == pytest.approx([value for _, value in plain], abs=1e-3)


def going_on(request: GenerationRequest, answer: list[int]) -> GenerationRequest:
    """The prompt with the answer that it got and a little more."""
    tokens = (*tokens_of(request), *answer, 70, 71, 72)
    return msgspec.structs.replace(ask("next", max_tokens=20), prompt=TokenPrompt(tokens=tokens))


def facts(made: Made) -> list[tuple[int, float]]:
    return [(fact.token_id, fact.logprob) for event in made.events if isinstance(event, TextDelta) for fact in event.logprobs]
