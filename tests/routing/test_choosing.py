"""Who answers for an alias: in turns, by rules, in order; each model once."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from mlx_harmony.records import ChatPrompt, GenerationRequest, Message, Tool
from mlx_harmony.routing.choosing import Rotation, because, holds, steps
from mlx_harmony.routing.records import Alias, Asked, Rule

PLAIN = Asked(characters=10)


def models(name: str, aliases: list[Alias], asked: Asked = PLAIN, rotation: Rotation | None = None) -> list[str]:
    known = {alias.name: alias for alias in aliases}
    return [step.model for step in steps(name, known, asked, (rotation or Rotation()).take)]


def test_models_take_turns_and_stand_in_for_each_other() -> None:
    both, rotation = Alias(name="both", models=("a", "b", "c"), fallbacks=("last", "a")), Rotation()
    tried = [models("both", [both], rotation=rotation) for _ in range(4)]
    assert tried == [["a", "b", "c", "last"], ["b", "c", "a", "last"], ["c", "a", "b", "last"], ["a", "b", "c", "last"]]


def test_the_first_one_answers_where_they_stand_in_order() -> None:
    alias, rotation = Alias(name="x", models=("a", "b"), strategy="first"), Rotation()
    assert [models("x", [alias], rotation=rotation) for _ in range(2)] == [["a", "b"], ["a", "b"]]


def test_turns_are_fair_to_the_request_however_many_ask_at_once() -> None:
    rotation, alias = Rotation(), Alias(name="both", models=("a", "b"))
    with ThreadPoolExecutor(16) as threads:
        first = list(threads.map(lambda _at: models("both", [alias], rotation=rotation)[0], range(1000)))
    assert Counter(first) == {"a": 500, "b": 500}


def test_looking_takes_no_turn() -> None:
    rotation = Rotation()
    assert [rotation.look("x", 2), rotation.take("x", 2), rotation.look("x", 2), rotation.look("x", 2)] == [0, 0, 1, 1]
    # Fewer models than a moment ago: the place is still one of them.
    assert rotation.take("x", 1) == 0


RULES = (
    Rule(model="long", min_characters=100),
    Rule(model="caller", tools=True),
    Rule(model="thinker", effort="high", max_characters=50),
)


@pytest.mark.parametrize(
    ("asked", "first", "why"),
    [
        (Asked(characters=100, tools=True), "long", "the prompt has at least 100 characters"),
        (Asked(characters=99, tools=True), "caller", "tools are offered"),
        (Asked(characters=50, effort="high"), "thinker", "the prompt has at most 50 characters and the reasoning effort is high"),
        (Asked(characters=51, effort="high"), "usual", ""),
        (Asked(), "usual", ""),
    ],
)
def test_the_first_rule_that_holds_says_who_answers(asked: Asked, first: str, why: str) -> None:
    alias = Alias(name="smart", models=("usual",), rules=RULES, fallbacks=("last",))
    found = list(steps("smart", {"smart": alias}, asked, Rotation().take))
    assert (found[0].model, found[0].why) == (first, why)
    assert [step.model for step in found][-1] == "last" and len({step.model for step in found}) == len(found)


def test_a_rule_takes_nobody_s_turn() -> None:
    alias, rotation = Alias(name="x", models=("a", "b"), rules=(Rule(model="long", min_characters=100),)), Rotation()
    firsts = [next(steps("x", {"x": alias}, Asked(characters=size), rotation.take)).model for size in (1, 100, 1, 100, 1)]
    assert firsts == ["a", "long", "b", "long", "a"]


def test_an_alias_may_name_another_one() -> None:
    inner = Alias(name="inner", models=("a", "b"))
    outer = Alias(name="outer", models=("c",), rules=(Rule(model="inner", tools=True),), fallbacks=("inner",))
    rotation = Rotation()
    assert models("outer", [inner, outer], Asked(tools=True), rotation) == ["a", "b", "c"]
    assert models("outer", [inner, outer], Asked(tools=True), rotation) == ["b", "a", "c"]
    assert models("outer", [inner, outer], PLAIN, Rotation()) == ["c", "a", "b"]
    found = list(steps("outer", {"inner": inner, "outer": outer}, Asked(tools=True), Rotation().take))
    assert {step.why for step in found[:2]} == {"tools are offered"}


def test_what_rules_look_at_comes_from_the_request() -> None:
    messages = (Message(role="developer", content="Be brief."), Message(role="user", content="Hello"))
    prompt = ChatPrompt(messages=messages, tools=(Tool(kind="python"),), effort="high")
    assert Asked.of(GenerationRequest(id="1", prompt=prompt)) == Asked(characters=14, tools=True, effort="high")
    assert holds(Rule(model="a", tools=False), PLAIN) and because(Rule(model="a", tools=False)) == "no tools are offered"
