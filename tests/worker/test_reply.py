"""What can end an answer, and thinking that is cut at its budget: on a windowed Harmony model, a thinking template model, the Starter."""

import shutil
import time
from pathlib import Path

import msgspec
import pytest

from mlx_harmony.errors import InvalidRequest, LoadFailed
from mlx_harmony.events import Event, Finished, MessageEnded, MessageStarted, Prefill, TextDelta
from mlx_harmony.models.catalog import starter_folder
from mlx_harmony.records import ChatPrompt, GenerationRequest, LoadOptions, Message, Sampling, TokenPrompt
from mlx_harmony.worker.device import Device
from mlx_harmony.worker.generation import Desk, Generation
from mlx_harmony.worker.load import LoadedModel, load
from mlx_harmony.worker.pace import Pace
from mlx_harmony.worker.prompt_cache import PromptCache
from mlx_harmony.worker.reply import LOOPED
from tests.fixtures.models import TEMPLATE

OPEN_THINKING = TEMPLATE.replace("<|assistant|>\n{% endif", "<|assistant|>\n<think>{% endif")


def desk(loaded: LoadedModel) -> Desk:
    return Desk(loaded, PromptCache(2**28), Pace())


def run(at: Desk, request: GenerationRequest) -> list[Event]:
    return list(Generation(at, request, lambda: False, time.perf_counter()).run())


def end(events: list[Event]) -> Finished:
    assert isinstance(events[-1], Finished)
    return events[-1]


def spoken(events: list[Event], channel: str) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta) and event.channel == channel)


def letters_only(loaded: LoadedModel, **fields: float | int) -> Sampling:
    """Sampling that keeps a random model to whole characters: no control tokens, no halves."""
    tokens = loaded.format.tokens
    barred = [token for token in range(loaded.card.vocabulary_size) if token in tokens.control or not tokens.piece(token).isascii()]
    return Sampling(temperature=0.0, logit_bias=dict.fromkeys(barred, -100.0), **fields)  # type: ignore[arg-type]


def asks(loaded: LoadedModel, **fields: object) -> GenerationRequest:
    """A question whose answer begins, or goes on, in thought."""
    messages = (Message(role="user", content="Hello there, how are you today?"),)
    harmony = loaded.format.name == "harmony"
    thought = (Message(role="assistant", reasoning="The user asks"),) if harmony else ()
    prompt = ChatPrompt(messages=messages + thought, start_date="2026-11-22", continue_last=harmony)
    settings: dict[str, object] = {"max_tokens": 60, "sampling": letters_only(loaded), **fields}
    return GenerationRequest(id="r", prompt=prompt, **settings)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def thinking(fx1: Path, tmp_path_factory: pytest.TempPathFactory, device: Device) -> LoadedModel:
    """FX1 with a template that opens the thinking tag."""
    folder = tmp_path_factory.mktemp("models") / "thinking-llama"
    shutil.copytree(fx1, folder)
    (folder / "chat_template.jinja").write_text(OPEN_THINKING, encoding="utf-8")
    return load(LoadOptions(path=str(folder)), device, lambda _stage, _fraction: None)


@pytest.fixture(scope="session")
def starter(device: Device) -> LoadedModel:
    try:
        return load(LoadOptions(path=str(starter_folder())), device, lambda _stage, _fraction: None)
    except LoadFailed:
        pytest.skip("the Starter's weights are not built in this checkout")


@pytest.fixture(params=["gpt_oss", "thinking"])
def loaded(request: pytest.FixtureRequest) -> LoadedModel:
    model: LoadedModel = request.getfixturevalue(request.param)
    return model


def test_without_a_budget_thinking_goes_on(loaded: LoadedModel) -> None:
    events = run(desk(loaded), asks(loaded))
    assert spoken(events, "analysis")
    assert not spoken(events, "final")
    assert end(events).note == ""


@pytest.mark.parametrize("budget", [1, 20])
def test_thinking_is_closed_at_its_budget_and_an_answer_follows(loaded: LoadedModel, budget: int) -> None:
    events = run(desk(loaded), asks(loaded, analysis_budget=budget))
    finished = end(events)
    order = [event for event in events if isinstance(event, MessageStarted | MessageEnded)]
    thought, answer = order[1], order[2]
    assert isinstance(thought, MessageEnded)
    assert isinstance(answer, MessageStarted)
    assert thought.stop_token == ("<|end|>" if loaded.format.name == "harmony" else "</think>")
    assert (answer.index, answer.channel) == (1, "final")
    assert spoken(events, "final")
    assert finished.usage.reasoning_tokens == budget
    assert finished.usage.completion_tokens == 60
    assert finished.repaired == ""
    assert finished.note == f"Thinking was cut at {budget} token{'' if budget == 1 else 's'}, its budget."


def test_a_budget_of_none_goes_straight_to_the_answer(loaded: LoadedModel) -> None:
    events = run(desk(loaded), asks(loaded, analysis_budget=0))
    assert spoken(events, "analysis") == ""
    assert spoken(events, "final")
    assert end(events).usage.reasoning_tokens == 0
    done = [event for event in events if isinstance(event, Prefill)][-1]
    assert done.done == done.total
    assert events.index(done) < min(at for at, event in enumerate(events) if isinstance(event, MessageStarted))


def last_read(at: Desk) -> list[int]:
    """The tokens of the longest sequence that the cache keeps."""
    longest = max(at.cache._tree.runs(), key=lambda run: run.end)
    chain = longest.chain()
    ends = [*(run.start for run in chain[1:]), longest.end]
    return [int(token) for run, end in zip(chain, ends, strict=True) for token in run.tokens[: end - run.start]]


@pytest.mark.parametrize("penalty", [1.0, 1.5])
def test_after_the_cut_it_goes_on_exactly_as_from_a_prompt_that_says_so(loaded: LoadedModel, penalty: float) -> None:
    sampling = letters_only(loaded, repetition_penalty=penalty, repetition_context_size=24)
    at, cut = desk(loaded), asks(loaded, analysis_budget=20, sampling=sampling)
    prompt = tuple(loaded.format.render(cut.prompt).tokens)
    first = run(at, cut)
    read = last_read(at)
    closing = loaded.format.answer_now()
    assert closing
    assert len(read) == len(prompt) + 60 - 1
    said = tuple(read[: len(prompt) + 20 + len(closing)])
    assert said[: len(prompt)] == prompt
    assert list(said[-len(closing) :]) == closing
    told = GenerationRequest(id="t", prompt=TokenPrompt(tokens=said), sampling=sampling, max_tokens=60 - 20 - len(closing))
    assert spoken(run(desk(loaded), told), "final").strip() == spoken(first, "final").strip()


def test_what_was_read_around_a_cut_serves_the_next_prompt(loaded: LoadedModel) -> None:
    at = desk(loaded)
    run(at, asks(loaded, analysis_budget=20))
    read = last_read(at)
    going_on = GenerationRequest(id="g", prompt=TokenPrompt(tokens=(*read, 70, 71, 72)), sampling=letters_only(loaded), max_tokens=12)
    warm = run(at, going_on)
    assert end(warm).usage.cached_tokens == len(read)
    assert spoken(warm, "final") == spoken(run(desk(loaded), going_on), "final")


def test_thinking_is_not_cut_where_no_room_is_left_for_an_answer(loaded: LoadedModel) -> None:
    closing = loaded.format.answer_now()
    assert closing
    events = run(desk(loaded), asks(loaded, analysis_budget=5, max_tokens=5 + len(closing)))
    assert end(events).note == ""
    assert end(events).usage.completion_tokens == 5 + len(closing)


def test_thinking_is_never_cut_in_the_middle_of_a_character(loaded: LoadedModel) -> None:
    half = next(token for token in range(loaded.card.vocabulary_size) if loaded.format.tokens.piece(token) == "é".encode()[:1])
    rest = next(token for token in range(loaded.card.vocabulary_size) if loaded.format.tokens.piece(token) == "é".encode()[1:])
    parser = loaded.format.parser(asks(loaded).prompt)
    parser.feed(half)
    assert not parser.may_answer
    parser.feed(rest)
    assert parser.may_answer


def test_the_starter_answers_when_its_thinking_is_cut(starter: LoadedModel) -> None:
    prompt = ChatPrompt(messages=(Message(role="user", content="Hello! How are you?"),), effort="high", start_date="2026-11-22")
    request = GenerationRequest(id="s", prompt=prompt, sampling=Sampling(temperature=0.0), analysis_budget=3, max_tokens=100)
    free = run(desk(starter), msgspec.structs.replace(request, analysis_budget=None))
    events = run(desk(starter), request)
    assert end(free).usage.reasoning_tokens > 3
    assert end(events).usage.reasoning_tokens == 3
    assert end(events).note
    assert end(events).repaired == ""
    assert end(events).reason == "stop"
    assert len(spoken(events, "final")) > 5


def test_an_end_token_ends_the_answer_by_its_id(gpt_oss: LoadedModel) -> None:
    ending = gpt_oss.format.tokens.control_ids["<|end|>"]
    sampling = Sampling(temperature=0.0, logit_bias={ending: 100.0})
    for fields in ({"end_tokens": ("<|end|>",)}, {"stop": ("<|end|>",)}):
        events = run(desk(gpt_oss), asks(gpt_oss, sampling=sampling, **fields))
        assert end(events).reason == "stop"
        assert end(events).stop == "<|end|>"
        assert end(events).usage.completion_tokens == 1
    without = run(desk(gpt_oss), asks(gpt_oss, sampling=sampling, loop_detection="off"))
    assert end(without).usage.completion_tokens == 60


def test_any_control_token_can_end_an_answer_and_nothing_counts_as_repaired(loaded: LoadedModel) -> None:
    name = "<|startoftext|>" if loaded.format.name == "harmony" else "<|user|>"
    sampling = Sampling(temperature=0.0, logit_bias={loaded.format.tokens.control_ids[name]: 100.0})
    events = run(desk(loaded), asks(loaded, sampling=sampling, end_tokens=(name,)))
    assert (end(events).reason, end(events).stop, end(events).repaired) == ("stop", name, "")


def test_the_format_s_own_stop_needs_no_name(loaded: LoadedModel) -> None:
    stop = min(loaded.format.stop_tokens)
    sampling = Sampling(temperature=0.0, logit_bias={stop: 100.0})
    events = run(desk(loaded), asks(loaded, sampling=sampling, end_tokens=(loaded.format.tokens.control[stop],)))
    assert (end(events).reason, end(events).stop) == ("stop", None)


@pytest.mark.parametrize("unknown", ["<|nothing|>", "hello", "a"])
def test_an_end_token_that_the_model_does_not_have_is_refused(loaded: LoadedModel, unknown: str) -> None:
    with pytest.raises(InvalidRequest, match="no control token") as caught:
        run(desk(loaded), asks(loaded, end_tokens=(unknown,)))
    assert caught.value.param == "end_tokens"


@pytest.mark.parametrize(("mode", "tokens"), [("off", 60), ("cheap", 16), ("full", 16)])
def test_a_model_that_repeats_itself_is_stopped_and_that_is_said(loaded: LoadedModel, mode: str, tokens: int) -> None:
    forced = Sampling(temperature=0.0, logit_bias={80: 100.0})
    finished = end(run(desk(loaded), asks(loaded, sampling=forced, loop_detection=mode)))
    assert finished.usage.completion_tokens == tokens
    assert finished.reason == ("length" if mode == "off" else "stop")
    assert finished.note == ("" if mode == "off" else LOOPED)
    assert finished.stop is None
