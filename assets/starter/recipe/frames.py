"""Wordings composed from parts: telling, asking, and sums told as little stories.

Owns the parts and how they join. Values and slots come in as `{s}`, `{v}`, `{a}`, `{b}`, `{x}`.
"""

from __future__ import annotations

import random

import wordings

_W = wordings.load("frames")

TELL_PRE = _W["TELL_PRE"]
TELL_CORE = _W["TELL_CORE"]
TELL_POST = _W["TELL_POST"]
NAME_PRE = _W["NAME_PRE"]
NAME_CORE = _W["NAME_CORE"]
ASK_PRE = _W["ASK_PRE"]
ASK_CORE = _W["ASK_CORE"]
ASK_POST = _W["ASK_POST"]
JUMBLE = _W["JUMBLE"]

STORY = wordings.grouped("frames", "STORY")


def tell(r: random.Random, name: bool) -> str:
    """A way of telling, with {s} and {v}."""
    if name:
        return r.choice(NAME_PRE) + r.choice(NAME_CORE) + (r.choice(TELL_POST) if r.random() < 0.25 else "")
    return r.choice(TELL_PRE) + r.choice(TELL_CORE) + r.choice(TELL_POST)


def ask(r: random.Random) -> str:
    """A way of asking, with {s}; sometimes only loose words about it."""
    if r.random() < 0.15:
        before, after = r.randint(0, 6), r.randint(0, 4)
        words = [*(r.choice(JUMBLE) for _ in range(before)), "my", "{s}", *(r.choice(JUMBLE) for _ in range(after))]
        return " ".join(words) + r.choice(["?", "?", ""])
    return r.choice(ASK_PRE) + r.choice(ASK_CORE) + r.choice(ASK_POST)


def story(r: random.Random, op: str, thing: str) -> str:
    """A sum in words, with {a} and {b}."""
    return r.choice(STORY[op]).replace("{x}", thing)
