"""What the recipe teaches of the app is what the app has: its tabs, its commands, its numbers; in the casings of the page too."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import chain

import pytest

import app_facts
from mlx_harmony.cli.main import COMMANDS
from mlx_harmony.field import LARGEST, Field
from mlx_harmony.kv_ranges import KV_FIELDS
from mlx_harmony.ranges import SAMPLING_FIELDS, TURN_FIELDS
from mlx_harmony_ui.app import TABS
from noise import strip

SUBJECTS = {name: subject for subject in app_facts.subjects() for name in subject.names}
NUMBERS = (*SAMPLING_FIELDS, *TURN_FIELDS, *KV_FIELDS)
WORDS = {4: "four", 5: "five"}


def answers(subject: app_facts.Subject) -> list[str]:
    return [*subject.aspects.values(), *(answer for _, answer in subject.free)]


def test_the_tabs_are_those_of_the_page() -> None:
    labels = [label for _, label in TABS]
    listed = f"{WORDS[len(labels)]} tabs: {', '.join(labels[:-1])} and {labels[-1]}."
    told = [answer for answer in answers(SUBJECTS["tabs"]) if "Chat" in answer]
    assert told and all(listed in answer for answer in told)


@pytest.mark.parametrize("label", [label for _, label in TABS])
def test_no_tab_of_the_page_is_said_to_be_coming(label: str) -> None:
    told = answers(SUBJECTS[f"{label.lower()} tab"])
    assert any(f"{label} tab" in answer for answer in told)
    assert not [answer for answer in told if "coming" in answer or "will show" in answer]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_known_by_its_name(name: str) -> None:
    assert f"`mlx-harmony {name}`" in SUBJECTS[f"mlx-harmony {name}"].aspects["what"]
    assert f" {name}" in SUBJECTS["terminal commands"].aspects["what"]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number.name)
def test_every_number_is_known_by_both_its_names_and_by_its_range(number: Field) -> None:
    subject = SUBJECTS[number.name]
    assert SUBJECTS[number.label.lower()] is subject
    if number.high < LARGEST:
        assert f"{number.high:g}" in subject.aspects["range"]


@pytest.mark.parametrize("kind", [app_facts._aspect_question, app_facts._free_question])
def test_names_are_also_asked_with_the_capitals_of_the_page(kind: Callable[..., tuple[app_facts.Question, tuple[str, str]]]) -> None:
    r = random.Random(3)
    asked = {strip(kind(r, SUBJECTS["cache tab"])[0].text) for _ in range(1000)}
    for name in ("the Cache tab", "the Cache Tab", "the CACHE TAB", "the cache tab"):
        assert any(name in question for question in asked), name


def test_commands_and_flags_keep_their_spelling() -> None:
    r = random.Random(4)
    commands = [name for name in SUBJECTS if name.startswith(("--", "mlx-harmony", "\\"))]
    assert commands and all(strip(app_facts._exact(r, name)) == name for name in chain(*[commands] * 20))
