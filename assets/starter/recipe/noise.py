"""Makes user wording human: casing, missing punctuation, typos, politeness, stray emoji.

Values that must stay exact are wrapped with `keep`; noise never touches them.
"""

from __future__ import annotations

import random
import re

from values import EMOJI

_OPEN, _CLOSE = "\x01", "\x02"
_KEPT = re.compile(f"({_OPEN}[^{_CLOSE}]*{_CLOSE})")
LEAD = ["hey, ", "hi, ", "please ", "ok, ", "so ", "um, ", "hello! ", "quick question: ", "and ", "now ", "well, ", "tell me, ", "alright, "]
TAIL = [" please", " pls", " thanks", " thank you", " :)", " now", ", ok?", " quickly", ", please", " if you can", "!!", " ..."]


def keep(value: object) -> str:
    """Marks a value as exact."""
    return f"{_OPEN}{value}{_CLOSE}"


def strip(text: str) -> str:
    """Removes the marks."""
    return text.replace(_OPEN, "").replace(_CLOSE, "")


def typo(r: random.Random, text: str) -> str:
    """One slip of the fingers in one word of four letters or more."""
    words = text.split(" ")
    spots = [i for i, w in enumerate(words) if len(w) > 3 and w.isalpha()]
    if not spots:
        return text
    i = r.choice(spots)
    w = words[i]
    k = r.randrange(1, len(w) - 1)
    slips = (w[:k] + w[k + 1] + w[k] + w[k + 2 :], w[:k] + w[k + 1 :], w[:k] + w[k] + w[k:], w[:k] + r.choice("abcdefghijklmnopqrstuvwxyz") + w[k + 1 :])
    words[i] = r.choice(slips)
    return " ".join(words)


def _each(text: str, change: object) -> str:
    parts = _KEPT.split(text)
    return "".join(p if p.startswith(_OPEN) else change(p) for p in parts)  # type: ignore[operator]


def human(r: random.Random, text: str, strong: float = 1.0) -> str:
    """The text as somebody might type it; `strong` scales how often anything changes."""
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
