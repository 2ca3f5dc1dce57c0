"""The knowledge base: reads facts.txt and composes questions with their answers.

Owns aspects, question frames and the hold-out of combinations. `held_out=True` yields only combinations
the generator never emits.
"""

from __future__ import annotations

import random
import re
import zlib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import wordings
from noise import keep, titled

_W = wordings.load("app_facts")

ASPECTS = wordings.grouped("app_facts", "ASPECTS")
PLAIN = _W["PLAIN"]
FALLBACK = {"why": "what", "how": "what", "where": "what", "everything": "what"}
HELD_OUT_PERCENT = 8
TITLED = 0.4
"""How often a name is written with the capitals it has on the page."""


@dataclass
class Subject:
    """Names, an answer per aspect, and free questions with their answers."""

    names: list[str]
    aspects: dict[str, str] = field(default_factory=dict)
    free: list[tuple[list[str], str]] = field(default_factory=list)


@dataclass(frozen=True)
class Question:
    """A composed question, its topic and aspect in words, and its answer."""

    text: str
    topic: str
    aspect: str
    answer: str


@cache
def subjects() -> tuple[Subject, ...]:
    """Every block of facts.txt."""
    out: list[Subject] = []
    pending: list[str] = []
    for line in Path(__file__).with_name("facts.txt").read_text(encoding="utf-8").splitlines():
        head, _, rest = line.partition(" ")
        if line.startswith("@ "):
            out.append(Subject([n.strip() for n in rest.split("|")]))
        elif line.startswith("? "):
            pending += [q.strip() for q in rest.split(" ; ")]
        elif line.startswith("= "):
            out[-1].free.append((pending, rest.strip()))
            pending = []
        elif head.rstrip(":") in ASPECTS:
            out[-1].aspects[head.rstrip(":")] = rest.strip()
    _more({s.names[0]: s for s in out})
    return tuple(out)


def _more(by_name: dict[str, Subject]) -> None:
    """Adds the wordings of facts_more.txt to their answers."""
    subject, pending = Subject([]), [""]
    for line in Path(__file__).with_name("facts_more.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("@ "):
            subject = by_name[line[2:].strip()]
        elif line.startswith("? "):
            pending = [q.strip() for q in line[2:].split(" ; ")]
        elif line.startswith("> = "):
            entry = next(f for f in subject.free if f[1].startswith(line[4:].strip()))
            entry[0].extend(pending)
        elif line.startswith("> "):
            subject.free.append((pending, subject.aspects[line[2:].strip()]))


def is_held_out(*parts: str) -> bool:
    """A fixed share of all combinations is never emitted for training."""
    return zlib.crc32("|".join(parts).encode()) % 100 < HELD_OUT_PERCENT


def _aspect_question(r: random.Random, subject: Subject) -> tuple[Question, tuple[str, str]]:
    weights = {"what": 3.0, "range": 1.5, "default": 1.5, "everything": 0.5}
    have = list(subject.aspects)
    aspect = r.choices(have, [weights.get(a, 1.0) for a in have])[0]
    name, frame = r.choice(subject.names), r.choice(ASPECTS[aspect])
    return Question(frame.format(s=_exact(r, name)), subject.names[0], aspect, subject.aspects[aspect]), (name, frame)


def _exact(r: random.Random, name: str) -> str:
    """Commands and flags keep their spelling; plain words may now and then be mistyped, or have capitals as on the page."""
    if not name.replace(" ", "").isalpha():
        return keep(name)
    if r.random() < 0.15:
        return name
    return keep(titled(r, name) if r.random() < TITLED else name)


@cache
def _places() -> re.Pattern[str]:
    """The tabs and panels, where a free question names them."""
    places = [s.names[0] for s in subjects() if s.names[0].endswith((" tab", " panel"))]
    return re.compile(rf"\b(?:{'|'.join(places)})\b")


def _free_question(r: random.Random, subject: Subject) -> tuple[Question, tuple[str, str]]:
    questions, answer = r.choices(subject.free, [len(q) for q, _ in subject.free])[0]
    q, frame = r.choice(questions), r.choice(PLAIN)
    shown = _places().sub(lambda m: keep(titled(r, m[0])), q) if r.random() < TITLED else q
    return Question(frame.format(q=shown), subject.names[0], "how", answer), (q, frame)


@cache
def _weights() -> tuple[float, ...]:
    """Subjects with many wordings are asked more often."""
    return tuple(2 + len(s.aspects) + sum(len(q) for q, _ in s.free) / 4 for s in subjects())


def draw(r: random.Random, held_out: bool = False) -> Question:
    """A question about the app; with `held_out`, one whose combination training never sees."""
    while True:
        subject = r.choices(subjects(), _weights())[0]
        free = subject.free and (not subject.aspects or r.random() < min(0.75, 0.3 + 0.04 * sum(len(q) for q, _ in subject.free)))
        question, parts = (_free_question if free else _aspect_question)(r, subject)
        if parts[1] == "{q}" and held_out:
            continue
        if parts[1] == "{q}" or is_held_out(*parts) == held_out:
            return question
