"""Who may go on when: a prompt is read between others' steps, shared beginnings once, counts at once, a cancel at any stage."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from mlx_harmony.events import Counted, Finished, Prefill, Queued, TextDelta
from mlx_harmony.records import ChatPrompt, GenerationRequest, Message, Sampling, TokenPrompt
from mlx_harmony.worker.inbox import Inbox
from mlx_harmony.worker.load import LoadedModel
from mlx_harmony.worker.loop import SEATS
from tests.worker.company import GREEDY, Clock, Heard, Watched, alone, ask, end, stop_time, text, together


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return stop_time(monkeypatch)


def watched(loaded: LoadedModel, wait_s: float = 0.0) -> tuple[LoadedModel, Watched]:
    model = Watched(loaded.model, wait_s)
    return loaded._replace(model=model), model  # type: ignore[arg-type]


def long(name: str, tokens: tuple[int, ...], **fields: object) -> GenerationRequest:
    settings: dict[str, object] = {"max_tokens": 8, "sampling": GREEDY, "loop_detection": "off", **fields}
    return GenerationRequest(id=name, prompt=TokenPrompt(tokens=tokens), **settings)  # type: ignore[arg-type]


@pytest.mark.usefixtures("clock")
def test_an_answer_never_waits_long_for_somebody_else_s_prompt(llama: LoadedModel) -> None:
    slow, model = watched(llama, wait_s=0.002)
    marks: list[int] = []
    writer, reader = ask("writer", max_tokens=70), long("reader", tuple(range(20, 320)) * 4)
    acts: dict[tuple[str, int], Callable[[Inbox], None]] = {
        ("writer", 11): lambda inbox: inbox.put(reader),
        ("reader", 2): lambda _inbox: marks.append(len(model.calls)),
        ("writer", 28): lambda _inbox: marks.append(len(model.calls)),
    }
    heard = together(slow, [writer], acts, expected=2)
    assert text(heard["writer"]) == text(alone(llama, writer))
    assert len(marks) == 2
    meanwhile = [tokens for _, tokens in model.calls[slice(*marks)]]
    chunks = [tokens for tokens in meanwhile if tokens > 1]
    assert len(chunks) > 5
    assert max(chunks) * 0.002 <= 0.1
    assert not any(before > 1 and after > 1 for before, after in itertools.pairwise(meanwhile))


def read_between_tokens(loaded: LoadedModel, model: Watched, late: list[GenerationRequest]) -> tuple[Heard, list[list[int]]]:
    """What is heard where these come while an answer is written, and the chunks that were read before each of its next tokens."""
    marks: list[int] = []
    acts: dict[tuple[str, int], Callable[[Inbox], None]] = {
        ("writer", at): lambda _inbox: marks.append(len(model.calls)) for at in range(20, 60)
    }

    def come(inbox: Inbox) -> None:
        marks.append(len(model.calls))
        for each in late:
            inbox.put(each)

    acts["writer", 19] = come
    # Each token of the writer is a letter, and so an event. Two are answered from the start: the model has been tried out by then.
    letters = Sampling(temperature=0.0, repetition_penalty=1.0, logit_bias={60: 100.0})
    writers = [ask("writer", max_tokens=80, sampling=letters), ask("other", start=170, max_tokens=80)]
    heard = together(loaded, writers, acts, len(late) + 2)
    chunks = [[tokens for _, tokens in model.calls[start:end] if tokens > 1] for start, end in itertools.pairwise(marks)]
    return heard, chunks


@pytest.mark.usefixtures("clock")
def test_short_prompts_that_come_together_are_read_together(llama: LoadedModel) -> None:
    quick, model = watched(llama, wait_s=0.0001)
    late = [ask(str(at), start=at * 31) for at in range(4)]
    heard, chunks = read_between_tokens(quick, model, late)
    assert max(map(len, chunks)) > 1
    for each in late:
        assert text(heard[each.id]) == text(alone(llama, each))


@pytest.mark.usefixtures("clock")
def test_short_prompts_that_come_together_are_read_before_the_first_of_them_is_answered(llama: LoadedModel) -> None:
    quick, model = watched(llama, wait_s=0.0001)
    together(quick, [ask(str(at), start=at * 31) for at in range(4)])
    assert [tokens for _, tokens in model.calls[:4]] == [29] * 4


@pytest.mark.usefixtures("clock")
def test_several_long_prompts_keep_an_answer_waiting_no_longer_than_one(llama: LoadedModel) -> None:
    slow, model = watched(llama, wait_s=0.002)
    _, chunks = read_between_tokens(slow, model, [long(str(at), tuple(range(20 + at, 315)), max_tokens=2) for at in (0, 32, 64)])
    assert max(map(len, chunks)) > 1
    assert max(map(sum, chunks)) * 0.002 <= 0.1


class Thoughtful(Watched):
    """It takes longer for a token of two answers than for a short prompt, for a while."""

    def __init__(self, model: Any, clock: Clock) -> None:
        super().__init__(model)
        self._clock = clock

    def __call__(self, tokens: Any, cache: Any) -> Any:
        if 18 < len(self.calls) < 50:
            self._clock.sleep({(2, 1): 0.17, (1, 1): 0.0}.get(tokens.shape, 0.04))
        return super().__call__(tokens, cache)


def test_where_a_token_takes_long_as_much_is_read_between_two_of_them(llama: LoadedModel, clock: Clock) -> None:
    model = Thoughtful(llama.model, clock)
    late = [ask(str(at), start=at * 31, length=15, max_tokens=1) for at in range(6)]
    _, chunks = read_between_tokens(llama._replace(model=model), model, late)  # type: ignore[arg-type]
    assert max(map(len, chunks)) == 4


@pytest.mark.parametrize("name", ["llama", "gpt_oss"])
def test_what_several_prompts_begin_with_is_read_once(name: str, request: pytest.FixtureRequest) -> None:
    loaded: LoadedModel = request.getfixturevalue(name)
    model, calls = watched(loaded)
    system = tuple(range(30, 330))
    requests = [long(str(at), (*system, *range(40 + at, 60 + at))) for at in range(5)]
    heard = together(model, requests)
    read = sum(end(heard[str(at)]).timings.prompt_n for at in range(5))
    assert read <= 300 + 5 * 25
    assert sum(rows * tokens for rows, tokens in calls.calls if tokens > 1) <= 300 + 5 * 25 + 100
    for each in requests:
        assert text(heard[each.id]) == text(alone(loaded, each))


def test_a_short_prompt_is_not_kept_waiting_by_a_long_one(llama: LoadedModel) -> None:
    slow, _ = watched(llama, wait_s=0.0005)
    reader = long("long", tuple(range(20, 320)) * 8)
    events = together(slow, [reader, long("short", tuple(range(50, 80)))])
    first_word = [at for at, event in enumerate(events["short"]) if isinstance(event, TextDelta)]
    assert first_word
    assert end(events["short"]).timings.first_token_ms < end(events["long"]).timings.first_token_ms / 2


def test_a_count_is_told_while_an_answer_is_written(llama: LoadedModel) -> None:
    question = GenerationRequest(id="count", prompt=ChatPrompt(messages=(Message(role="user", content="How long is this?"),)))
    order: list[str] = []
    acts = {("writer", 10): lambda inbox: inbox.put_count(question), ("count", 1): lambda _inbox: order.append("count")}
    heard = together(llama, [ask("writer", max_tokens=60)], acts, expected=2)  # type: ignore[arg-type]
    assert order == ["count"]
    assert isinstance(heard["count"][0], Counted)
    assert heard["count"][0].count.total > 5
    assert text(heard["writer"]) == text(alone(llama, ask("writer", max_tokens=60)))


@pytest.mark.parametrize("stage", [1, 2, 3, 9])
def test_cancelling_one_ends_it_at_once_and_leaves_the_others(llama: LoadedModel, stage: int) -> None:
    others = [ask("a", max_tokens=60), ask("b", start=70, max_tokens=60)]
    victim = ask("victim", start=150, length=200, max_tokens=400)
    acts = {("victim", stage + 1): lambda inbox: inbox.cancel("victim")}
    heard = together(llama, [*others, victim], acts, expected=3)
    assert end(heard["victim"]).reason == "cancelled"
    assert len(heard["victim"]) <= stage + 4
    for other in others:
        assert text(heard[other.id]) == text(alone(llama, other))


def test_cancelling_who_waits_for_a_turn_to_read_ends_it_before_anything_is_read(llama: LoadedModel) -> None:
    slow, calls = watched(llama, wait_s=0.001)
    first, second = long("first", tuple(range(20, 320)) * 2), long("second", tuple(range(40, 340)) * 2)
    heard = together(slow, [first, second], {("first", 3): lambda inbox: inbox.cancel("second")}, expected=2)
    assert end(heard["second"]).reason == "cancelled"
    assert end(heard["second"]).usage.completion_tokens == 0
    assert end(heard["first"]).reason == "length"
    assert calls.calls


def test_a_model_that_cannot_be_batched_answers_one_after_another(llama: LoadedModel) -> None:
    class Stubborn(Watched):
        """Refuses more than one row, as architectures do that count positions themselves."""

        def __call__(self, tokens: object, cache: object) -> object:
            if tokens.shape[0] > 1:  # type: ignore[attr-defined]
                raise ValueError("only one row")
            return super().__call__(tokens, cache)

    stubborn = llama._replace(model=Stubborn(llama.model))  # type: ignore[arg-type]
    requests = [ask(str(at), start=at * 31, length=10 + at) for at in range(4)]
    heard = together(stubborn, requests)
    for request in requests:
        assert text(heard[request.id]) == text(alone(llama, request))


def test_caches_of_an_unknown_kind_are_never_batched(llama: LoadedModel) -> None:
    from mlx_lm.models.cache import ConcatenateKVCache

    class Odd(Watched):
        def make_cache(self) -> list[object]:
            return [ConcatenateKVCache() for _ in range(2)]

    model = Odd(llama.model)
    heard = together(llama._replace(model=model), [ask(str(at), start=at) for at in range(3)])  # type: ignore[arg-type]
    assert {rows for rows, _ in model.calls} == {1}
    assert Queued(position=2) in heard["2"]
    assert all(isinstance(events[-1], Finished) for events in heard.values())


def test_more_than_there_are_seats_wait_and_hear_their_place(llama: LoadedModel) -> None:
    many = [ask(str(at), start=at, length=8, max_tokens=12 + at) for at in range(SEATS + 3)]
    late = {("0", 4): lambda inbox: [inbox.put(request) for request in many[1:]]}
    heard = together(llama, many[:1], late, expected=len(many))  # type: ignore[arg-type]
    assert Queued(position=3) in heard[str(SEATS + 2)]
    assert Queued(position=1) in heard[str(SEATS + 2)]
    for request in many:
        assert text(heard[request.id]) == text(alone(llama, request))
    assert any(isinstance(event, Prefill) for event in heard[str(SEATS + 2)])
