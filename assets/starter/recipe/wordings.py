"""Reads the wordings that the skills draw from: wordings/*.txt, sections of one wording a line.

Owns that little format. `\\n` in a line stands for a line break, `\\\\` for a backslash, (nothing) for the empty wording.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).with_name("wordings")


def _plain(line: str) -> str:
    if line == "(nothing)":
        return ""
    return re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], line)


@cache
def load(stem: str) -> dict[str, list[str]]:
    """Every section of a file, by its name."""
    out: dict[str, list[str]] = {}
    section: list[str] = []
    for line in (FOLDER / f"{stem}.txt").read_text(encoding="utf-8").split("\n")[1:]:
        if line.startswith("[") and line.endswith("]"):
            section = out.setdefault(line[1:-1], [])
        elif line:
            section.append(_plain(line))
    return out


def grouped(stem: str, name: str) -> dict[str, list[str]]:
    """The sections `name key` of a file, by key."""
    head = name + " "
    return {k.removeprefix(head): w for k, w in load(stem).items() if k.startswith(head)}
