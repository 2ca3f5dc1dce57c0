"""`models list`, `info` and `forecast`, and how an action is found."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mlx_harmony.cli.main import main
from mlx_harmony.cli.models import ACTIONS, spelled_out
from mlx_harmony.cli.models_table import amount, bytes_of
from mlx_harmony.models import outlook
from tests.fixtures.hub_cache import HubCache, build


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HubCache:
    monkeypatch.setenv("MLX_HARMONY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return build(tmp_path / "hub")


def ids(out: str) -> list[str]:
    return [line.split()[0] for line in out.splitlines()[1:] if line]


@pytest.mark.parametrize(
    ("words", "spelled"),
    [
        (["models"], ["models", "list"]),
        (["models", "--json"], ["models", "list", "--json"]),
        (["models", "qwen*"], ["models", "list", "qwen*"]),
        (["models", "info", "starter"], ["models", "info", "starter"]),
        (["models", "--help"], ["models", "--help"]),
    ],
)
def test_without_an_action_models_are_listed(words: list[str], spelled: list[str]) -> None:
    assert spelled_out(words) == spelled


def test_help_names_every_action(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["models", "--help"])
    shown = capsys.readouterr().out
    assert all(f"    {action} " in shown for action in ACTIONS)


@pytest.mark.parametrize("action", ACTIONS)
def test_every_action_has_its_help(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["models", action, "--help"])
    assert ended.value.code == 0
    assert f"usage: mlx-harmony models {action}" in capsys.readouterr().out


def test_only_the_action_that_runs_is_imported() -> None:
    code = "import sys; from mlx_harmony.cli.main import main; main(['models', 'list', '--json']); print(*sys.modules, file=sys.stderr)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    others = {f"mlx_harmony.cli.{module}" for module, _ in ACTIONS.values()} - {"mlx_harmony.cli.models_list"}
    assert not set(ended.stderr.split()) & {*others, "mlx", "mlx_lm", "gradio", "fastapi", "huggingface_hub", "transformers"}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["org/"], ["org/A", "org/B", "org/E"]),
        (["list", "?"], ["org/A", "org/B", "org/E"]),
        (["STAR"], ["starter"]),
        (["--format", "harmony"], ["starter"]),
        (["org/*", "--sort", "size"], ["org/B", "org/A", "org/E"]),
        (["org/*", "--sort", "size", "--reverse"], ["org/E", "org/A", "org/B"]),
        (["--min-size", "1MB"], ["starter"]),
        (["--max-size", "0.3kB"], ["org/A", "org/E"]),
    ],
)
def test_a_pattern_a_format_and_sizes_narrow_the_rows(words: list[str], found: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", *words]) == 0
    assert ids(capsys.readouterr().out) == found


def test_nothing_found_is_said_and_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list", "zzz"]) == 0
    assert capsys.readouterr().out == "No models.\n"
    assert main(["models", "list", "zzz", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_a_bad_pattern_is_a_message(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "[a"]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and "has no ]" in captured.err and "Traceback" not in captured.err


@pytest.mark.parametrize("words", [["--min-size", "lots"], ["--sort", "colour"], ["--format", "x"]])
def test_a_flag_that_makes_no_sense_is_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["models", *words])
    assert ended.value.code == 2
    assert "usage: mlx-harmony models list" in capsys.readouterr().err


def test_looking_writes_nothing(tmp_path: Path) -> None:
    main(["models"])
    assert not (tmp_path / "home").exists()


def test_profiles_stand_in_the_rows_and_below_the_whole_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "home").mkdir()
    profiles = {"work": {"model": "org/A"}, "lost": {"model": "org/Z"}}
    (tmp_path / "home" / "profiles.json").write_text(json.dumps(profiles))
    assert main(["models"]) == 0
    models, _, below = capsys.readouterr().out.partition("\n\n")
    rows = {line.split()[0]: line for line in models.splitlines()}
    assert "PROFILES" in rows["MODEL"] and "work" in rows["org/A"] and "work" not in rows["org/B"]
    heading, work, lost = below.splitlines()
    assert heading.split() == ["PROFILE", "MODEL", "PROMPT", "CONFIG"]
    assert work.split() == ["work", "org/A"] and lost.startswith("lost") and "No model 'org/Z'" in lost
    assert main(["models", "org/"]) == 0
    assert "PROMPT CONFIG" not in capsys.readouterr().out


def test_a_wide_table_tells_where_each_model_is_and_which_revisions_there_are(cache: HubCache, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "org/B", "--wide"]) == 0
    heading, row = capsys.readouterr().out.splitlines()
    assert {"THINKING", "TOOLS", "DRAFTS", "MODIFIED", "REVISIONS", "PATH"} <= set(heading.split())
    assert "b2, b1" in row and row.endswith(str(cache.repository("org/B") / "snapshots" / "b2"))


def test_info_is_a_line_for_each_fact(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "info", "org/B"]) == 0
    facts = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert facts["model"] == "org/B" and facts["revision"] == "b2 (main)" and facts["complete"] == "yes"
    assert main(["models", "info", "org/E"]) == 0
    assert "no: Its file model.safetensors is missing." in capsys.readouterr().out
    assert main(["models", "info"]) == 0
    assert "harmony" in capsys.readouterr().out


def test_a_model_may_be_named_by_its_folder(fx1: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shutil.copytree(fx1, tmp_path / "mine" / "little")
    assert main(["models", "info", str(folder), "--models-dir", str(tmp_path / "mine"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == "little"


@pytest.mark.parametrize("action", ["info", "forecast"])
@pytest.mark.parametrize("name", ["nothing", "../org/A", "/etc", "org/a"])
def test_a_model_that_is_not_there_is_refused_with_those_that_are(action: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", action, name]) == 1
    assert "Known: starter, org/A, org/B, org/E." in capsys.readouterr().err


def test_a_forecast_names_its_parts_and_what_is_free(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(outlook, "available_bytes", lambda: 2 * 10**9)
    assert main(["models", "forecast", "starter"]) == 0
    facts = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert facts["context"] == "4096 tokens" and facts["free"] == "2.0 GB" and facts["verdict"] == "fits"
    told = []
    for context in ("100", "200"):
        assert main(["models", "forecast", "starter", "--context", context, "--json"]) == 0
        told.append(json.loads(capsys.readouterr().out))
    parts = told[0]["forecast"]
    assert told[0]["total"] == parts["weights"] + parts["kv"] + parts["working"]
    assert 0 < parts["kv"] < told[1]["forecast"]["kv"] and told[0]["verdict"] == "fits"


def test_what_cannot_be_forecast_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "forecast", "org/A"]) == 1
    assert "What org/A needs is not known. Its files do not tell" in capsys.readouterr().err


@pytest.mark.parametrize("context", ["0", "-1", "many", "9999999999", "\u0661"])
def test_a_context_is_a_whole_number_of_tokens(context: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["models", "forecast", "--context", context])
    assert "whole number of tokens" in capsys.readouterr().err or context == "-1"


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("500MB", 500_000_000), ("2.5 GB", 2_500_000_000), ("1k", 1000), ("3B", 3), ("1t", 10**12)]
)
def test_sizes_may_be_given_with_units(text: str, size: int) -> None:
    assert bytes_of(text) == size


@pytest.mark.parametrize(
    ("number", "words"), [(None, ""), (0, ""), (999, "999"), (14_100_000, "14.1M"), (8_190_000_000, "8.19B"), (10**12, "1T")]
)
def test_weights_are_counted_in_short(number: int | None, words: str) -> None:
    assert amount(number) == words
