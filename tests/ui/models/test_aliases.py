"""Aliases in the Models tab: whom each leads to and how, who answered, and what is wrong with one."""

from mlx_harmony.records import ModelEntry
from mlx_harmony.routing.records import Alias, AliasRow, Rule
from mlx_harmony_ui.models.aliases import Aliased, aliases_of
from tests.ui.models.made import NOW


def row(alias: Alias, **others: object) -> AliasRow:
    entry = ModelEntry(id=alias.name, path="", bytes=0, architecture="", format="raw", source="alias", problem=alias.problem)
    return AliasRow(alias=alias, entry=entry, **others)  # type: ignore[arg-type]


def facts(alias: Alias, **others: object) -> list[tuple[str, str]]:
    (view,) = aliases_of([Aliased(row(alias, **others))], "", NOW)
    return [(fact.name, fact.text) for fact in view.facts]


def test_rules_come_first_then_the_models_then_who_answers_at_last() -> None:
    rules = (Rule(model="org/long", min_characters=4000), Rule(model="org/able", tools=True))
    assert facts(Alias(name="both", models=("org/A", "org/B"), rules=rules, fallbacks=("starter",))) == [
        ("Where the prompt has at least 4,000 characters", "org/long"),
        ("Where tools are offered", "org/able"),
        ("In turns", "org/A, org/B"),
        ("Where they cannot", "starter"),
    ]
    assert facts(Alias(name="x", models=("a", "b"), strategy="first")) == [("The first that can", "a, b")]
    assert facts(Alias(name="x", models=("a",))) == [("Leads to", "a")]
    assert facts(Alias(name="x", models=("a",), rules=rules[1:]))[1:] == [("Else", "a")]


def test_who_answered_is_counted_the_busiest_first_and_the_last_way_is_told() -> None:
    asked = Aliased(row(Alias(name="both", models=("a", "b")), answered={"a": 1, "b": 1200}), NOW - 120, "a answered for both.")
    (view,) = aliases_of([asked], "both", NOW)
    assert view.chosen and view.can_talk
    assert [(fact.name, fact.text) for fact in view.facts[1:]] == [
        ("Answered so far", "b 1,200 times, a 1 time"),
        ("The last time", "2 minutes ago: a answered for both."),
    ]


def test_what_is_missing_is_said_and_one_with_a_fault_cannot_be_talked_to() -> None:
    missing = row(Alias(name="half", models=("a", "gone")), missing=("gone",))
    faulty = row(Alias(name="round", problem="It leads to itself."), missing=("round",))
    half, broken = aliases_of([Aliased(missing), Aliased(faulty)], "", NOW)
    assert (half.missing, half.can_talk) == ("Not on this machine: gone.", True)
    assert (broken.problem, broken.missing, broken.can_talk, broken.facts) == ("It leads to itself.", "", False, ())
