"""Picking a model by number: only where a person sits there, nothing else says who answers, and there is a choice."""

import argparse
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from mlx_harmony.cli.main import main
from mlx_harmony.cli.picking import picked
from mlx_harmony.errors import InvalidRequest
from mlx_harmony.settings import Settings, load_settings
from tests.cli.conftest import Recorded, Stream


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLX_HARMONY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "no-cache"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def full(home: Path, fx1: Path) -> Path:
    """A second model, an alias and two profiles, of which one cannot be used."""
    (home / "settings.json").write_text(json.dumps({"models_dirs": [str(fx1)]}))
    (home / "aliases.json").write_text('{"both": {"models": ["starter", "tiny-llama"]}}')
    (home / "profiles.json").write_text('{"work": {"model": "tiny-llama"}, "lost": {"model": "nobody"}}')
    return home


def pick(typed: str | None, terminal: Recorded, monkeypatch: pytest.MonkeyPatch, **flags: Any) -> Settings:
    """What is picked by whoever types that; None is nobody."""
    stdin = Stream(person=typed is not None)
    stdin.write(typed or "")
    stdin.seek(0)
    monkeypatch.setattr(sys, "stdin", stdin)
    return picked(argparse.Namespace(**({"pick": False} | flags)), load_settings({"model": flags.get("model")}), terminal)


@pytest.mark.parametrize(
    ("typed", "model", "profile"),
    [
        ("\n", "starter", ""),
        ("1\n", "starter", ""),
        ("2\n", "tiny-llama", ""),
        ("3\n", "both", ""),
        ("4\n", "starter", "work"),
        ("work\n", "starter", "work"),
        ("0\n9\n 2 \n", "tiny-llama", ""),
    ],
)
def test_a_number_or_a_name_picks(
    full: Path, screen: Recorded, monkeypatch: pytest.MonkeyPatch, typed: str, model: str, profile: str
) -> None:
    settings = pick(typed, screen, monkeypatch)
    assert (settings.model, settings.profile) == (model, profile)
    shown = screen.err.getvalue()
    assert "3  both" in shown and "alias of starter, tiny-llama" in shown and "profile, tiny-llama" in shown and "lost" not in shown
    assert screen.out.getvalue() == ""


@pytest.mark.parametrize("typed", ["", "x\n\u0664\n999\n", "9\n"])
def test_nothing_picked_is_wrong_usage(full: Path, screen: Recorded, monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
    with pytest.raises(InvalidRequest, match="No model was picked"):
        pick(typed, screen, monkeypatch)


@pytest.mark.parametrize("flags", [{"model": "starter"}, {"profile": "work"}, {"chat": "1"}, {"request": "-"}])
def test_whoever_says_who_answers_is_not_asked(
    full: Path, screen: Recorded, monkeypatch: pytest.MonkeyPatch, flags: dict[str, str]
) -> None:
    pick("2\n", screen, monkeypatch, **flags)
    assert screen.err.getvalue() == ""


def test_a_settled_model_and_a_single_choice_are_not_asked_about(
    home: Path, fx1: Path, screen: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pick("2\n", screen, monkeypatch).model == "starter"
    (home / "settings.json").write_text(json.dumps({"models_dirs": [str(fx1)], "model": "starter"}))
    assert pick("2\n", screen, monkeypatch).model == "starter"
    assert screen.err.getvalue() == ""
    assert pick("2\n", screen, monkeypatch, pick=True).model == "tiny-llama"


def test_without_a_person_the_default_answers_and_asking_for_a_choice_is_wrong_usage(
    full: Path, pipe: Recorded, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pick(None, pipe, monkeypatch).model == "starter" and pipe.err.getvalue() == ""
    monkeypatch.setattr(sys, "stdin", io.StringIO("Hello"))
    for command in ("chat", "generate"):
        assert main([command, "--pick"]) == 2
        told = capsys.readouterr().err
        assert "Nobody is here to pick a model." in told and "--model" in told and "--profile" in told


def test_two_ways_of_saying_who_answers_are_refused(full: Path, screen: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidRequest, match="--pick and --model"):
        pick("2\n", screen, monkeypatch, pick=True, model="starter")
