"""Composed function tools: a name a model may call, and a wish that holds every value of the call."""

from __future__ import annotations

import random
import re

import skills_offered
from dialogue import compose
from noise import strip

TOOLS = [skills_offered.offer(random.Random(seed)) for seed in range(400)]


def test_names_may_be_called() -> None:
    assert all(re.fullmatch(r"[\w]{1,64}", tool.name) for tool in TOOLS)


def test_what_it_is_for_stands_in_the_name_or_beside_it() -> None:
    said = [(tool.noun, f"{tool.name} {tool.description}".lower().replace("_", " ")) for tool in TOOLS]
    assert all(noun.lower() in text or noun.lower().replace("-", " ") in text or noun.lower().rstrip("y") in text for noun, text in said)


def test_a_wish_holds_the_values_and_fills_every_key() -> None:
    r = random.Random(1)
    for tool in TOOLS:
        text, given = skills_offered.wish(r, tool)
        assert list(given) == (tool.parameters or {})["required"]
        assert "{" not in text
        assert all(str(value) in strip(text) for value in given.values())


def test_every_family_is_drawn() -> None:
    assert {tool.family for tool in TOOLS} == set(skills_offered.FAMILIES)


def test_dialogues_call_them() -> None:
    r = random.Random(2)
    called = set()
    for _ in range(1500):
        dialogue = compose(r)
        names = {f"functions.{tool.name}" for tool in dialogue.settings.functions if isinstance(tool, skills_offered.Offer)}
        called |= {m.recipient for turn in dialogue.turns for m in turn if m.role == "assistant"} & names
    assert len(called) > 20
