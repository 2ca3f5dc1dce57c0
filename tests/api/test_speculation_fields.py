"""Guessing ahead in the API: what a request may say of it, what is refused, and what an answer tells."""

from typing import Any

import msgspec
import pytest

from mlx_harmony.api.openai_chat import figures_beside
from mlx_harmony.errors import InvalidRequest
from mlx_harmony.records import Speculated
from tests.api.test_chat_request import asked
from tests.fixtures.scripted import finished


def test_the_fields_reach_the_engine() -> None:
    request = asked(speculation="Lookup", draft_model="small", num_draft_tokens=3)
    assert (request.speculation, request.draft_model, request.num_draft_tokens) == ("lookup", "small", 3)
    silent = asked()
    assert (silent.speculation, silent.draft_model, silent.num_draft_tokens) == ("auto", None, None)


def test_a_draft_model_of_null_is_none_at_all() -> None:
    assert asked(draft_model=None).draft_model == ""


@pytest.mark.parametrize("count", [0, -1, 9, 10**30])
def test_a_count_out_of_range_is_refused_with_the_range(count: int) -> None:
    with pytest.raises(InvalidRequest, match="1 to 8") as refused:
        asked(num_draft_tokens=count)
    assert refused.value.param == "num_draft_tokens"


@pytest.mark.parametrize(
    ("name", "value"),
    [("num_draft_tokens", 2.5), ("num_draft_tokens", "3"), ("num_draft_tokens", True), ("speculation", "maybe"), ("draft_model", 5)],
)
def test_what_is_of_the_wrong_kind_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        asked(**{name: value})
    assert refused.value.param == name


def test_every_count_of_the_range_is_taken() -> None:
    assert [asked(num_draft_tokens=count).num_draft_tokens for count in range(1, 9)] == list(range(1, 9))


def test_an_answer_tells_what_was_guessed_as_llama_cpp_does_and_nothing_where_nothing_was() -> None:
    guessed = Speculated(kind="mixed", drafted=80, accepted=64, passes=12, draft_model="small")
    told = figures_beside(msgspec.structs.replace(finished("stop"), speculation=guessed))
    assert (told["timings"]["draft_n"], told["timings"]["draft_n_accepted"], told["draft_model"]) == (80, 64, "small")
    plain = figures_beside(finished("stop"))
    assert "draft_n" not in plain["timings"] and "draft_model" not in plain and "draft_note" not in plain
    missed = figures_beside(msgspec.structs.replace(finished("stop"), speculation=Speculated(note="There is none.")))
    assert missed["draft_note"] == "There is none."
