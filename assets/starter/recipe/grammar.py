"""Expands wordings with parts: `<NAME>` in a line stands for any line of the section NAME, and so on downwards.

Owns that expansion. Knows nothing about what is said.
"""

from __future__ import annotations

import random
import re

import wordings

_PART = re.compile(r"<([A-Z_]+)>")
_DEPTH = 8


def expand(r: random.Random, stem: str, section: str) -> str:
    """One line of a section of `wordings/<stem>.txt`, its parts filled in; `{...}` stays for the caller."""
    parts = wordings.load(stem)
    text = r.choice(parts[section])
    for _ in range(_DEPTH):
        if "<" not in text:
            break
        text = _PART.sub(lambda m: r.choice(parts[m[1]]), text)
    return text
