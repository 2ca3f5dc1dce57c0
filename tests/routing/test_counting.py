"""A request's length in tokens for the rules that ask for it: whose tokens count, and when nobody needs to be asked."""

import pytest

from mlx_harmony.records import ChatPrompt, GenerationRequest, Message, Prompt, TextPrompt, TokenPrompt
from mlx_harmony.routing.choosing import Rotation, steps
from mlx_harmony.routing.counting import measured
from mlx_harmony.routing.records import Alias, Rule

LONG = Rule(model="long", min_tokens=10)
SHORT = Rule(model="short", max_tokens=3)


class Counting:
    """Counts words, and remembers whom it counted for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, model: str, text: str) -> int | None:
        self.asked.append(model)
        return len(text.split()) if model != "mute" else None


async def first(rules: tuple[Rule, ...], prompt: Prompt | str, *others: Alias) -> tuple[str, list[str]]:
    """Who would answer, and for whom the tokens were counted."""
    count = Counting()
    asked = GenerationRequest(id="1", prompt=TextPrompt(text=prompt) if isinstance(prompt, str) else prompt)
    aliases = {alias.name: alias for alias in (Alias(name="x", models=("usual",), rules=rules), *others)}
    found = await measured("x", aliases, asked, count)
    return next(steps("x", aliases, found, Rotation().take)).model, count.asked


@pytest.mark.parametrize(
    ("text", "model", "counted"),
    [
        ("one two three four five six seven eight nine ten", "long", ["long", "short"]),
        ("one two three four five six seven eight nine", "usual", ["long", "short"]),
        ("extraordinarily long", "short", ["long", "short"]),
        ("a b c d e", "usual", ["short"]),
        ("a b", "short", []),
    ],
)
async def test_tokens_are_counted_only_where_the_bytes_do_not_tell_already(text: str, model: str, counted: list[str]) -> None:
    found, asked = await first((LONG, SHORT), text)
    # "a b" has three bytes: at most three tokens, whoever cuts them.
    assert (found, asked) == (model, counted)


async def test_a_rule_counts_in_its_own_model_s_tokens_and_an_alias_in_those_of_its_first() -> None:
    inner = Alias(name="inner", models=("a", "b"))
    assert await first((Rule(model="inner", min_tokens=2),), "word after word", inner) == ("a", ["a"])
    nested = Alias(name="inner", models=("a",), rules=(LONG,))
    model, counted = await first((Rule(model="inner", tools=False),), "one two three four five six seven eight nine ten", nested)
    assert (model, counted) == ("long", ["long"])


async def test_where_nobody_can_count_a_token_is_taken_for_four_bytes() -> None:
    rules = (Rule(model="mute", min_tokens=5),)
    assert (await first(rules, "x" * 16))[0] == "usual" and (await first(rules, "x" * 17))[0] == "mute"


async def test_all_messages_count_and_token_ids_count_themselves() -> None:
    messages = (Message(role="developer", content="x" * 9), Message(role="user", content="x" * 10))
    assert (await first((Rule(model="mute", min_tokens=5),), ChatPrompt(messages=messages)))[0] == "mute"
    assert await first((LONG,), TokenPrompt(tokens=(7,) * 10)) == ("long", [])
    assert await first((LONG,), TokenPrompt(tokens=(7,) * 9)) == ("usual", [])
    assert await first((Rule(model="a", tools=True),), "x" * 99) == ("usual", [])
