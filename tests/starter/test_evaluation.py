"""The rows with a goal ask what they asked when the weights shipped; every check tells right from wrong."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

import eval_frozen
import eval_prompts
import evaluate
from eval_checks import Item
from render import Dialogue, Message, Settings, render


def _asked(item: Item) -> list[Any]:
    """What the model is given, without how it would be learnt, and what is looked for."""
    given = [(s.text, s.special) for s in render(item.dialogue, learn_last=False)]
    return [given, item.kind, item.texts, item.max_tokens]


def test_a_written_prompt_is_read_back_as_it_was() -> None:
    r = random.Random(12)
    drawn = [
        *eval_prompts.mixed(r, 60),
        *eval_prompts.recall(r, 10),
        *eval_prompts.calls(r, 10, patch=True),
        *eval_prompts.python_calls(r, 10),
    ]
    read = [eval_frozen._read(json.loads(eval_frozen._written(item))) for item in drawn]
    assert [_asked(item) for item in read] == [_asked(item) for item in drawn]


def test_every_row_with_a_goal_is_frozen_and_whole() -> None:
    frozen, asked = eval_frozen.load(), evaluate.asked()
    counts = {name: len(asked[name]) for name in evaluate.GOALS if name != evaluate.FREE}
    assert list(counts.values()) == [200, 200, 150, 150, 150, 150]
    assert all(asked[name] == frozen[name] for name in counts)


def test_the_frozen_rows_hold_the_words_of_the_shipped_training() -> None:
    first = eval_frozen.load()[eval_prompts.FORMED][0].dialogue
    assert first.turns[-1][0].text.endswith("My budget goes by 109")


def test_rows_of_the_wider_generator_have_no_goal() -> None:
    wider = eval_prompts.wider(random.Random(evaluate.SEED))
    assert f"wider generator: {eval_prompts.FORMED}" in wider
    assert not set(wider) & set(evaluate.GOALS)
    assert list(evaluate.asked())[-len(wider) :] == list(wider)


FINAL = "<|channel|>final<|message|>{}<|return|>"
CALL = "<|channel|>analysis<|message|>A sum.<|end|><|start|>assistant to=python<|channel|>analysis code<|message|>{}<|call|>"


@pytest.mark.parametrize(
    ("kind", "texts", "right", "wrong"),
    [
        ("formed", (), FINAL.format("Hello"), FINAL.format("Hello") + "more"),
        ("formed", (), CALL.format("print(2 + 3)"), CALL.format("print(2 + 3)").replace("python", "shell")),
        ("python", ("print(2 + 3)", "print(3 + 2)"), CALL.format("print(3 + 2)"), CALL.format("print(3 - 2)")),
        ("number", ("45",), FINAL.format("It is 45."), FINAL.format("It is 451.")),
        ("equals", ("a, b",), FINAL.format("a, b"), FINAL.format("a, b, c")),
        ("holds", ("beyond me", "cannot"), FINAL.format("I cannot do it."), FINAL.format("Beyond")),
        ("mentions", ("esc",), FINAL.format("Press Esc."), FINAL.format("Press it.")),
        ("ends", ('{"x": "y"}<|call|>',), 'any{"x": "y"}<|call|>', '{"x": "y"}<|end|>'),
    ],
)
def test_a_check_tells_right_from_wrong(kind: str, texts: tuple[str, ...], right: str, wrong: str) -> None:
    item = Item(Dialogue(Settings(python=True), [[Message("user", "hello")]]), kind, texts)
    assert item.passes(right)
    assert not item.passes(wrong)


def test_an_unknown_check_is_refused() -> None:
    with pytest.raises(ValueError, match="guess"):
        Item(Dialogue(Settings()), "guess").passes("")
