"""Sums told as little stories, composed of parts, and the other things that can be asked of a calculator.

Owns which story stands for which operator, and the formulas. Values come from the caller.
"""

from __future__ import annotations

import random

import grammar
import values as v
import wordings
from noise import keep

SECTIONS = {"+": "PLUS", "-": "MINUS", "*": "TIMES", "/": "OVER"}
OTHER = wordings.grouped("sums", "OTHER")
FORMULAS = {
    "percent": "{a} * {n}0 / 100",
    "square": "{a} ** 2",
    "power": "{a} ** {n}",
    "root": "{a} ** 0.5",
    "average": "({a} + {b}) / 2",
    "rest": "{a} % {b}",
    "half": "{a} / 2",
    "double": "{a} * 2",
    "triple": "{a} * 3",
}


def _name(r: random.Random) -> str:
    return r.choice(v.NAMES) if r.random() < 0.6 else v.name(r)


def tell(r: random.Random, op: str, a: int, b: int) -> str:
    """A little story whose sum is `a op b`."""
    text = grammar.expand(r, "stories", SECTIONS[op])
    things = [v.plural(v.any_word(r)) if r.random() < 0.3 else v.plural(r.choice(v.THINGS)) for _ in range(2)]
    fields = {"x": things[0], "y": things[1], "x1": r.choice(v.THINGS), "j": r.choice(v.ADJECTIVES), "n": _name(r), "m": _name(r)}
    return " ".join(text.format(a=keep(a), b=keep(b), **fields).split())
