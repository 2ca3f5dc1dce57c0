"""One request from prompt to end: events in order, limits, stops, seeds, log-probabilities, cancelling, and a cache nobody can tell."""

import itertools
import time
from collections.abc import Callable

import pytest

from mlx_harmony.errors import ContextTooLong, InvalidRequest
from mlx_harmony.events import Event, Finished, MessageEnded, MessageStarted, Prefill, TextDelta
from mlx_harmony.records import ChatPrompt, GenerationRequest, Message, Sampling, TextPrompt, TokenPrompt
from mlx_harmony.worker.generation import Desk, Generation, protected_from_xtc
from mlx_harmony.worker.load import LoadedModel
from mlx_harmony.worker.pace import Pace
from mlx_harmony.worker.prompt_cache import PromptCache
from tests.worker.company import Watched, stop_time

GREEDY = Sampling(temperature=0.0)


def desk(loaded: LoadedModel, cache_bytes: int = 2**28) -> Desk:
    return Desk(loaded, PromptCache(cache_bytes), Pace())


def never() -> bool:
    return False


def run(at: Desk, request: GenerationRequest, cancelled: Callable[[], bool] = never) -> list[Event]:
    return list(Generation(at, request, cancelled, time.perf_counter()).run())


def ask(words: int = 5, **fields: object) -> GenerationRequest:
    settings: dict[str, object] = {"max_tokens": 20, "sampling": Sampling(seed=3), **fields}
    return GenerationRequest(id="r", prompt=TextPrompt(text="Hello there how are you " * words), **settings)  # type: ignore[arg-type]


def chat(*turns: str, **fields: object) -> GenerationRequest:
    """A chat whose user and assistant take turns."""
    roles = itertools.cycle(("user", "assistant"))
    messages = tuple(Message(role=role, content=turn) for role, turn in zip(roles, turns, strict=False))  # type: ignore[arg-type]
    settings: dict[str, object] = {"max_tokens": 30, "sampling": GREEDY, **fields}
    return GenerationRequest(id="r", prompt=ChatPrompt(messages=messages, start_date="2026-11-22"), **settings)  # type: ignore[arg-type]


def text(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def end(events: list[Event]) -> Finished:
    assert isinstance(events[-1], Finished)
    return events[-1]


@pytest.fixture(params=["llama", "gpt_oss"])
def loaded(request: pytest.FixtureRequest) -> LoadedModel:
    model: LoadedModel = request.getfixturevalue(request.param)
    return model


def test_events_come_in_order_and_end_once(loaded: LoadedModel) -> None:
    events = run(desk(loaded), ask(words=60))
    kinds = [kind for kind, _ in itertools.groupby(events, type)]
    assert [type(event) for event in events].count(Finished) == 1
    assert isinstance(events[0], Prefill)
    assert isinstance(events[-2], MessageEnded)
    done = [event.done for event in events if isinstance(event, Prefill)]
    total = end(events).usage.prompt_tokens
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, total)
    assert len(done) > 3
    assert all(kind in (Prefill, MessageStarted, TextDelta, MessageEnded, Finished) for kind in kinds)


def test_counts_and_times_are_those_of_the_request(loaded: LoadedModel) -> None:
    finished = end(run(desk(loaded), ask()))
    usage, timings = finished.usage, finished.timings
    assert usage.completion_tokens == timings.predicted_n == 20
    assert timings.prompt_n == usage.prompt_tokens
    assert timings.prompt_ms > 0
    assert timings.predicted_per_second > 0
    assert finished.reason == "length"


def test_equal_seeds_give_equal_answers_and_the_seed_is_told(loaded: LoadedModel) -> None:
    at = desk(loaded)
    first = run(at, ask(sampling=Sampling(seed=-1)))
    again = run(at, ask(sampling=Sampling(seed=end(first).seed)))
    other = run(at, ask(sampling=Sampling(seed=end(first).seed + 1)))
    assert text(first) == text(again) != text(other)


def test_an_answer_does_not_depend_on_what_was_read_before(loaded: LoadedModel) -> None:
    at = desk(loaded)
    run(at, ask(words=30))
    with_cache = run(at, ask(words=30))
    assert end(with_cache).usage.cached_tokens > 0
    assert end(with_cache).timings.cached_n == end(with_cache).usage.cached_tokens
    assert text(with_cache) == text(run(desk(loaded, 0), ask(words=30)))


def test_a_prompt_that_goes_on_from_an_answer_reads_only_what_is_new(loaded: LoadedModel) -> None:
    at, forced = desk(loaded), 60
    sampling = Sampling(temperature=0.0, logit_bias={forced: 100.0})
    prompt = tuple(range(70, 110))
    run(at, GenerationRequest(id="r", prompt=TokenPrompt(tokens=prompt), max_tokens=12, sampling=sampling))
    going_on = GenerationRequest(id="r", prompt=TokenPrompt(tokens=(*prompt, *(forced,) * 30)), max_tokens=5, sampling=GREEDY)
    warm = run(at, going_on)
    assert end(warm).usage.cached_tokens == len(prompt) + 11
    assert text(warm) == text(run(desk(loaded, 0), going_on))


def test_every_turn_of_a_long_chat_is_answered_the_same_with_and_without_cache(loaded: LoadedModel) -> None:
    at, turns = desk(loaded), ["Hello there, who are you and what do you do all day?"]
    for turn in range(5):
        warm = run(at, chat(*turns))
        assert text(warm) == text(run(desk(loaded, 0), chat(*turns)))
        if turn:
            assert end(warm).usage.cached_tokens > 20
        turns += [text(warm) or "nothing", f"And again, number {turn}: tell me more about the quick brown fox."]


def test_regenerating_and_going_on_after_a_cancel_are_right(loaded: LoadedModel) -> None:
    at, request = desk(loaded), chat("Hello there, how are you today? " * 8)
    for steps in (2, 5, 9):
        calls = itertools.count()
        partial = run(at, request, lambda calls=calls, steps=steps: next(calls) >= steps)  # type: ignore[misc]
        assert end(partial).reason == "cancelled"
    fresh = text(run(desk(loaded, 0), request))
    assert text(run(at, request)) == fresh
    assert text(run(at, request)) == fresh


def test_cancelling_ends_before_the_next_step(loaded: LoadedModel) -> None:
    whole = run(desk(loaded), ask(max_tokens=100))
    seen: list[Event] = []
    for event in Generation(desk(loaded), ask(max_tokens=100), lambda: any(isinstance(event, TextDelta) for event in seen), 0.0).run():
        seen.append(event)
    assert end(seen).reason == "cancelled"
    assert end(seen).usage.completion_tokens < end(whole).usage.completion_tokens
    assert text(whole).startswith(text(seen))
    assert isinstance(seen[-2], MessageEnded)


def test_cancelling_in_the_middle_of_a_prompt_reads_no_further(loaded: LoadedModel) -> None:
    calls = itertools.count()
    request = GenerationRequest(id="r", prompt=TokenPrompt(tokens=tuple(range(20, 320)) * 4), max_tokens=5)
    events = run(desk(loaded), request, lambda: next(calls) >= 2)
    assert end(events).reason == "cancelled"
    assert end(events).usage.completion_tokens == 0
    last = [event for event in events if isinstance(event, Prefill)][-1]
    assert 0 < last.done < last.total


def test_a_slow_model_reads_a_long_prompt_in_pieces_short_enough_to_cancel(llama: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = stop_time(monkeypatch)
    request = GenerationRequest(id="r", prompt=TokenPrompt(tokens=tuple(range(20, 320)) * 20), max_tokens=1)
    slow = desk(llama._replace(model=Watched(llama.model, wait_s=0.002)))
    moments: list[float] = []
    generation = Generation(slow, request, lambda: len(moments) > 12, 0.0)
    for _ in generation.run():
        moments.append(clock.perf_counter())
    gaps = [after - before for before, after in itertools.pairwise(moments)]
    assert len(moments) < 20
    assert max(gaps) < 0.3


def test_log_probabilities_come_only_when_asked_for(loaded: LoadedModel) -> None:
    assert not any(event.logprobs for event in run(desk(loaded), ask()) if isinstance(event, TextDelta))
    events = run(desk(loaded), ask(top_logprobs=3))
    facts = [fact for event in events if isinstance(event, TextDelta) for fact in event.logprobs]
    assert facts
    for fact in facts:
        values = [value for _, _, value in fact.top]
        assert len(values) == 3
        assert values == sorted(values, reverse=True)
        assert fact.logprob <= values[0] + 1e-5
        assert values[0] <= 0
    chosen_only = [fact for event in run(desk(loaded), ask(top_logprobs=0)) if isinstance(event, TextDelta) for fact in event.logprobs]
    assert [fact.token_id for fact in chosen_only] == [fact.token_id for fact in facts]
    assert not any(fact.top for fact in chosen_only)


def test_a_stop_string_ends_the_answer_before_it(llama: LoadedModel) -> None:
    whole = text(run(desk(llama), ask(max_tokens=40)))
    stop = whole[12:15]
    events = run(desk(llama), ask(max_tokens=40, stop=(stop,)))
    assert text(events) == whole[: whole.index(stop)]
    assert end(events).reason == "stop"
    assert end(events).stop == stop
    assert isinstance(events[-2], MessageEnded)


def test_a_stop_token_ends_the_answer(loaded: LoadedModel) -> None:
    stop = min(loaded.format.stop_tokens)
    events = run(desk(loaded), ask(sampling=Sampling(temperature=0.0, logit_bias={stop: 100.0})))
    assert end(events).reason == "stop"
    assert end(events).usage.completion_tokens == 1


def test_a_repetition_penalty_counts_the_prompt_that_was_cached(llama: LoadedModel) -> None:
    at, sampling = desk(llama), Sampling(temperature=0.0, repetition_penalty=1.8, repetition_context_size=64)
    run(at, ask(words=20))
    warm = run(at, ask(words=20, sampling=sampling))
    assert end(warm).usage.cached_tokens > 0
    assert text(warm) == text(run(desk(llama, 0), ask(words=20, sampling=sampling)))
    assert text(warm) != text(run(at, ask(words=20, sampling=GREEDY)))


def test_a_model_s_own_penalty_stands_between_the_request_s_and_the_format_s(gpt_oss: LoadedModel) -> None:
    def said(model: LoadedModel, penalty: float | None = None) -> str:
        sampling = Sampling(temperature=0.0, repetition_penalty=penalty)
        return text(run(desk(model), ask(words=10, max_tokens=40, sampling=sampling)))

    assert gpt_oss.repetition_penalty is None
    recommended = gpt_oss._replace(repetition_penalty=1.8)
    assert said(recommended) == said(gpt_oss, 1.8) != said(gpt_oss)
    assert said(gpt_oss) == said(gpt_oss, gpt_oss.format.defaults.repetition_penalty)
    assert said(recommended, 1.0) == said(gpt_oss, 1.0) != said(recommended)


def test_an_answer_stops_where_the_context_ends(fx1_small: LoadedModel) -> None:
    prompt = TokenPrompt(tokens=tuple(range(20, 50)))
    finished = end(run(desk(fx1_small), GenerationRequest(id="r", prompt=prompt, max_tokens=500, sampling=Sampling(seed=4))))
    assert finished.reason in ("length", "stop")
    assert finished.usage.completion_tokens <= fx1_small.card.context_length - 30


@pytest.fixture
def fx1_small(llama: LoadedModel) -> LoadedModel:
    import msgspec

    return llama._replace(card=msgspec.structs.replace(llama.card, context_length=40))


def test_a_prompt_longer_than_the_context_says_both_numbers(fx1_small: LoadedModel) -> None:
    with pytest.raises(ContextTooLong, match=r"41 tokens.* 40"):
        run(desk(fx1_small), GenerationRequest(id="r", prompt=TokenPrompt(tokens=tuple(range(20, 61)))))


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        (GenerationRequest(id="r", prompt=TextPrompt(text="")), "prompt"),
        (GenerationRequest(id="r", prompt=TokenPrompt(tokens=())), "prompt"),
        (GenerationRequest(id="r", prompt=TokenPrompt(tokens=(1, 392))), "prompt"),
        (GenerationRequest(id="r", prompt=TokenPrompt(tokens=(-1,))), "prompt"),
        (GenerationRequest(id="r", prompt=TokenPrompt(tokens=(2**40,))), "prompt"),
        (ask(sampling=Sampling(logit_bias={392: 1.0})), "logit_bias"),
        (ask(sampling=Sampling(logit_bias={3: float("nan")})), "logit_bias"),
        (ask(sampling=Sampling(xtc_special_tokens=(5000,))), "xtc_special_tokens"),
        (ask(sampling=Sampling(xtc_threshold=0.6)), "xtc_threshold"),
        (ask(sampling=Sampling(top_k=392)), "top_k"),
        (ask(sampling=Sampling(top_k=-1)), "top_k"),
        (ask(sampling=Sampling(temperature=float("inf"))), "temperature"),
        (ask(sampling=Sampling(top_p=float("nan"))), "top_p"),
        (ask(sampling=Sampling(min_tokens_to_keep=0)), "min_tokens_to_keep"),
        (ask(sampling=Sampling(repetition_penalty=-1.0)), "repetition_penalty"),
        (ask(sampling=Sampling(seed=2**63)), "seed"),
        (ask(max_tokens=0), "max_tokens"),
        (ask(top_logprobs=500), "top_logprobs"),
        (ask(stop=("",)), "stop"),
    ],
)
def test_no_bad_number_or_id_reaches_mlx(llama: LoadedModel, request_: GenerationRequest, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        run(desk(llama), request_)
    assert caught.value.param == param


def test_a_prompt_of_one_token_is_answered(loaded: LoadedModel) -> None:
    assert end(run(desk(loaded), GenerationRequest(id="r", prompt=TokenPrompt(tokens=(40,)), max_tokens=3))).usage.prompt_tokens == 1


def test_xtc_protects_the_tokens_that_end_an_answer_and_the_line_break(loaded: LoadedModel) -> None:
    protected = protected_from_xtc(loaded)
    assert loaded.format.stop_tokens <= set(protected)
    assert loaded.tokenizer.encode("\n", add_special_tokens=False)[-1] in protected
    run(desk(loaded), ask(sampling=Sampling(seed=1, xtc_probability=0.5, xtc_threshold=0.1)))
