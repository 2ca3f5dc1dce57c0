"""Presets: our own and the person's; whole sets of numbers that never mix, kept in a file that may be edited by hand."""

import json
from pathlib import Path

import pytest

from mlx_harmony.errors import HarmonyError, InvalidRequest, SettingsError
from mlx_harmony.prompting.presets import BUILT_IN, LONGEST_NAME, MOST, Presets, numbers_of
from mlx_harmony.ranges import SAMPLING_FIELDS, check_sampling
from mlx_harmony.records import Sampling

MINE = Sampling(temperature=0.4, top_k=40, repetition_penalty=1.1)


@pytest.mark.parametrize("preset", BUILT_IN, ids=lambda preset: preset.name)
def test_our_own_are_in_range_and_explained(preset: object) -> None:
    check_sampling(preset.sampling)  # type: ignore[attr-defined]
    assert preset.note  # type: ignore[attr-defined]
    assert [each for each in BUILT_IN if each.is_of(preset.sampling)] == [preset]  # type: ignore[attr-defined]


def test_a_preset_sets_every_number_and_leaves_what_is_none(tmp_path: Path) -> None:
    before = Sampling(temperature=1.9, xtc_probability=0.5, seed=7, logit_bias={5: 1.0})
    deterministic = BUILT_IN[-1]
    after = Presets(str(tmp_path)).apply("deterministic", before)
    assert numbers_of(after) == {"temperature": 0.0, "seed": 0} and after.logit_bias == {5: 1.0}
    assert deterministic.is_of(after) and not deterministic.is_of(before)
    assert set(numbers_of(MINE)) == {"temperature", "top_k", "repetition_penalty"} <= {field.name for field in SAMPLING_FIELDS}


def test_what_is_saved_is_there_again_in_any_case_of_its_name(tmp_path: Path) -> None:
    presets = Presets(str(tmp_path))
    presets.save("  For \n poems ", MINE)
    found = Presets(str(tmp_path)).find("for POEMS")
    assert (found.name, found.sampling, found.own) == ("For poems", MINE, True)
    presets.save("FOR POEMS", Sampling(temperature=0.1))
    assert [each.name for each in presets.all() if each.own] == ["FOR POEMS"]
    presets.remove("FOR POEMS")
    presets.remove("never there")
    assert presets.all() == BUILT_IN


def test_a_deleted_preset_comes_back_as_it_was_unless_its_name_is_in_use_again(tmp_path: Path) -> None:
    presets = Presets(str(tmp_path))
    path = tmp_path / "presets.json"
    path.write_text(json.dumps({"Mine": {"top_p": 0.5}, "bad": 7}), encoding="utf-8")
    for name in ("Mine", "bad"):
        presets.remove(name)
        presets.restore(name)
    assert json.loads(path.read_text("utf-8")) == {"Mine": {"top_p": 0.5}, "bad": 7}
    presets.remove("Mine")
    presets.save("mine", MINE)
    for name in ("Mine", "never there"):
        with pytest.raises(InvalidRequest, match="cannot be brought back"):
            presets.restore(name)
    assert presets.find("mine").sampling == MINE


@pytest.mark.parametrize("name", ["", " \n ", "x" * (LONGEST_NAME + 1), "Creative", "balanced"])
def test_names_that_cannot_be_used_keep_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidRequest):
        Presets(str(tmp_path)).save(name, MINE)
    assert not list(tmp_path.iterdir())


def test_an_unknown_preset_names_the_known_ones_and_too_many_are_refused(tmp_path: Path) -> None:
    presets = Presets(str(tmp_path))
    with pytest.raises(InvalidRequest) as refused:
        presets.find("nope")
    assert "Creative, Balanced, Deterministic" in refused.value.hint
    (tmp_path / "presets.json").write_text(json.dumps({f"p{at}": {} for at in range(MOST)}), encoding="utf-8")
    with pytest.raises(InvalidRequest, match="presets already"):
        presets.save("one more", MINE)
    presets.save("p7", MINE)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (7, "must be an object"),
        ({"warmth": 1}, "is no sampling number"),
        ({"temperature": 3}, "0 to 2"),
        ({"temperature": "hot"}, "0 to 2"),
        ({"top_k": True}, "top_k"),
    ],
)
def test_a_broken_preset_says_where_and_spoils_no_other(tmp_path: Path, value: object, why: str) -> None:
    (tmp_path / "presets.json").write_text(json.dumps({"bad": value, "good": {"top_p": 0.5}}), encoding="utf-8")
    presets = Presets(str(tmp_path))
    bad, good = presets.all()[len(BUILT_IN) :]
    assert why in bad.problem and "presets.json" in bad.problem and "bad" in bad.problem
    assert good.sampling == Sampling(top_p=0.5) and presets.find("good") == good
    with pytest.raises(SettingsError, match="bad"):
        presets.find("bad")


def test_a_file_that_is_no_json_is_said_and_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "presets.json"
    path.write_text("{ no json", encoding="utf-8")
    for act in (lambda: Presets(str(tmp_path)).all(), lambda: Presets(str(tmp_path)).save("a", MINE)):
        with pytest.raises(HarmonyError, match="presets"):
            act()
    assert path.read_text(encoding="utf-8") == "{ no json"
