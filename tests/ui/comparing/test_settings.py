"""The settings above each side: what they begin with, what the page chose, and what is refused."""

from typing import Any

import pytest

from mlx_harmony.conversation.records import TurnOptions
from mlx_harmony.errors import InvalidRequest
from mlx_harmony.field import LARGEST_SEED
from mlx_harmony.records import Sampling
from mlx_harmony_ui.comparing.settings import beginning, setup_view, side_options
from mlx_harmony_ui.listing import ModelChoice

USUAL = TurnOptions(sampling=Sampling(temperature=0.6, top_p=0.9), instructions="Be brief.", effort="low")


def model(name: str, problem: str = "") -> ModelChoice:
    return ModelChoice(
        id=name, name=name, size="1 MB", phase="asleep", phase_text="asleep", problem=problem, broken=bool(problem), chosen=False
    )


def test_the_sides_begin_with_the_default_model_and_another_that_can_run() -> None:
    models = (model("broken", "Its weights are missing."), model("a"), model("b"))
    sides = beginning(models, USUAL, "a")
    assert (sides["left"].model, sides["right"].model) == ("a", "b")
    assert beginning(models[:2], USUAL, "a")["right"].model == "a"
    view = setup_view(models, sides)
    assert [(number.name, number.value) for number in view.sides[0].numbers] == [("temperature", "0.6"), ("seed", ""), ("max_tokens", "")]
    assert view.sides[0].effort == "low" and not view.alone and setup_view(models[:2], sides).alone


def test_the_controls_are_drawn_anew_only_when_the_models_change() -> None:
    sides = beginning((model("a"),), USUAL, "a")
    mark = setup_view((model("a"),), sides).mark
    assert setup_view((model("a"),), sides | {"left": TurnOptions(model="a", max_tokens=9)}).mark == mark
    assert setup_view((model("a"), model("b")), sides).mark != mark


def test_what_the_page_chose_goes_over_what_a_new_chat_begins_with() -> None:
    sent = {"model": "org/b", "temperature": 0, "seed": 3.0, "max_tokens": 100, "effort": "high"}
    assert side_options(sent, USUAL) == TurnOptions(
        model="org/b",
        sampling=Sampling(temperature=0.0, top_p=0.9, seed=3),
        max_tokens=100,
        effort="high",
        instructions="Be brief.",
    )
    assert side_options({"model": "a", "effort": "low", "max_tokens": None}, USUAL).max_tokens is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", ""),
        ("model", None),
        ("model", "x" * 5000),
        ("model", ["a"]),
        ("temperature", 2.5),
        ("temperature", "not a number"),
        ("temperature", True),
        ("seed", 1.5),
        ("seed", LARGEST_SEED + 1),
        ("max_tokens", 0),
        ("max_tokens", {}),
        ("effort", "huge"),
        ("effort", 1),
    ],
)
def test_what_cannot_be_asked_for_is_refused_by_its_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidRequest):
        side_options({"model": "a", "effort": "low", name: value}, USUAL)
