"""Composes function tools of a verb and a noun, whatever they may be for, and what people say when they want them.

Owns those families (look up, find, do, set, pairs, none). A tool's noun may stand in its name, in its description, or in both: the model has to
read what is offered. Knows nothing about calls.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import Any

import values as v
import wordings
from noise import keep
from render import Tool

_W = wordings.load("offered")
FAMILIES = {"LOOK": 34, "FIND": 18, "DO": 34, "SET": 6, "PAIR": 6, "NONE": 2}
ARGUMENTS: dict[str, tuple[str, ...]] = {"NONE": (), "SET": ("integer",), "PAIR": ("string", "string")}
"""The types of a family's arguments; every other family takes one text."""
_KEYS = wordings.load("keys")


@dataclass(frozen=True)
class Offer(Tool):
    """A composed tool that remembers its family, its words and its keys."""

    family: str = ""
    verb: str = ""
    noun: str = ""
    keys: tuple[str, ...] = ()


def _noun(r: random.Random) -> str:
    p = r.random()
    if p < 0.72:
        return r.choice(v.THINGS)
    return r.choice(v.TOPICS).removeprefix("the ") if p < 0.82 else v.word(r, 1, 2)


def _key(r: random.Random, kind: str) -> str:
    p = r.random()
    if p < 0.2:
        return v.word(r, 1, 2)
    if p < 0.3:
        return r.choice(v.THINGS).replace(" ", "_")
    return r.choice(_KEYS["TEXT" if kind == "string" else "NUMBER"])


def _name(r: random.Random, verb: str, noun: str) -> str:
    noun = noun.replace(" ", "_").replace("-", "_")
    p = r.random()
    if p < 0.62:
        return f"{verb}_{noun}"
    if p < 0.72:
        return f"{verb}_{v.plural(noun)}"
    if p < 0.82:
        return f"{verb}_{noun}_{r.choice(v.THINGS).replace(' ', '_').replace('-', '_')}"
    if p < 0.9:
        head, *rest = f"{verb}_{noun}".split("_")
        return head + "".join(x.capitalize() for x in rest)
    return f"{noun}_{verb}"


def _filled(text: str, verb: str, noun: str) -> str:
    many = v.plural(noun)
    said = {"k": noun, "ks": many, "d": verb, "K": noun.capitalize(), "KS": many.capitalize(), "D": verb.capitalize()}
    for key, value in said.items():
        text = text.replace(f"{{{key}}}", value)
    return re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)


def _property(r: random.Random, key: str, kind: str, noun: str) -> dict[str, Any]:
    about = [f"The {key}", f"Which {noun}", f"e.g. {v.name(r)}", f"{noun} or {v.any_word(r)}"]
    return {"type": kind, "description": r.choice(about)} if r.random() < 0.3 else {"type": kind}


def _properties(r: random.Random, family: str, noun: str) -> dict[str, dict[str, Any]]:
    """The arguments of a family, each under a name of its author's."""
    out: dict[str, dict[str, Any]] = {}
    for kind in ARGUMENTS.get(family, ("string",)):
        key = _key(r, kind)
        while key in out:
            key = _key(r, kind)
        out[key] = _property(r, key, kind, noun)
    return out


def offer(r: random.Random) -> Offer:
    """A tool nobody has seen, with a noun that names what it is for."""
    family = r.choices(list(FAMILIES), list(FAMILIES.values()))[0]
    verb, noun = r.choice(_W[f"{family} verbs"]), _noun(r)
    spoken = verb.replace("_", " ")
    properties = _properties(r, family, noun)
    name, about = _name(r, verb, noun), _filled(r.choice(_W[f"{family} about"]), spoken, noun)
    if r.random() < 0.12 and noun in about.lower():
        name = v.word(r, 2, 3)
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return Offer(name, about, schema, family, spoken, noun, tuple(properties))


def wish(r: random.Random, tool: Offer) -> tuple[str, dict[str, object]]:
    """What somebody says who wants this tool, and the call's arguments."""
    draw = [v.place, v.name, v.any_word, lambda x: v.phrase(x, 2, 2), v.code]
    first, second = (r.choices(draw, [4, 4, 5, 1, 1])[0](r) for _ in range(2))
    number = v.number(r, 3)
    text = _filled(r.choice(_W[f"{tool.family} asks"]), tool.verb, tool.noun)
    text = text.replace("{v}", keep(first)).replace("{w}", keep(second)).replace("{i}", keep(number))
    if r.random() < 0.12:
        text = r.choice(_W["BEFORE"]) + text
    given: list[object] = [number] if tool.family == "SET" else [first, second]
    return text, dict(zip(tool.keys, given, strict=False))
