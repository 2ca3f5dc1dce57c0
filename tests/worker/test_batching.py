"""Many requests at once: everyone hears what they would hear alone, whoever comes, goes, fails or is cancelled meanwhile."""

import pytest

from mlx_harmony.events import Failed, Prefill, TextDelta
from mlx_harmony.records import GenerationRequest, Sampling, TokenPrompt
from mlx_harmony.worker.load import LoadedModel
from tests.fixtures.families import FAMILIES, build_family
from tests.worker.company import GREEDY, Watched, alone, ask, end, text, together, tokens_of


@pytest.fixture(scope="session")
def families(llama: LoadedModel) -> dict[str, LoadedModel]:
    return {name: build_family(name, llama) for name in FAMILIES}


@pytest.fixture(params=["llama", "gpt_oss", "qwen3", "mamba2", "falcon_h1"])
def loaded(request: pytest.FixtureRequest, families: dict[str, LoadedModel]) -> LoadedModel:
    if request.param in families:
        return families[request.param]
    model: LoadedModel = request.getfixturevalue(request.param)
    return model


def test_eight_prompts_together_are_answered_as_each_alone(loaded: LoadedModel) -> None:
    watched = Watched(loaded.model)
    requests = [ask(str(at), start=at * 31, length=length) for at, length in enumerate((5, 40, 17, 300, 1, 3, 64, 9))]
    heard = together(loaded._replace(model=watched), requests)  # type: ignore[arg-type]
    for request in requests:
        by_itself = alone(loaded, request)
        assert text(heard[request.id]) == text(by_itself)
        assert end(heard[request.id]).usage == end(by_itself).usage
        done = [event.done for event in heard[request.id] if isinstance(event, Prefill)]
        assert done == sorted(done) and (done[0], done[-1]) == (0, end(by_itself).usage.prompt_tokens)
    assert max(rows for rows, _ in watched.calls) > 3


def test_who_comes_and_goes_disturbs_nobody(loaded: LoadedModel) -> None:
    long = ask("long", start=3, length=50, max_tokens=80)
    guests = [ask(f"guest{at}", start=at * 17 + 5, length=8 + 9 * at, max_tokens=6 + 5 * at) for at in range(7)]
    arrivals = {("long", 6 + 8 * at): (lambda inbox, guest=guest: inbox.put(guest)) for at, guest in enumerate(guests)}
    heard = together(loaded, [long], arrivals, expected=8)
    for request in (long, *guests):
        assert text(heard[request.id]) == text(alone(loaded, request))


def test_who_comes_later_is_fed_with_the_others_and_costs_no_step_of_its_own(llama: LoadedModel) -> None:
    watched = Watched(llama.model)
    writers = [ask("a", max_tokens=60), ask("b", start=70, max_tokens=60)]
    acts = {("a", 20 + 4 * at): (lambda inbox, at=at: inbox.put(ask(str(at), start=90 + at, max_tokens=4))) for at in range(5)}
    heard = together(llama._replace(model=watched), writers, acts, expected=7)  # type: ignore[arg-type]
    written = sum(end(events).usage.completion_tokens for events in heard.values())
    assert written == 2 * 60 + 5 * 4
    steps = [rows for rows, tokens in watched.calls if tokens == 1]
    # The first step of two rows belongs to the trial of what the model answers in a batch.
    assert 1 not in steps[steps.index(3) : len(steps) - steps[::-1].index(3)]


def test_a_seed_gives_the_same_answer_alone_and_in_company(loaded: LoadedModel) -> None:
    def sampled(seed: int, **fields: float) -> Sampling:
        return Sampling(temperature=0.9, seed=seed, **fields)  # type: ignore[arg-type]

    ways = [
        sampled(1),
        sampled(2, top_p=0.8),
        sampled(3, top_k=20, repetition_penalty=1.4),
        sampled(4, min_p=0.05, presence_penalty=0.6),
        sampled(5, xtc_probability=0.5, xtc_threshold=0.1),
        Sampling(temperature=0.0, repetition_penalty=1.7, repetition_context_size=16),
        GREEDY,
    ]
    requests = [ask(str(at), start=at * 23, length=20 + 3 * at, sampling=way) for at, way in enumerate(ways)]
    heard = together(loaded, requests)
    for request in requests:
        assert text(heard[request.id]) == text(alone(loaded, request))


def test_log_probabilities_go_to_whom_they_belong(loaded: LoadedModel) -> None:
    requests = [ask("none"), ask("chosen", start=90, top_logprobs=0), ask("top", start=55, length=44, top_logprobs=4)]
    heard = together(loaded, requests)
    for request in requests:
        facts = [fact for event in heard[request.id] if isinstance(event, TextDelta) for fact in event.logprobs]
        told = [fact for event in alone(loaded, request) if isinstance(event, TextDelta) for fact in event.logprobs]
        assert [fact.token_id for fact in facts] == [fact.token_id for fact in told]
        assert [[token for _, token, _ in fact.top] for fact in facts] == [[token for _, token, _ in fact.top] for fact in told]
        assert [fact.logprob for fact in facts] == pytest.approx([fact.logprob for fact in told], abs=1e-4)
    assert not any(event.logprobs for event in heard["none"] if isinstance(event, TextDelta))


def test_a_snapshot_taken_in_company_serves_the_next_prompt_rightly(loaded: LoadedModel) -> None:
    forced = Sampling(temperature=0.0, repetition_penalty=1.0, logit_bias={60: 100.0})
    first = ask("first", start=11, length=40, max_tokens=12, sampling=forced)
    other = ask("other", start=77, length=61, max_tokens=40)
    going_on = (*tokens_of(first), *(60,) * 11, 70, 71, 72)
    next_turn = GenerationRequest(id="next", prompt=TokenPrompt(tokens=going_on), sampling=GREEDY, max_tokens=20)
    heard = together(loaded, [first, other], {("first", 14): lambda inbox: inbox.put(next_turn)}, expected=3)
    assert text(heard["next"]) == text(alone(loaded, next_turn))
    assert text(heard["other"]) == text(alone(loaded, other))


def test_a_bad_request_fails_alone(loaded: LoadedModel) -> None:
    good, bad = ask("good"), ask("bad", sampling=Sampling(logit_bias={10**6: 1.0}))
    heard = together(loaded, [good, bad, ask("good2", start=50)])
    assert isinstance(heard["bad"][-1], Failed)
    for name, start in (("good", 20), ("good2", 50)):
        assert text(heard[name]) == text(alone(loaded, ask(name, start=start)))
