"""A draft model is found, loaded and given its prompt beside the answers: nobody stands still, and nothing is read that does not pay."""

import itertools
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from mlx_harmony.events import Event, Loading, Prefill
from mlx_harmony.records import DraftChoice
from mlx_harmony.worker.device import Device
from mlx_harmony.worker.inbox import Inbox
from mlx_harmony.worker.load import LoadedModel
from mlx_harmony.worker.loop import Loop
from mlx_harmony.worker.speculation.drafting import Drafting
from mlx_harmony.worker.speculation.drafts import Drafts, Guessing
from mlx_harmony.worker.speculation.gain import Gain
from mlx_harmony.worker.speculation.looking import Looked, LookingBeside, digest_of, look
from tests.fixtures.models import build_llama
from tests.worker.company import Watched, alone, ask, end, run_loop, text
from tests.worker.speculation.eager import Eager
from tests.worker.speculation.test_draft_model import Given, LookingHere, draft_of


@pytest.fixture
def twin(tmp_path: Path) -> DraftChoice:
    """Another llama with the same tokens."""
    return draft_of(str(build_llama(tmp_path / "twin", seed=9)))


class LookingLate:
    """Looks only once it is told to; `opened` counts how often one was begun, `closed` how often one was ended."""

    opened = closed = 0

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = iter(paths)
        self.asked: list[Future[Looked]] = []
        type(self).opened += 1
        type(self).last = self

    last: Any = None

    def next(self) -> Future[Looked]:
        self.asked.append(Future())
        return self.asked[-1]

    def find(self) -> None:
        self.asked[-1].set_result(look(next(self._paths)))

    def close(self) -> None:
        type(self).closed += 1


@pytest.fixture
def late() -> Any:
    """A class of its own for each test, since it counts."""
    return type("Late", (LookingLate,), {})


def loop_with(drafts: Drafts, gain: Any = None) -> Callable[[LoadedModel, Inbox], Loop]:
    return lambda loaded, inbox: Loop(loaded, inbox, guessing=Guessing(gain or Eager(), drafts))


def test_answers_go_on_while_a_draft_model_is_looked_at_and_loaded(
    llama: LoadedModel, device: Device, late: Any, twin: DraftChoice
) -> None:
    watched, steps, written = Watched(llama.model), list[int](), itertools.count()
    writer, asker = ask("writer", max_tokens=60), ask("asker", start=90, max_tokens=5, draft_model="twin", drafts=(twin,))

    def make(loaded: LoadedModel, inbox: Inbox) -> Loop:
        emit = inbox.emit

        def noted(name: str, event: Event) -> None:
            if isinstance(event, Loading):
                steps.append(len(watched.calls))
            if name == "writer" and next(written) == 30:
                late.last.find()
            emit(name, event)

        inbox.emit = noted
        return loop_with(Drafts(llama, device, look=late))(loaded, inbox)

    slow = llama._replace(model=watched)  # type: ignore[arg-type]
    heard = run_loop(make, slow, [writer], {("writer", 8): lambda inbox: inbox.put(asker)}, 2)
    assert len(steps) > 4
    assert all(after > before for before, after in itertools.pairwise(steps))
    assert all(text(heard[each.id]) == text(alone(llama, each)) for each in (writer, asker))
    assert end(heard["asker"]).speculation.draft_model == "twin"  # type: ignore[union-attr]


def test_who_is_cancelled_while_a_tokenizer_is_looked_at_ends_at_once(
    llama: LoadedModel, device: Device, late: Any, twin: DraftChoice
) -> None:
    asker = ask("asker", max_tokens=5, draft_model="twin", drafts=(twin,))
    acts = {("asker", 1): lambda inbox: inbox.cancel("asker")}
    heard = run_loop(loop_with(Drafts(llama, device, look=late)), llama, [asker], acts, 1)
    assert end(heard["asker"]).reason == "cancelled"
    assert (late.opened, late.closed) == (1, 1)


def test_two_requests_that_want_the_same_draft_model_have_it_loaded_once(
    llama: LoadedModel, device: Device, late: Any, twin: DraftChoice
) -> None:
    askers = [ask(name, start=start, max_tokens=5, draft_model="twin", drafts=(twin,)) for name, start in (("one", 20), ("two", 70))]
    writer = ask("writer", start=40, max_tokens=40)
    acts = {("writer", 20): lambda _inbox: late.last.find()}
    heard = run_loop(loop_with(Drafts(llama, device, look=late)), llama, [writer, *askers], acts, 3)
    assert late.opened == 1
    assert [end(heard[each.id]).speculation.draft_model for each in askers] == ["twin", "twin"]  # type: ignore[union-attr]


def test_one_who_is_cancelled_leaves_the_load_to_the_next(llama: LoadedModel, device: Device, twin: DraftChoice) -> None:
    askers = [ask(name, start=start, max_tokens=5, draft_model="twin", drafts=(twin,)) for name, start in (("one", 20), ("two", 70))]
    acts = {("one", 3): lambda inbox: inbox.cancel("one")}
    heard = run_loop(loop_with(Drafts(llama, device, look=LookingHere)), llama, askers, acts, 2)
    assert end(heard["one"]).reason == "cancelled"
    assert end(heard["two"]).speculation.draft_model == "twin"  # type: ignore[union-attr]


def watched_draft(llama: LoadedModel) -> tuple[Given, Watched]:
    watched = Watched(llama.model)
    return Given(llama._replace(model=watched)), watched  # type: ignore[arg-type]


def test_in_company_a_draft_model_reads_nothing(llama: LoadedModel) -> None:
    drafts, watched = watched_draft(llama)
    host, guest = ask("host", max_tokens=80, speculation="off"), ask("guest", start=90, length=200, max_tokens=10)
    heard = run_loop(loop_with(drafts), llama, [host], {("host", 8): lambda inbox: inbox.put(guest)}, 2)
    assert text(heard["guest"]) == text(alone(llama, guest))
    assert watched.calls == []


class Losing(Eager):
    """A choice that has measured that guessing loses, and would still try it now and then."""

    def saves(self, chances: Sequence[float], each_s: float = 0.0, redone: bool = False) -> float:
        return 0.0


def test_a_draft_model_reads_nothing_where_guessing_loses(llama: LoadedModel) -> None:
    drafts, watched = watched_draft(llama)
    drafts.draft.pace.learn(100, 0.01, 0.001)
    heard = run_loop(loop_with(drafts, Losing()), llama, [ask("r", max_tokens=30)], {}, 1)
    assert watched.calls == []
    assert end(heard["r"]).speculation.paused  # type: ignore[union-attr]


def test_a_draft_model_reads_its_prompt_after_the_first_token_in_chunks(llama: LoadedModel) -> None:
    drafts, watched = watched_draft(llama)
    drafts.draft.pace.target_s = 1e-6
    read: list[int] = []
    request = ask("r", length=200, max_tokens=80)
    acts = {("r", at): (lambda _inbox: read.append(sum(tokens for _, tokens in watched.calls))) for at in range(1, 90)}
    heard = run_loop(loop_with(drafts), llama, [request], acts, 1)
    assert text(heard["r"]) == text(alone(llama, request))
    first_token = max(at for at, event in enumerate(heard["r"]) if isinstance(event, Prefill))
    assert read[first_token] == 0
    assert len(watched.calls) > 10
    assert end(heard["r"]).speculation.accepted > 5  # type: ignore[union-attr]


class Reader:
    """A drafter that would have to read for so long."""

    kind = "draft"
    each_s = 0.0

    def __init__(self, unread_s: float) -> None:
        self.unread_s = unread_s

    def chances(self, count: int) -> list[float]:
        return [0.9] * count


@pytest.mark.parametrize(("unread_s", "room", "reads"), [(0.0, 20, True), (0.05, 200, True), (0.05, 4, False), (9.0, 10**6, False)])
def test_reading_has_to_be_worth_it_for_what_is_left_of_the_answer(unread_s: float, room: int, reads: bool) -> None:
    gain = Gain()
    for width, seconds in ((1, 0.01), (9, 0.012), (17, 0.014)):
        gain.learn(width, math.inf)
        gain.learn(width, seconds)
    drafting = Drafting([Reader(unread_s)], gain)  # type: ignore[list-item]
    assert drafting.hopes(room, False) == reads


@pytest.mark.integration
@pytest.mark.slow
def test_a_process_beside_tells_of_each_folder_in_turn(llama: LoadedModel, fx2: Path, twin: DraftChoice) -> None:
    looking = LookingBeside([twin.path, "/nowhere", str(fx2)])
    try:
        same, missing, other = (looking.next().result(timeout=120) for _ in range(3))
    finally:
        looking.close()
    assert same.digest == digest_of(llama.tokenizer)
    assert same.folder is not None and same.folder.path == twin.path
    assert missing.folder is None and "no model folder" in missing.problem
    assert other.digest not in ("", same.digest)


def test_a_process_that_was_ended_says_that_it_took_too_long(twin: DraftChoice) -> None:
    looking = LookingBeside([twin.path])
    looking._process.kill()
    assert looking.next().result(timeout=60).problem == "its tokenizer could not be opened in time."
    looking.close()
