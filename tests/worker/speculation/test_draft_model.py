"""A draft model guesses, and the answer stays the one the model gives alone: whichever model drafts, whatever becomes of it."""

import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mlx_harmony.events import Event, Finished, Loading
from mlx_harmony.records import DraftChoice, GenerationRequest, LoadOptions, Sampling
from mlx_harmony.worker.device import Device
from mlx_harmony.worker.generation import Desk, Generation
from mlx_harmony.worker.load import LoadedModel, load
from mlx_harmony.worker.pace import Pace
from mlx_harmony.worker.prompt_cache import PromptCache
from mlx_harmony.worker.speculation.draft_model import DraftModel
from mlx_harmony.worker.speculation.drafting import NO_DRAFT_MODEL, TOO_LONG
from mlx_harmony.worker.speculation.drafts import Drafts, Found, Guessing, Wanting
from mlx_harmony.worker.speculation.looking import Looked, look
from tests.fixtures.models import build_llama
from tests.worker.company import GREEDY, Watched, alone, ask, end, run_loop, text
from tests.worker.speculation.eager import Eager
from tests.worker.speculation.test_ahead import going_on

SAMPLED = Sampling(temperature=0.9, seed=3, top_p=0.95, repetition_penalty=1.2)


class Given(Drafts):
    """Drafts that were loaded before: always this one."""

    def __init__(self, drafting: LoadedModel) -> None:
        self.draft = DraftModel("given", "", drafting, 2**26)

    def wanted(self, request: GenerationRequest, cancelled: Callable[[], bool]) -> Wanting:
        yield from ()
        return Found(self.draft)


class LookingHere:
    """Looks into folders in this process, which spares the start of another."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = iter(paths)

    def next(self) -> Future[Looked]:
        found: Future[Looked] = Future()
        found.set_result(look(next(self._paths)))
        return found

    def close(self) -> None:
        pass


def drafted(loaded: LoadedModel, drafts: Drafts, request: GenerationRequest) -> list[Event]:
    """The answer with a draft model that guesses whenever it may."""
    return told(loaded, drafts, msgspec.structs.replace(request, speculation="draft"))[0]


def told(
    loaded: LoadedModel, drafts: Drafts, request: GenerationRequest, cancelled: Callable[[], bool] = lambda: False
) -> tuple[list[Event], list[Loading]]:
    """The events of an answer, and those that were told while the draft model was loaded."""
    desk = Desk(loaded, PromptCache(0), Pace(), drafts=drafts)
    events = list(Generation(desk, request, cancelled, time.perf_counter()).run(Eager()))
    return events, [event for event in events if isinstance(event, Loading)]


def draft_of(model: str) -> DraftChoice:
    return DraftChoice(id=Path(model).name, path=model)


@pytest.fixture
def twin(fx1: Path, tmp_path: Path) -> DraftChoice:
    """Another llama with the same tokens and other weights."""
    return draft_of(str(build_llama(tmp_path / "twin", seed=9)))


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_a_draft_that_thinks_alike_is_right_in_all_it_guesses_also_where_chance_decides(family: LoadedModel, sampling: Sampling) -> None:
    request = ask("r", length=40, max_tokens=60, sampling=sampling)
    events = drafted(family, Given(family), request)
    assert text(events) == text(alone(family, request))
    came_of = end(events).speculation
    assert came_of is not None
    assert (came_of.kind, came_of.draft_model) == ("draft", "given")
    assert came_of.accepted == came_of.drafted > 10


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_a_draft_of_any_kind_with_other_weights_changes_nothing(
    llama: LoadedModel, families: dict[str, LoadedModel], sampling: Sampling
) -> None:
    request = ask("r", length=40, max_tokens=40, sampling=sampling)
    for name, other in families.items():
        if other.card.vocabulary_size == llama.card.vocabulary_size and name != "llama":
            events = drafted(llama, Given(other), request)
            assert text(events) == text(alone(llama, request)), name
            came_of = end(events).speculation
            assert came_of is not None
            assert came_of.accepted < came_of.drafted


def test_what_a_draft_model_read_serves_its_next_turn(family: LoadedModel) -> None:
    watched = Watched(family.model)
    drafts = Given(family._replace(model=watched))  # type: ignore[arg-type]
    first = ask("r", length=60, max_tokens=20)
    events = drafted(family, drafts, first)
    answer = _written(events)
    before = len(watched.calls)
    following = going_on(first, answer)
    again = drafted(family, drafts, following)
    assert text(again) == text(alone(family, following))
    if len(answer) == 20:
        assert sum(tokens for _, tokens in watched.calls[before:]) < 60


def test_more_rows_or_fewer_than_the_model_has_are_no_harm(llama: LoadedModel) -> None:
    # The padding of a vocabulary differs from model to model; a draft must name no row that the other lacks.
    for rows in (llama.card.vocabulary_size - 8, llama.card.vocabulary_size + 40):
        other = _random_llama(llama, rows)
        request = ask("r", length=40, max_tokens=40, sampling=Sampling(temperature=1.0, seed=5, logit_bias={390: 3.0, 391: 3.0}))
        assert text(drafted(llama, Given(other), request)) == text(alone(llama, request))


def test_a_named_draft_is_loaded_with_progress_used_and_kept(llama: LoadedModel, device: Device, twin: DraftChoice) -> None:
    drafts = Drafts(llama, device, look=LookingHere)
    request = ask("r", max_tokens=30, draft_model="twin", drafts=(twin,))
    events, loading = told(llama, drafts, request)
    assert text(events) == text(alone(llama, request))
    assert end(events).speculation.draft_model == "twin"  # type: ignore[union-attr]
    stages = loading
    assert [event.fraction for event in stages] == sorted(event.fraction for event in stages)
    assert stages[-1].stage == "Draft model: ready"
    assert told(llama, drafts, request)[1] == []


def test_none_unloads_it_and_nothing_said_leaves_it(llama: LoadedModel, device: Device, twin: DraftChoice) -> None:
    drafts = Drafts(llama, device, look=LookingHere)
    request = ask("r", max_tokens=5, draft_model="twin", drafts=(twin,))
    told(llama, drafts, request)
    told(llama, drafts, ask("other", max_tokens=5))
    assert told(llama, drafts, request)[1] == []
    told(llama, drafts, ask("none", max_tokens=5, draft_model=""))
    assert told(llama, drafts, request)[1] != []


def test_auto_takes_the_first_with_the_same_tokens(llama: LoadedModel, device: Device, twin: DraftChoice, fx2: Path) -> None:
    request = ask("r", max_tokens=5, draft_model="auto", drafts=(draft_of("/nowhere"), draft_of(str(fx2)), twin))
    assert end(told(llama, Drafts(llama, device, look=LookingHere), request)[0]).speculation.draft_model == "twin"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"draft_model": "auto"}, "No model on this machine is smaller and has the same tokens, so none guessed for this answer."),
        ({"draft_model": "other"}, "The model other cannot guess for this one: it has other tokens."),
        ({"speculation": "draft"}, NO_DRAFT_MODEL),
    ],
)
def test_where_no_draft_can_be_had_the_answer_comes_plainly_and_says_why(
    llama: LoadedModel, device: Device, fx2: Path, asked: dict[str, Any], said: str
) -> None:
    request = ask("r", max_tokens=20, drafts=(draft_of(str(fx2)),), **asked)
    events, _ = told(llama, Drafts(llama, device, look=LookingHere), request)
    assert text(events) == text(alone(llama, request))
    assert end(events).speculation.note.startswith(said)  # type: ignore[union-attr]


def test_a_draft_whose_weights_are_broken_is_named_and_the_answer_comes(llama: LoadedModel, device: Device, twin: DraftChoice) -> None:
    for file in Path(twin.path).glob("*.safetensors"):
        file.write_bytes(b"nothing")
    request = ask("r", max_tokens=20, draft_model="twin", drafts=(twin,))
    events, _ = told(llama, Drafts(llama, device, look=LookingHere), request)
    assert text(events) == text(alone(llama, request))
    assert end(events).speculation.note.startswith("The model twin cannot guess for this one: model-0")  # type: ignore[union-attr]


def test_a_draft_whose_weights_do_not_fit_its_config_is_named_too(llama: LoadedModel, device: Device, twin: DraftChoice) -> None:
    config = Path(twin.path, "config.json")
    config.write_text(config.read_text("utf-8").replace('"num_hidden_layers": 2', '"num_hidden_layers": 3'), "utf-8")
    request = ask("r", max_tokens=20, draft_model="twin", drafts=(twin,))
    events, _ = told(llama, Drafts(llama, device, look=LookingHere), request)
    assert text(events) == text(alone(llama, request))
    assert end(events).speculation.note.startswith("The draft model twin could not be loaded")  # type: ignore[union-attr]


def test_a_tokenizer_that_was_changed_meanwhile_is_looked_at_again(
    llama: LoadedModel, device: Device, twin: DraftChoice, fx2: Path
) -> None:
    drafts = Drafts(llama, device, look=LookingHere)
    path = Path(twin.path, "tokenizer.json")
    right = path.read_bytes()
    shutil.copy(fx2 / "tokenizer.json", path)
    request = ask("r", max_tokens=5, draft_model="twin", drafts=(twin,))
    assert end(told(llama, drafts, request)[0]).speculation.draft_model == ""  # type: ignore[union-attr]
    time.sleep(0.02)
    path.write_bytes(right)
    assert end(told(llama, drafts, request)[0]).speculation.draft_model == "twin"  # type: ignore[union-attr]


def test_a_chat_beyond_its_context_is_not_drafted_and_one_that_grows_beyond_it_goes_on(
    llama: LoadedModel, device: Device, twin: DraftChoice
) -> None:
    short = load(LoadOptions(path=twin.path, max_context_tokens=60), device, lambda _stage, _fraction: None)
    long = ask("r", length=80, max_tokens=20)
    events = drafted(llama, Given(short), long)
    assert (text(events), end(events).speculation.note) == (text(alone(llama, long)), TOO_LONG)  # type: ignore[union-attr]
    growing = ask("r", length=40, max_tokens=60)
    events = drafted(llama, Given(short), growing)
    assert text(events) == text(alone(llama, growing))
    assert 0 < end(events).speculation.passes <= 20  # type: ignore[union-attr]


class Fragile:
    """A model that raises once it has been asked so often."""

    def __init__(self, model: Any, calls: int) -> None:
        self._model = model
        self._calls = calls

    def __call__(self, tokens: Any, cache: Any) -> Any:
        self._calls -= 1
        if self._calls < 0:
            raise RuntimeError("broken")
        return self._model(tokens, cache=cache)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def test_a_draft_that_fails_on_the_way_costs_nothing_but_its_guesses(llama: LoadedModel) -> None:
    request = ask("r", length=40, max_tokens=40, sampling=SAMPLED)
    fragile = llama._replace(model=Fragile(llama.model, 12))  # type: ignore[arg-type]
    events = drafted(llama, Given(fragile), request)
    assert text(events) == text(alone(llama, request))


def test_a_cancel_stops_the_load(llama: LoadedModel, device: Device, twin: DraftChoice) -> None:
    asked = iter(range(1000))
    request = ask("r", max_tokens=20, draft_model="twin", drafts=(twin,))
    events, loading = told(llama, Drafts(llama, device, look=LookingHere), request, lambda: next(asked) > 1)
    assert end(events).reason == "cancelled"
    assert len(loading) <= 2


def test_in_company_a_draft_model_disturbs_nobody(llama: LoadedModel, fx1: Path) -> None:
    from mlx_harmony.worker.inbox import Inbox
    from mlx_harmony.worker.loop import Loop

    def make(loaded: LoadedModel, inbox: Inbox) -> Loop:
        return Loop(loaded, inbox, guessing=Guessing(Eager(), Given(llama)))

    long = ask("long", length=300, max_tokens=60, sampling=SAMPLED)
    guests = [ask(f"guest{at}", start=at * 40, length=300, max_tokens=10) for at in range(3)]
    arrivals = {("long", 8 + 14 * at): (lambda inbox, guest=guest: inbox.put(guest)) for at, guest in enumerate(guests)}
    heard = run_loop(make, llama, [long], arrivals, 4)
    for request in (long, *guests):
        assert text(heard[request.id]) == text(alone(llama, request))
        assert isinstance(heard[request.id][-1], Finished)


def _written(events: list[Event]) -> list[int]:
    return [token for event in events for token in getattr(event, "ids", ())]


def _random_llama(like: LoadedModel, rows: int) -> LoadedModel:
    from tests.fixtures.architectures import build

    card = msgspec.structs.replace(like.card, vocabulary_size=rows)
    return like._replace(model=build("qwen3", rows), card=card)
