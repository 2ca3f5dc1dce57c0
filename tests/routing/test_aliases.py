"""aliases.json: what is believed, what is refused and how it is said."""

import json
from pathlib import Path

import pytest

from mlx_harmony.errors import InvalidRequest, SettingsError
from mlx_harmony.routing.aliases import MOST, Aliases, reached
from mlx_harmony.routing.records import Alias, Rule

ROOT = Path(__file__).parents[2]
HERE = ("starter", "a", "b")


def written(home: Path, content: object) -> Aliases:
    (home / "aliases.json").write_text(json.dumps(content))
    return Aliases(str(home))


def test_without_a_file_there_are_none(tmp_path: Path) -> None:
    assert Aliases(str(tmp_path)).all(HERE) == {}


def test_an_alias_is_read_with_all_it_says(tmp_path: Path) -> None:
    rule = {"model": "starter", "min_characters": 5, "tools": False}
    said = {"models": ["a", "b"], "strategy": "first", "rules": [rule], "fallbacks": ["gone"]}
    (alias,) = written(tmp_path, {"x": said}).all(HERE).values()
    assert alias == Alias(
        name="x",
        models=("a", "b"),
        strategy="first",
        rules=(Rule(model="starter", min_characters=5, tools=False),),
        fallbacks=("gone",),
    )
    assert alias.named == ("a", "b", "starter", "gone")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ([], "$.x must be an object"),
        ({}, "$.x.models is missing."),
        ({"models": []}, "$.x.models must be a list of 1 to 32 models' ids; it is []."),
        ({"models": "a"}, "$.x.models must be a list of 1 to 32 models' ids"),
        ({"models": [""]}, "$.x.models[0] is not usable"),
        ({"models": ["a"], "strategy": "random"}, '$.x.strategy must be round_robin or first; it is "random".'),
        ({"models": ["a"], "fallback": ["b"]}, "$.x.fallback is not known. Did you mean fallbacks?"),
        ({"models": ["a"], "rules": [{"model": "b", "min_characters": -1}]}, "$.x.rules[0].min_characters is not usable"),
        ({"models": ["a"], "rules": [{"model": "b", "language": "de"}]}, "$.x.rules[0].language is not known."),
        ({"models": ["a"], "rules": [{"model": "b"}]}, "$.x.rules[0] asks for nothing"),
        (
            {"models": ["a"], "rules": [{"model": "b", "min_characters": 7, "max_characters": 6}]},
            "$.x.rules[0].max_characters is less than min_characters, so the rule never holds.",
        ),
        ({"models": ["gone"]}, "$.x names no model that is on this machine."),
        ({"models": ["x"]}, "$.x leads in a circle: x → x."),
        ({"models": ["a"], "fallbacks": ["y"]}, "$.x leads in a circle: x → y → x."),
    ],
)
def test_what_cannot_be_used_is_named_by_file_and_place_and_spoils_no_other(tmp_path: Path, said: object, words: str) -> None:
    found = written(tmp_path, {"x": said, "y": {"models": ["b"], "fallbacks": ["x"]}, "good": {"models": ["a"]}}).all(HERE)
    assert words in found["x"].problem and str(tmp_path / "aliases.json") in found["x"].problem
    assert not found["good"].problem


def test_a_model_s_own_name_stays_the_model_s(tmp_path: Path) -> None:
    assert "a model is called" in written(tmp_path, {"a": {"models": ["b"]}}).all(HERE)["a"].problem


def test_a_file_that_is_no_json_object_is_refused(tmp_path: Path) -> None:
    (tmp_path / "aliases.json").write_text("{")
    with pytest.raises(SettingsError, match="not valid JSON"):
        Aliases(str(tmp_path)).all(HERE)


def test_many_aliases_that_name_each_other_are_followed_once_each(tmp_path: Path) -> None:
    """Every level names both of the next: followed path by path it would never end."""
    levels = {f"{side}{at}": {"models": [f"l{at + 1}", f"r{at + 1}"]} for at in range(40) for side in "lr"}
    aliases = written(tmp_path, levels | {"l40": {"models": ["a"]}, "r40": {"models": ["b"]}}).all(HERE)
    assert not any(alias.problem for alias in aliases.values())
    assert reached(aliases["l0"], aliases, HERE) == ("a", "b")


def test_an_alias_is_kept_and_removed_and_the_others_stay_as_they_are(tmp_path: Path) -> None:
    aliases = written(tmp_path, {"broken": {"models": 7}})
    kept = aliases.save(Alias(name=" two  words ", models=("a", "b"), rules=(Rule(model="b", tools=True),)), HERE)
    assert kept.name == "two words" and aliases.all(HERE)["two words"] == kept
    aliases.save(Alias(name="two words", models=("b",), strategy="first"), HERE)
    on_disk = json.loads((tmp_path / "aliases.json").read_text())
    assert on_disk == {"broken": {"models": 7}, "two words": {"models": ["b"], "strategy": "first"}}
    aliases.remove("two words")
    with pytest.raises(InvalidRequest, match="There is no alias") as caught:
        aliases.remove("two words")
    assert caught.value.hint == "Known: broken."


@pytest.mark.parametrize(
    ("alias", "field", "words"),
    [
        (Alias(name="", models=("a",)), "name", "a name of 1 to 60"),
        (Alias(name="x" * 61, models=("a",)), "name", "a name of 1 to 60"),
        (Alias(name="a\x07", models=("a",)), "name", "a name of 1 to 60"),
        (Alias(name="a", models=("b",)), "name", "a model is called"),
        (Alias(name="new"), "models", "must be a list of 1 to 32"),
        (Alias(name="new", models=("a",) * 33), "models", "must be a list of 1 to 32"),
        (Alias(name="new", models=("a", "nobody")), "models[1]", 'There is no model "nobody"'),
        (Alias(name="new", models=("a",), fallbacks=("nobody",)), "fallbacks[0]", 'There is no model "nobody"'),
        (Alias(name="new", models=("a",), rules=(Rule(model="nobody", tools=True),)), "rules[0].model", 'There is no model "nobody"'),
        (Alias(name="new", models=("a",), rules=(Rule(model="b"),)), "rules[0]", "asks for nothing"),
        (Alias(name="new", models=("a",), rules=(Rule(model="b", max_tokens=-1),)), "rules[0].max_tokens", "is not usable"),
        (
            Alias(name="new", models=("a",), rules=(Rule(model="b", min_tokens=9, max_tokens=8),)),
            "rules[0].max_tokens",
            "is less than min_tokens, so the rule never holds.",
        ),
        (Alias(name="new", models=("new",)), "models", "leads in a circle"),
        (Alias(name="other", models=("x",)), "models", "leads in a circle: other → x → other"),
    ],
)
def test_an_alias_that_could_not_be_used_is_not_kept(tmp_path: Path, alias: Alias, field: str, words: str) -> None:
    aliases = written(tmp_path, {"x": {"models": ["a"], "fallbacks": ["other"]}, "other": {"models": ["a"]}})
    before = (tmp_path / "aliases.json").read_bytes()
    with pytest.raises(InvalidRequest) as caught:
        aliases.save(alias, HERE)
    assert words in caught.value.message and caught.value.param == field
    assert str(tmp_path) not in caught.value.message
    assert (tmp_path / "aliases.json").read_bytes() == before


def test_so_many_and_no_more(tmp_path: Path) -> None:
    aliases = written(tmp_path, {f"x{at}": {"models": ["a"]} for at in range(MOST)})
    with pytest.raises(InvalidRequest, match="aliases already"):
        aliases.save(Alias(name="new", models=("a",)), HERE)
    assert aliases.save(Alias(name="x0", models=("b",)), HERE).models == ("b",)


@pytest.mark.parametrize("source", ["configs/aliases.json", "docs/guides/api.md"])
def test_the_examples_can_be_used(tmp_path: Path, source: str) -> None:
    text = (ROOT / source).read_text()
    example = text if source.endswith("json") else text.split("## Aliases")[1].split("```json\n")[1].split("```")[0]
    aliases = written(tmp_path, json.loads(example)).all(("starter",))
    assert len(aliases) == 2 and not any(alias.problem for alias in aliases.values() if "starter" in reached(alias, aliases, ("starter",)))
