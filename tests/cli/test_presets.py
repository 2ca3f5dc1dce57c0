"""--preset: a named set of numbers under the flags, over everything else."""

import argparse
from pathlib import Path

import pytest

from mlx_harmony.cli.main import main
from mlx_harmony.cli.sampling import add_sampling_flags, choices_from
from mlx_harmony.prompting.presets import Presets
from mlx_harmony.records import Sampling


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLX_HARMONY_HOME", str(tmp_path))


def chosen(*words: str) -> dict[str, object]:
    parser = argparse.ArgumentParser()
    parser.add_argument("--system")
    add_sampling_flags(parser)
    return {name: value for name, value in choices_from(parser.parse_args(words)).items() if value is not None}


def test_a_preset_applies_and_an_explicit_flag_is_stronger(tmp_path: Path) -> None:
    assert chosen() == {}
    creative = chosen("--preset", "creative")
    assert (creative["temperature"], creative["top_p"], creative["top_k"]) == (1.2, 0.95, 0)
    both = chosen("--preset", "creative", "--temperature", "0", "--max-tokens", "9")
    assert (both["temperature"], both["top_p"], both["max_tokens"]) == (0, 0.95, 9)
    Presets(str(tmp_path)).save("Mine", Sampling(top_k=3))
    assert chosen("--preset", "mine")["top_k"] == 3


@pytest.mark.parametrize("command", ["generate", "chat"])
def test_an_unknown_preset_is_wrong_usage_and_names_the_known_ones(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = [command, "--preset", "nope"] + (["hi"] if command == "generate" else [])
    assert main(words) == 2
    said = capsys.readouterr()
    assert "Usual, Creative, Balanced, Deterministic" in said.err and said.out == ""


@pytest.mark.integration
def test_deterministic_gives_the_same_answer_again(fx1: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["generate", "--model", str(fx1), "--preset", "deterministic", "--max-tokens", "8", "good morning"]
    assert main(words) == 0
    first = capsys.readouterr().out
    assert main(words) == 0
    assert first.strip() and capsys.readouterr().out == first
