"""Where settings come from and how they are kept."""

import hashlib
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from mlx_harmony.errors import SettingsError, StorageError
from mlx_harmony.settings import SETTING_FIELDS, changed, load_settings


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [field.variable for field in SETTING_FIELDS] + ["MLX_HARMONY_API_KEY"]:
        monkeypatch.delenv(name, raising=False)


def written(home: Path, content: str) -> Path:
    path = home / "settings.json"
    path.write_text(content)
    return path


def test_a_flag_beats_a_variable_beats_the_file_beats_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, json.dumps({"theme": "dark", "port": 1, "max_waiting": 3}))
    monkeypatch.setenv("MLX_HARMONY_PORT", "2")
    monkeypatch.setenv("MLX_HARMONY_MAX_WAITING", "4")
    settings = load_settings({"max_waiting": 5, "host": None}, tmp_path)
    assert (settings.max_waiting, settings.port, settings.theme, settings.host) == (5, 2, "dark", "127.0.0.1")
    assert [settings.source(name) for name in ("max_waiting", "port", "theme", "host")] == ["flag", "env", "file", "default"]


def test_an_unknown_key_is_reported_with_the_nearest_and_left_in_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, '{"themee": "dark", "effort": "high"}')
    settings = load_settings(home=tmp_path)
    assert settings.effort == "high"
    assert len(settings.notices) == 1 and "'themee'" in settings.notices[0] and "'theme'" in settings.notices[0]
    changed(settings, {"theme": "light"})
    assert json.loads(path.read_text()) == {"themee": "dark", "effort": "high", "theme": "light"}


def test_a_value_out_of_range_in_the_file_is_reported_and_the_default_used(tmp_path: Path) -> None:
    written(tmp_path, '{"port": 70000, "theme": 3, "models_dirs": "x"}')
    settings = load_settings(home=tmp_path)
    assert (settings.port, settings.theme, settings.models_dirs) == (7860, "system", ())
    assert "port must be a whole number from 0 to 65535" in "\n".join(settings.notices) and len(settings.notices) == 3


@pytest.mark.parametrize("content", ["{", "[1]", "\x00" * 40, "[" * 100_000])
def test_a_damaged_file_is_set_aside_and_the_app_starts(tmp_path: Path, content: str) -> None:
    path = written(tmp_path, content)
    settings = load_settings(home=tmp_path)
    (aside,) = tmp_path.glob("settings.json.*.damaged")
    assert aside.read_text() == content and not path.exists()
    assert str(aside) in settings.notices[0]


def test_a_flag_or_variable_that_cannot_be_used_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="port must be"):
        load_settings({"port": 70000}, tmp_path)
    monkeypatch.setenv("MLX_HARMONY_EFFORT", "extreme")
    with pytest.raises(SettingsError, match="low, medium or high"):
        load_settings(home=tmp_path)


def test_folders_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    monkeypatch.setenv("MLX_HARMONY_MODELS_DIRS", "mine:/other:~nobody-of-that-name/x")
    settings = load_settings({"model": "mine"}, tmp_path)
    assert settings.models_dirs == (str(tmp_path / "mine"), "/other", str(tmp_path / "~nobody-of-that-name/x")) and settings.model == str(
        tmp_path / "mine"
    )


def test_an_api_key_is_kept_as_its_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLX_HARMONY_API_KEY", "a secret")
    settings = load_settings(home=tmp_path)
    assert settings.api_key_hashes == (hashlib.sha256(b"a secret").hexdigest(),)
    assert "a secret" not in repr(settings)


def test_a_change_is_saved_whole_for_this_user_only(tmp_path: Path) -> None:
    home = tmp_path / "home"
    settings = changed(load_settings(home=home), {"effort": "low"})
    assert settings.effort == "low" and settings.source("effort") == "file"
    path = home / "settings.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(home.stat().st_mode) == 0o700
    assert load_settings(home=home).effort == "low"
    assert [child.name for child in home.iterdir()] == ["settings.json"]


def test_a_change_that_cannot_be_saved_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(StorageError, match="could not be saved"):
        changed(load_settings(home=blocked / "home"), {"effort": "low"})
    for value in (["/a\0b"], ["\ud800"], 7):
        with pytest.raises(SettingsError, match="a list of folders"):
            changed(load_settings(home=tmp_path), {"models_dirs": value})
    with pytest.raises(SettingsError, match="no setting 'colour'"):
        changed(load_settings(home=tmp_path), {"colour": "red"})
    assert not (tmp_path / "settings.json").exists()


def test_a_change_loses_nothing_of_a_file_that_was_damaged_meanwhile(tmp_path: Path) -> None:
    path = written(tmp_path, json.dumps({"effort": "high", "models_dirs": ["/models"]}))
    settings = load_settings(home=tmp_path)
    path.write_text("{ cut off")
    changed(settings, {"port": 7000})
    assert json.loads(path.read_text()) == {"effort": "high", "models_dirs": ["/models"], "port": 7000}
    (aside,) = tmp_path.glob("*.damaged")
    assert aside.read_text() == "{ cut off"


def test_a_change_does_not_take_the_place_of_a_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, '{"effort": "high"}')
    settings = load_settings(home=tmp_path)
    opened = Path.open

    def locked(file: Path, *how: Any, **more: Any) -> Any:
        if file == path:
            raise PermissionError(13, "Permission denied")
        return opened(file, *how, **more)

    monkeypatch.setattr(Path, "open", locked)
    with pytest.raises(StorageError, match="nothing was changed"):
        changed(settings, {"port": 7000})
    monkeypatch.undo()
    assert path.read_text() == '{"effort": "high"}'


def test_every_setting_says_what_it_is() -> None:
    for field in SETTING_FIELDS:
        assert field.label and field.help.endswith(".") and field.expects


def test_an_address_that_others_reach_is_kept_only_with_an_api_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for host in ("0.0.0.0", "", "::", "192.168.1.5", "my-machine"):
        with pytest.raises(SettingsError):
            changed(load_settings(home=tmp_path), {"host": host})
    for host in ("localhost", "::1", "127.0.0.2"):
        assert changed(load_settings(home=tmp_path), {"host": host}).host == host
    monkeypatch.setenv("MLX_HARMONY_API_KEY", "a secret")
    assert changed(load_settings(home=tmp_path), {"host": "0.0.0.0"}).host == "0.0.0.0"
    assert "a secret" not in (tmp_path / "settings.json").read_text()


def test_pinned_models_are_listed_with_commas_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLX_HARMONY_PINNED_MODELS", "a, org/b,,")
    monkeypatch.setenv("MLX_HARMONY_MAX_MODELS", "5")
    settings = load_settings(home=tmp_path)
    assert (settings.pinned_models, settings.max_models) == (("a", "org/b"), 5)
