"""Rows of the table: where a model stands, what can be done with it, whether it fits, and how the columns are sorted."""

import pytest

from mlx_harmony.engine.protocols import ModelState
from mlx_harmony.models.filtering import Filter
from mlx_harmony_ui.models.rows import Row, Standing, headings, others_of, parameters, row_of
from tests.ui.models.made import DAY, NOW, STARTER, holding, info, needs


def row(of: object = None, state: ModelState | None = None, **standing: object) -> Row:
    found = of or info()
    states = {state.id: state} if state else {}
    return row_of(found, Standing(states=states, **standing), NOW)  # type: ignore[arg-type]


def test_a_model_says_where_it_stands_and_what_can_be_done() -> None:
    asleep = row(STARTER, chosen="starter")
    assert (asleep.name, asleep.kind, asleep.phase_text, asleep.chosen, asleep.key) == ("Starter", "Harmony", "asleep", True, "")
    assert (asleep.can_load, asleep.can_unload, asleep.can_talk) == (True, False, True)
    broken = row(info(problem="config.json is missing."))
    assert (broken.can_load, broken.can_unload, broken.can_talk, broken.problem) == (False, False, False, "config.json is missing.")
    assert broken.key == "whole:org/Qwen-4bit"


def test_loading_tells_its_percent_and_can_be_left() -> None:
    found = row(STARTER, ModelState(id="starter", phase="loading", fraction=0.4))
    assert (found.phase_text, found.fraction, found.can_load, found.can_unload) == ("loading 40 %", 0.4, False, True)


def test_a_crashed_model_says_why_and_can_be_loaded_again() -> None:
    found = row(STARTER, ModelState(id="starter", phase="crashed", problem="A file is cut.", hint="Download the model again."))
    assert (found.phase_text, found.problem, found.can_load) == ("stopped", "A file is cut. Download the model again.", True)


def test_a_name_stands_without_its_owner_who_is_told_beneath() -> None:
    found = row(info(parameters=20_900_000_000, revisions=("a", "b"), last_used_at=NOW - DAY))
    assert (found.name, found.about) == ("Qwen-4bit", "org · qwen3 · 20.9B parameters · 2 revisions")
    assert (found.bits, found.context, found.used, found.title) == ("4", "32k", "1 day ago", "org/Qwen-4bit\n/hub/org/Qwen-4bit")
    assert parameters(600_000_000) == "600M parameters" and parameters(7) == "7 parameters"
    assert row(info(adapter="/a", base="org/Base")).kind == "LoRA adapter"


@pytest.mark.parametrize(
    ("verdict", "text", "load"),
    [("fits", "fits", "Load"), ("tight", "shorter context", "Load"), ("too large", "will not fit", "Load anyway"), ("unknown", "", "Load")],
)
def test_memory_is_told_before_a_load_which_may_be_tried_all_the_same(verdict: str, text: str, load: str) -> None:
    found = row(needs={"org/Qwen-4bit": needs(verdict)})  # type: ignore[arg-type]
    assert (found.needs, found.fit_text, found.load_text) == ("2.7 GB", text, load)
    assert found.fit_title == "Weights 2.0 GB, 4,096 tokens 410 MB, room to work 300 MB; 3.0 GB are free"


def test_a_loaded_model_has_its_memory_already_and_a_refused_one_can_be_forced() -> None:
    awake = ModelState(id="org/Qwen-4bit", phase="awake")
    assert row(None, awake, needs={"org/Qwen-4bit": needs("too large")}).fit_text == ""
    assert row(refused=("org/Qwen-4bit",)).load_text == "Load anyway"
    assert (row().needs, row().fit_title) == ("—", "")


def test_a_column_that_is_sorted_by_says_how_and_turns_round() -> None:
    size = {head.name: head for head in headings(Filter(sort="size"))}["Size"]
    assert (size.order, size.reverse) == ("descending", True)
    name = {head.name: head for head in headings(Filter(sort="id", reverse=True))}["Name"]
    assert (name.order, name.reverse) == ("descending", False)
    assert [head.name for head in headings(Filter()) if head.order] == []


def test_what_is_no_model_is_listed_apart_with_what_it_is() -> None:
    found = others_of((holding("org/Qwen-4bit"), holding("org/T", 5, mlx=False), holding("datasets--x", 9, kind="dataset")), (info(),), NOW)
    assert [(each.id, each.kind, each.key) for each in found] == [
        ("datasets--x", "data set", "whole:datasets--x"),
        ("org/T", "other format", "whole:org/T"),
    ]
