"""What the evaluation asks is never what the generator says."""

from __future__ import annotations

import random
import re
from itertools import chain
from pathlib import Path

import app_facts
import eval_prompts
import frames
import skills_calls
import skills_memory
import skills_offered
import skills_tools
import stories
from dialogue import compose
from noise import strip

RECIPE = Path(app_facts.__file__).parent


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9 ]", "", text.lower()).strip()


def _paraphrases() -> set[str]:
    lines = (RECIPE / "eval_paraphrases.txt").read_text(encoding="utf-8").splitlines()
    return {_plain(line.split(" | ")[0]) for line in lines if " | " in line and not line.startswith("#")}


def test_sixty_paraphrases_and_more() -> None:
    assert len(eval_prompts.paraphrases("test")) >= 60


def test_paraphrases_are_no_wording_of_the_facts() -> None:
    wordings = {_plain(q) for s in app_facts.subjects() for questions, _ in s.free for q in questions}
    assert not wordings & _paraphrases()


def test_paraphrases_are_no_composition_of_names_and_frames() -> None:
    composed = {
        _plain(frame.format(s=name))
        for s in app_facts.subjects()
        for name in s.names
        for aspect in s.aspects
        for frame in app_facts.ASPECTS[aspect]
    }
    assert not composed & _paraphrases()


def test_generator_never_emits_them() -> None:
    r = random.Random(8)
    said = {_plain(m.text) for _ in range(4000) for turn in compose(r).turns for m in turn if m.role == "user"}
    assert not said & _paraphrases()


def test_frames_of_the_evaluation_are_unseen() -> None:
    seen = set(
        chain(
            *frames.STORY.values(),
            *skills_tools.OPS.values(),
            skills_memory.TELL,
            skills_memory.ASK,
            skills_memory.NAME_TELL,
            skills_memory.NAME_ASK,
        )
    )
    seen |= {a + b + c for a in frames.ASK_PRE for b in frames.ASK_CORE for c in frames.ASK_POST}
    seen |= {a + b + c for a in frames.TELL_PRE for b in frames.TELL_CORE for c in frames.TELL_POST}
    seen |= {a + b for a in frames.NAME_PRE for b in frames.NAME_CORE}
    names = ("SUMS +", "SUMS -", "SUMS *", "TELL", "TELL_NAME", "ASK", "ASK_NAME")
    asked = {f for name in names for age in eval_prompts.LISTS for f in eval_prompts.unseen(name, age)}
    assert not {_plain(f) for f in seen} & {_plain(f) for f in asked}


def _shape(frame: str) -> re.Pattern[str]:
    """A wording with anything in the place of its values."""
    return re.compile(r"\w+".join(map(re.escape, re.split(r"\{\w+\}", frame.lower().strip("?. ")))))


def test_composed_stories_are_no_sums_of_the_evaluation() -> None:
    r = random.Random(10)
    told = [stories.tell(r, op, 17, 5).translate({1: None, 2: None}).lower() for op in "+-*/" for _ in range(800)]
    asked = [_shape(f) for op in "+-*" for age in eval_prompts.LISTS for f in eval_prompts.unseen(f"SUMS {op}", age)]
    assert not [t for t in told for a in asked if a.search(t)]


def test_everyday_tools_of_the_evaluation_are_unseen() -> None:
    names = {line.split(" | ")[0] for line in eval_prompts.unseen("FUNCTIONS")}
    assert not names & {n.name for n in skills_calls.naturals()}
    assert not set(eval_prompts.unseen("PATCH_WORDS")) & set(skills_calls.EVERYDAY)


def test_composed_tools_are_none_of_the_evaluation() -> None:
    r = random.Random(11)
    asked = [line.split(" | ") for line in eval_prompts.unseen("FUNCTIONS")]
    tools = [skills_offered.offer(r) for _ in range(20_000)]
    wishes = [strip(skills_offered.wish(r, tool)[0]).lower() for tool in tools]
    assert not {name for name, _, _ in asked} & {tool.name for tool in tools}
    assert not [w for w in wishes for _, _, wanted in asked if _shape(wanted).search(w)]


def test_new_combinations_stay_out_of_training() -> None:
    r = random.Random(9)
    held = {app_facts.draw(r, held_out=True).text for _ in range(500)}
    assert not held & {app_facts.draw(r).text for _ in range(20000)}


def test_every_fact_has_an_answer() -> None:
    subjects = app_facts.subjects()
    assert sum(len(s.aspects) + len(s.free) for s in subjects) >= 300
    assert all(s.names and (s.aspects or s.free) for s in subjects)
    assert all(answer for s in subjects for _, answer in s.free)
