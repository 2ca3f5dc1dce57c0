"""Guessing in company: only who is alone guesses, and whoever joins, everybody hears what they would hear alone."""

from mlx_harmony.events import TextDelta
from mlx_harmony.records import Sampling
from mlx_harmony.worker.inbox import Inbox
from mlx_harmony.worker.load import LoadedModel
from mlx_harmony.worker.loop import Loop
from mlx_harmony.worker.speculation.drafts import Guessing
from tests.worker.company import Watched, alone, ask, end, run_loop, text
from tests.worker.speculation.eager import Eager
from tests.worker.speculation.test_going_back import Counting

REPEATING = Sampling(temperature=0.0, repetition_penalty=1.0, logit_bias={60: 12.0, 61: 12.0})
"""Says few tokens again and again, so that there is always something to guess, and guesses are sometimes wrong."""


def eager(loaded: LoadedModel, inbox: Inbox) -> Loop:
    return Loop(loaded, inbox, guessing=Guessing(Eager()))


def test_who_joins_and_leaves_disturbs_no_guesses(family: LoadedModel) -> None:
    watched = Watched(family.model)
    long = ask("long", start=3, length=50, max_tokens=120, sampling=REPEATING)
    guests = [ask(f"guest{at}", start=at * 17 + 5, length=8, max_tokens=9, sampling=REPEATING) for at in range(4)]
    arrivals = {("long", 12 + 23 * at): (lambda inbox, guest=guest: inbox.put(guest)) for at, guest in enumerate(guests)}
    heard = run_loop(eager, family._replace(model=watched), [long], arrivals, 5)  # type: ignore[arg-type]
    for request in (long, *guests):
        assert text(heard[request.id]) == text(alone(family, request))
        assert end(heard[request.id]).usage == end(alone(family, request)).usage
    came_of = end(heard["long"]).speculation
    assert came_of is not None
    assert came_of.accepted > 10
    assert not [shape for shape in watched.calls if shape[0] > 1 and shape[1] > 1]


def test_a_model_whose_caches_do_not_go_back_answers_plainly_and_says_so(llama: LoadedModel) -> None:
    request = ask("r", max_tokens=40, sampling=REPEATING)
    counting = llama._replace(model=Counting(llama.model))  # type: ignore[arg-type]
    heard = run_loop(eager, counting, [request], {}, 1)
    came_of = end(heard["r"]).speculation
    assert came_of is not None
    assert (came_of.drafted, came_of.note) == (0, "Nothing was guessed: this model's cache cannot go back.")
    assert any(isinstance(event, TextDelta) for event in heard["r"])


def test_nobody_guesses_who_was_told_not_to(llama: LoadedModel) -> None:
    watched = Watched(llama.model)
    request = ask("r", max_tokens=40, sampling=REPEATING, speculation="off")
    heard = run_loop(eager, llama._replace(model=watched), [request], {}, 1)  # type: ignore[arg-type]
    assert end(heard["r"]).speculation is None
    assert {tokens for _, tokens in watched.calls[3:]} == {1}


def test_no_more_tokens_are_guessed_at_once_than_were_asked_for(llama: LoadedModel) -> None:
    watched = Watched(llama.model)
    request = ask("r", max_tokens=60, sampling=REPEATING, num_draft_tokens=2)
    heard = run_loop(eager, llama._replace(model=watched), [request], {}, 1)  # type: ignore[arg-type]
    came_of = end(heard["r"]).speculation
    assert came_of is not None
    assert came_of.drafted > 10
    assert came_of.drafted <= 2 * came_of.passes
