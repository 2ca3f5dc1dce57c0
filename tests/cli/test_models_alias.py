"""`models alias`: set, listed, removed; and an alias asked in the terminal."""

import json
import shutil
from pathlib import Path

import pytest

from mlx_harmony.cli.main import main


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLX_HARMONY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "no-cache"))
    return tmp_path / "home"


@pytest.fixture
def models(tmp_path: Path, fx1: Path) -> list[str]:
    """Flags for a folder with two models, of which one is torn."""
    for name in ("one", "torn"):
        shutil.copytree(fx1, tmp_path / "mine" / name)
    for weights in (tmp_path / "mine" / "torn").glob("*.safetensors"):
        weights.write_bytes(b"\xff" * weights.stat().st_size)
    return ["--models-dir", str(tmp_path / "mine")]


def test_an_alias_is_set_listed_and_removed(home: Path, models: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    rule = ["--rule", "one", "min_tokens=4000", "max_characters=90000", "tools=yes"]
    assert main(["models", "alias", "set", "both", "--models", "starter", "one", *rule, "--fallbacks", "torn", *models]) == 0
    assert json.loads((home / "aliases.json").read_text()) == {
        "both": {
            "models": ["starter", "one"],
            "strategy": "round_robin",
            "rules": [{"model": "one", "min_tokens": 4000, "max_characters": 90000, "tools": True}],
            "fallbacks": ["torn"],
        }
    }
    shown = capsys.readouterr().out
    assert shown.splitlines()[1].split("  ")[0] == "both"
    assert "one where the prompt has at least 4,000 tokens and the prompt has at most 90,000 characters and tools are offered" in shown
    assert main(["models", "alias", "--json", *models]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert told["id"] == "both" and told["source"] == "alias" and told["alias"]["fallbacks"] == ["torn"]
    assert main(["models", "list", *models]) == 0
    assert "ALIAS" in capsys.readouterr().out
    assert main(["models", "list", "--json", *models]) == 0
    assert [each["id"] for each in json.loads(capsys.readouterr().out)] == ["starter", "one", "torn", "both"]
    assert main(["models", "info", "both", *models]) == 0
    assert "starter, one in turns" in capsys.readouterr().out
    assert main(["models", "info", "both", "--json", *models]) == 0
    assert json.loads(capsys.readouterr().out)["alias"]["models"] == ["starter", "one"]
    assert main(["models", "forecast", "both", *models]) == 2
    assert main(["models", "info", "nobody", *models]) == 1
    assert "Aliases: both." in capsys.readouterr().err
    assert main(["models", "use", "both"]) == 0
    capsys.readouterr()
    assert main(["models", "alias", "remove", "both"]) == 0
    assert json.loads((home / "aliases.json").read_text()) == {}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["set"], "No alias is named."),
        (["set", "x"], "An alias needs at least one model."),
        (["set", "x", "--models", "nobody"], 'There is no model "nobody" on this machine.'),
        (["set", "starter", "--models", "starter"], "a model is called"),
        (["set", "x", "--models", "x"], "leads in a circle: x → x."),
        (["set", "x", "--models", "starter", "--rule", "starter"], "A rule needs something to ask for."),
        (["set", "x", "--models", "starter", "--rule", "starter", "language=de"], "A rule cannot ask for 'language=de'."),
        (["remove", "x"], 'There is no alias "x".'),
    ],
)
def test_what_could_not_be_used_is_refused(words: list[str], said: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "alias", *words]) == 2
    assert said in capsys.readouterr().err and not (home / "aliases.json").exists()


def test_a_broken_alias_is_listed_with_what_is_wrong(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home.mkdir()
    (home / "aliases.json").write_text('{"x": {"models": []}, "y": {"models": ["starter", "gone"]}}')
    assert main(["models", "list"]) == 0
    shown = capsys.readouterr().out
    assert "$.x.models must be a list of 1 to 32" in shown and "(not here: gone)" in shown
    (home / "aliases.json").write_text("{")
    assert main(["models", "list"]) == 0
    told = capsys.readouterr()
    assert "starter" in told.out and "not valid JSON" in told.err


@pytest.mark.slow
def test_generate_says_who_stood_in_for_a_model_that_cannot_be_loaded(
    home: Path, models: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "alias", "set", "safe", "--models", "torn", "--fallbacks", "one", *models]) == 0
    capsys.readouterr()
    asked = ["generate", "--model", "safe", "--max-tokens", "2", *models]
    assert main([*asked, "--json", "Hello"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["model"] == "one" and told["note"].startswith("one answered for safe. torn could not be used: ")
    assert main([*asked, "Hello"]) == 0
    assert "one answered for safe. torn could not be used: " in capsys.readouterr().err
    assert main(["models", "alias", "set", "plain", "--models", "one", *models]) == 0
    assert main(["generate", "--model", "plain", "--raw-prompt", *models, "Hello"]) == 0
    assert "Hello" in capsys.readouterr().out
