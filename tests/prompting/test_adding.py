"""Adding a profile: the entry can be used at once, and what stood in the file stays letter by letter."""

import json
from pathlib import Path

import pytest

from mlx_harmony.errors import HarmonyError, InvalidRequest, SettingsError, StorageError
from mlx_harmony.prompting.adding import add_profile
from mlx_harmony.prompting.profiles import Profiles
from mlx_harmony.settings import Settings

OURS = '{\n    "mine":   {"model": "~/m", "kv_bits": 4},  "broken": 7\n}\n\n'


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=str(tmp_path))


def test_a_file_is_made_where_there_is_none(settings: Settings, tmp_path: Path) -> None:
    assert add_profile(settings, "  for \n work ", "org/A") == "for work"
    assert Profiles.read(str(tmp_path)).resolve("for work").model == "org/A"
    assert (tmp_path / "profiles.json").stat().st_mode & 0o777 == 0o600


def test_others_stay_letter_by_letter_and_keep_their_rights(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "profiles.json"
    file.write_text(OURS, "utf-8")
    file.chmod(0o640)
    add_profile(settings, 'say "hé"', "org/A")
    assert file.read_text("utf-8").startswith(OURS.rstrip("\n}")) and file.stat().st_mode & 0o777 == 0o640
    assert list(json.loads(file.read_text("utf-8"))) == ["mine", "broken", 'say "hé"']
    add_profile(settings, "next", "org/B")
    assert Profiles.read(str(tmp_path)).resolve("next").model == "org/B"


@pytest.mark.parametrize(
    ("content", "name", "error"),
    [(OURS, "mine", InvalidRequest), (OURS, " ", InvalidRequest), (OURS, "x" * 61, InvalidRequest), ("{,}", "a", SettingsError)],
)
def test_what_cannot_be_added_changes_nothing(
    settings: Settings, tmp_path: Path, content: str, name: str, error: type[HarmonyError]
) -> None:
    file = tmp_path / "profiles.json"
    file.write_text(content, "utf-8")
    with pytest.raises(error):
        add_profile(settings, name, "org/A")
    assert file.read_text("utf-8") == content


def test_a_file_that_cannot_be_written_says_so_and_one_that_is_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "kept.json").write_text("{}", "utf-8")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "profiles.json").symlink_to(tmp_path / "kept.json")
    add_profile(Settings(home=str(tmp_path / "home")), "a", "org/A")
    assert "org/A" in (tmp_path / "kept.json").read_text("utf-8") and (tmp_path / "home" / "profiles.json").is_symlink()
    (tmp_path / ".kept.json.new").mkdir()
    with pytest.raises(StorageError, match=r"kept\.json could not be saved"):
        add_profile(Settings(home=str(tmp_path / "home")), "b", "org/A")
