"""Makes user wording human: casing, missing punctuation, typos, politeness, stray emoji.

Values that must stay exact are wrapped with `keep`; noise never touches them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import wordings
from values import EMOJI

_W = wordings.load("noise")

_OPEN, _CLOSE = "\x01", "\x02"
_KEPT = re.compile(f"({_OPEN}[^{_CLOSE}]*{_CLOSE})")
LEAD = _W["LEAD"]
TAIL = [" please", " pls", " thanks", " thank you", " :)", " now", ", ok?", " quickly", ", please", " if you can", "!!", " ..."]


def keep(value: object) -> str:
    """Marks a value as exact."""
    return f"{_OPEN}{value}{_CLOSE}"


def strip(text: str) -> str:
    """Removes the marks."""
    return text.replace(_OPEN, "").replace(_CLOSE, "")


def titled(r: random.Random, name: str) -> str:
    """A name with capitals: "the models tab" may become "the Models tab", as on the page, "the Models Tab" or "the MODELS TAB"."""
    words = name.split(" ")
    first = 1 if words[0] in ("the", "a", "my") and len(words) > 1 else 0
    p = r.random()
    if p < 0.7:
        shown = [words[first].capitalize(), *words[first + 1 :]]
    else:
        shown = [w.capitalize() if p < 0.95 else w.upper() for w in words[first:]]
    return " ".join(words[:first] + shown)


def typo(r: random.Random, text: str) -> str:
    """One slip of the fingers in one word of four letters or more."""
    words = text.split(" ")
    spots = [i for i, w in enumerate(words) if len(w) > 3 and w.isalpha()]
    if not spots:
        return text
    i = r.choice(spots)
    w = words[i]
    k = r.randrange(1, len(w) - 1)
    slips = (
        w[:k] + w[k + 1] + w[k] + w[k + 2 :],
        w[:k] + w[k + 1 :],
        w[:k] + w[k] + w[k:],
        w[:k] + r.choice("abcdefghijklmnopqrstuvwxyz") + w[k + 1 :],
    )
    words[i] = r.choice(slips)
    return " ".join(words)


def _each(text: str, change: Callable[[str], str]) -> str:
    parts = _KEPT.split(text)
    return "".join(p if p.startswith(_OPEN) else change(p) for p in parts)


def human(r: random.Random, text: str, strong: float = 1.0) -> str:
    """The text as somebody might type it; `strong` scales how often anything changes."""
    if r.random() < 0.6 * strong:
        text = vary(r, text, r.choice((0.15, 0.35, 0.6)))
    if r.random() < 0.12 * strong:
        text = r.choice(LEAD) + text
    if r.random() < 0.1 * strong and not text.endswith(_CLOSE):
        text = text.rstrip("?.! ") + r.choice(TAIL) + ("?" if text.endswith("?") and r.random() < 0.5 else "")
    if r.random() < 0.35 * strong:
        text = _each(text, str.lower)
    elif text[:1].isalpha():
        text = text[0].upper() + text[1:]
    if r.random() < 0.4 * strong and not text.endswith(_CLOSE):
        text = text.rstrip("?.!")
    if r.random() < 0.15 * strong:
        text = _each(text, lambda p: typo(r, p))
    if r.random() < 0.03 * strong:
        text = _each(text, str.upper)
    if r.random() < 0.03 * strong:
        text += " " + r.choice(EMOJI)
    if r.random() < 0.02 * strong:
        text = " " + text + r.choice([" ", "\n"])
    return strip(text)


@cache
def synonyms() -> dict[str, tuple[str, ...]]:
    """What may stand for a word or phrase; a word of several groups belongs to all of them."""
    out: dict[str, set[str]] = {}
    for line in Path(__file__).with_name("synonyms.txt").read_text(encoding="utf-8").splitlines():
        group = [g.strip() for g in line.split("|")]
        if line.startswith("#") or len(group) < 2:
            continue
        out.setdefault(group[0], set()).update(group[1:])
    return {k: tuple(sorted(v)) for k, v in out.items()}


@cache
def _pattern() -> re.Pattern[str]:
    longest = sorted(synonyms(), key=len, reverse=True)
    return re.compile(r"(?<![\w'])(" + "|".join(map(re.escape, longest)) + r")(?![\w'])", re.I)


def vary(r: random.Random, text: str, rate: float) -> str:
    """Each word or phrase that has synonyms is replaced with probability `rate`."""

    def other(m: re.Match[str]) -> str:
        return r.choice(synonyms()[m[0].lower()]) if r.random() < rate else m[0]

    return _each(text, lambda p: _pattern().sub(other, p))
