"""The knowledge base: reads facts.txt and composes questions with their answers.

Owns aspects, question frames and the hold-out of combinations. `held_out=True` yields only combinations
the generator never emits.
"""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from noise import keep

ASPECTS = {
    "what": [
        "what is {s}?", "what's {s}?", "what does {s} do?", "explain {s}", "tell me about {s}", "what is {s} for?", "describe {s}", "what does {s} mean?", "what do i use {s} for?", "{s}?", "{s}",
        "can you explain {s}?", "i don't understand {s}", "i do not know what {s} is", "help me with {s}", "what's the meaning of {s}?", "what's the point of {s}?", "define {s}", "what happens with {s}?",
        "could you tell me what {s} does?", "please explain what {s} is", "i wonder what {s} is", "info about {s}", "what can i do with {s}?", "what about {s}?", "meaning of {s}", "purpose of {s}",
        "what do you know about {s}?", "in a few words, what is {s}?", "explain to me what {s} does", "i see {s}, what is that?", "what effect does {s} have?", "how does {s} work?", "what should i know about {s}?",
        "i have a question about {s}", "give me a short explanation of {s}", "what is meant by {s}?", "do you know {s}?", "and {s}, what does it do?", "what role does {s} play?", "what would {s} change?",
    ],
    "range": [
        "what is the range of {s}?", "which values can {s} have?", "what values are allowed for {s}?", "how high can {s} go?", "minimum and maximum of {s}", "what is the maximum of {s}?", "what is the minimum of {s}?",
        "limits of {s}", "range of {s}?", "{s} range", "possible values of {s}", "from where to where does {s} go?", "what can i set {s} to?", "what are the bounds of {s}?", "which numbers are valid for {s}?",
        "allowed values for {s}?", "how low can i set {s}?", "what is the highest {s}?", "max {s}?", "{s} min and max", "valid settings for {s}", "which options are there for {s}?", "how far can i turn up {s}?",
        "tell me the range of {s}", "what values does {s} accept?",
    ],
    "default": [
        "what is the default of {s}?", "default value of {s}?", "what is {s} by default?", "{s} default", "what is the standard value of {s}?", "what is {s} set to at first?", "what is {s} if i change nothing?",
        "which value does {s} have at the start?", "the normal value of {s}?", "factory setting of {s}?", "what is the initial value of {s}?", "what does {s} start at?", "preset value of {s}", "is {s} on by default?",
        "tell me the default for {s}", "usual setting for {s}?", "what's the out of the box value of {s}?", "and by default, {s} is?", "how is {s} set normally?",
    ],
    "where": [
        "where is {s}?", "where do i find {s}?", "where can i find {s}?", "i cannot find {s}", "location of {s}", "in which tab is {s}?", "where do i change {s}?", "where can i see {s}?", "how do i get to {s}?",
        "which panel has {s}?", "show me where {s} is", "where did you hide {s}?", "where on the page is {s}?", "where are you keeping {s}?", "i'm looking for {s}", "can't see {s}, where is it?", "on which side is {s}?",
        "where should i look for {s}?", "where's {s}?", "point me to {s}",
    ],
    "how": [
        "how do i use {s}?", "how can i use {s}?", "how to use {s}?", "how do i get {s}?", "how do i do {s}?", "how do i turn on {s}?", "how do i set {s}?", "steps for {s}", "what do i have to do for {s}?",
        "how do you use {s}?", "show me how to use {s}", "i want to use {s}", "i would like {s}, how?", "what must i click for {s}?", "how can i switch on {s}?", "tell me how to use {s}", "how should i use {s}?",
        "instructions for {s}", "how do i enable {s}?", "how do i activate {s}?",
    ],
    "why": ["why {s}?", "why do you have {s}?", "why is there {s}?", "why should i use {s}?", "why would i want {s}?", "what is the reason for {s}?", "what good is {s}?", "what's the benefit of {s}?", "why do i need {s}?", "is {s} useful?"],
    "everything": [
        "tell me everything about {s}", "explain {s} in detail", "describe {s} in full", "give me a long explanation of {s}", "what is all in {s}?", "walk me through {s}", "tell me all about {s}",
        "a full tour of {s}", "explain {s} at length", "everything about {s} please",
    ],
}
PLAIN = [
    "{q}", "{q}", "{q}", "{q}", "can you tell me: {q}", "i want to know: {q}", "question: {q}", "help: {q}", "{q} in mlx harmony", "{q} here", "my question is: {q}", "i need help: {q}", "{q} in this app",
    "one more thing: {q}", "sorry, {q}", "i was wondering: {q}", "maybe you know: {q}", "another question, {q}", "first, {q}",
]
FALLBACK = {"why": "what", "how": "what", "where": "what", "everything": "what"}
HELD_OUT_PERCENT = 8


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
    return tuple(out)


def is_held_out(*parts: str) -> bool:
    """A fixed share of all combinations is never emitted for training."""
    return zlib.crc32("|".join(parts).encode()) % 100 < HELD_OUT_PERCENT


def _aspect_question(r: random.Random, subject: Subject) -> tuple[Question, tuple[str, str]]:
    weights = {"what": 3.0, "range": 1.5, "default": 1.5, "everything": 0.5}
    have = list(subject.aspects)
    aspect = r.choices(have, [weights.get(a, 1.0) for a in have])[0]
    name, frame = r.choice(subject.names), r.choice(ASPECTS[aspect])
    return Question(frame.format(s=_exact(name)), subject.names[0], aspect, subject.aspects[aspect]), (name, frame)


def _exact(name: str) -> str:
    """Commands and flags keep their spelling; plain words may be mistyped."""
    return keep(name) if any(c in name for c in "\\/-_") else name


def _free_question(r: random.Random, subject: Subject) -> tuple[Question, tuple[str, str]]:
    questions, answer = r.choice(subject.free)
    q, frame = r.choice(questions), r.choice(PLAIN)
    return Question(frame.format(q=q), subject.names[0], "how", answer), (q, frame)


def draw(r: random.Random, held_out: bool = False) -> Question:
    """A question about the app; with `held_out`, one whose combination training never sees."""
    while True:
        subject = r.choice(subjects())
        free = subject.free and (not subject.aspects or r.random() < min(0.7, 0.3 + 0.1 * len(subject.free)))
        question, parts = (_free_question if free else _aspect_question)(r, subject)
        if parts[1] == "{q}" and held_out:
            continue
        if parts[1] == "{q}" or is_held_out(*parts) == held_out:
            return question
