"""Profiles: what they expand to, what is wrong with them, and who wins."""

import json
from pathlib import Path
from typing import Any

import pytest

from mlx_harmony.conversation.beginning import options_of
from mlx_harmony.errors import SettingsError
from mlx_harmony.prompting.choosing import Given, given_by, settled
from mlx_harmony.prompting.profiles import Profiles, find_prompt_config
from mlx_harmony.prompting.resolve import resolve
from mlx_harmony.records import KvOptions
from mlx_harmony.settings import Settings


def profiles(home: Path, data: Any) -> Profiles:
    (home / "profiles.json").write_text(data if isinstance(data, str) else json.dumps(data))
    return Profiles.read(str(home))


def test_a_profile_names_a_model_a_config_and_a_context(tmp_path: Path) -> None:
    (tmp_path / "brief.json").write_text('{"temperature": 0.5, "max_context_tokens": 50, "max_tokens": 9}')
    found = profiles(tmp_path, {"a": {"model": "org/name", "prompt_config": "brief.json", "max_context_tokens": 70}})
    chosen = Given(found.resolve("a")).chosen(Settings(home=str(tmp_path)), {"max_tokens": 3})
    assert (chosen.model, chosen.sampling.temperature, chosen.max_tokens) == ("org/name", 0.5, 3)
    assert (chosen.setup.profile, chosen.setup.max_context_tokens, chosen.setup.prompt_config) == ("a", 70, str(tmp_path / "brief.json"))


def test_a_config_is_looked_up_beside_the_file_then_in_the_configs_folder(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "c.json").write_text('{"top_k": 1}')
    found = profiles(tmp_path, {"a": {"model": "m", "prompt_config": "c.json"}})
    assert found.resolve("a").config.config.top_k == 1  # type: ignore[union-attr]
    (tmp_path / "c.json").write_text('{"top_k": 2}')
    assert found.resolve("a").config.config.top_k == 2  # type: ignore[union-attr]


def test_variables_and_home_expand_on_use_and_the_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MY_MODEL", "big")
    monkeypatch.delenv("NOT_SET", raising=False)
    data = {
        "variable": {"model": "org/${MY_MODEL}"},
        "default": {"model": "${NOT_SET:-small}"},
        "home": {"model": "~/models/x"},
        "escaped": {"model": "$${MY_MODEL}"},
        "unset": {"model": "${NOT_SET}"},
        "odd": {"model": "${1x}"},
    }
    found = profiles(tmp_path, data)
    before = (tmp_path / "profiles.json").read_text()
    expected = {"variable": "org/big", "default": "small", "home": str(tmp_path / "models/x"), "escaped": "${MY_MODEL}"}
    assert {name: found.resolve(name).model for name in expected} == expected
    problems = {row.name: row.problem for row in found.rows() if row.problem}
    assert "$.unset.model needs the environment variable NOT_SET" in problems.pop("unset")
    assert "$.odd.model holds a ${ that names no variable" in problems.pop("odd")
    assert problems == {} and (tmp_path / "profiles.json").read_text() == before


def test_a_model_beside_the_file_is_its_folder(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").write_text("{}")
    found = profiles(tmp_path, {"a": {"model": "tiny"}})
    assert found.resolve("a").model == str(tmp_path / "tiny")
    assert found.folders() == (tmp_path / "tiny",)


def test_a_profile_names_a_draft_model_which_a_flag_overrules(tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    found = profiles(
        tmp_path, {"a": {"model": "m", "draft_model": "small"}, "b": {"model": "m", "draft_model": "auto"}, "c": {"model": "m"}}
    )
    chosen = [Given(found.resolve(name)).chosen(Settings(home=str(tmp_path))).draft_model for name in "abc"]
    assert chosen == [str(tmp_path / "small"), "auto", None]
    given = given_by(Settings(home=str(tmp_path), profile="b"))
    assert settled(Settings(home=str(tmp_path)), given).draft_model == "auto"
    flagged = Settings(home=str(tmp_path), draft_model="", sources={"draft_model": "flag"})
    assert settled(flagged, given).draft_model == ""


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        profiles(tmp_path, {"fast": {"model": "m"}, "slow": {"model": "m"}}).resolve("fats")
    assert "fast, slow" in caught.value.hint and caught.value.param == "profile"
    with pytest.raises(SettingsError, match="no profile"):
        Profiles.read(str(tmp_path / "nowhere")).resolve("fast")


WRONG = [
    (3, "$.bad must be an object"),
    ({}, "$.bad.model is missing."),
    ({"model": ""}, "$.bad.model must be a model's id or folder"),
    ({"model": "m", "prompt_confg": "x"}, "$.bad.prompt_confg is not known. Did you mean prompt_config?"),
    ({"model": "m", "max_context_tokens": 0}, "$.bad.max_context_tokens must be a whole number of 1 or more"),
    ({"model": "m", "prompt_config": "none.json"}, "$.bad.prompt_config names"),
    ({"model": "m", "prompt_config": "wrong.json"}, "$.temperature must be"),
]


@pytest.mark.parametrize(("entry", "words"), WRONG, ids=range(len(WRONG)))
def test_a_broken_profile_is_named_and_spoils_no_other(tmp_path: Path, entry: Any, words: str) -> None:
    (tmp_path / "wrong.json").write_text('{"temperature": 9}')
    found = profiles(tmp_path, {"bad": entry, "good": {"model": "m"}})
    bad, good = found.rows()
    assert words in bad.problem and str(tmp_path) in bad.problem
    assert good.problem == "" and found.resolve("good").model == "m"
    with pytest.raises(SettingsError):
        found.resolve("bad")


@pytest.mark.parametrize("content", ["{", "[]", '{"a": {"model": "x"}, "a": {"model": "y"}}'])
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    with pytest.raises(SettingsError, match=r"profiles\.json"):
        profiles(tmp_path, content)


def test_without_the_file_there_are_none_but_a_chosen_one_must_be_there(tmp_path: Path) -> None:
    assert Profiles.read(str(tmp_path)).rows() == ()
    with pytest.raises(SettingsError):
        Profiles.read(str(tmp_path), str(tmp_path / "mine.json"))


def test_a_run_takes_model_and_folder_of_what_it_was_given_but_a_flag_wins(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"models_dir": "here", "mlock": true}')
    profiles(tmp_path, {"a": {"model": "m", "prompt_config": "c.json"}})
    settings = Settings(home=str(tmp_path), profile="a")
    after = settled(settings, given_by(settings))
    assert (after.model, after.models_dirs) == ("m", (str(tmp_path / "here"),))
    assert "$.mlock has no effect" in after.notices[0]
    flagged = Settings(home=str(tmp_path), profile="a", model="mine", sources={"model": "flag"})
    assert settled(flagged, given_by(flagged)).model == "mine"


def test_a_prompt_config_that_is_nowhere_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        find_prompt_config("gone.json", str(tmp_path))
    assert str(tmp_path / "configs" / "gone.json") in caught.value.hint


def test_a_profile_chooses_the_form_of_kv(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"max_kv_size": 100}))
    data = {
        "packed": {"model": "starter", "kv_bits": 8, "kv_group_size": 32},
        "over": {"model": "starter", "prompt_config": "config.json", "kv_bits": 8},
        "both": {"model": "starter", "kv_bits": 8, "max_kv_size": 5},
        "odd": {"model": "starter", "kv_bits": 3},
    }
    (tmp_path / "profiles.json").write_text(json.dumps(data))
    profiles = Profiles.read(str(tmp_path))
    for name, expected in (("packed", KvOptions(kv_bits=8, kv_group_size=32)), ("over", KvOptions(kv_bits=8))):
        profile = profiles.resolve(name)
        assert options_of(resolve(profile, profile.config, {}, {})).kv == expected
    with pytest.raises(SettingsError, match=r"\$\.both\.kv_bits cannot be: kv_bits and max_kv_size"):
        profiles.resolve("both")
    with pytest.raises(SettingsError, match=r"\$\.odd\.kv_bits must be 0, 4 or 8"):
        profiles.resolve("odd")
