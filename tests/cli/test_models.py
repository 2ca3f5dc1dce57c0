"""`models`: the table for people, the JSON for programs."""

import json
import shutil
from pathlib import Path

import pytest

from mlx_harmony.cli.main import main
from mlx_harmony.cli.models_table import info_lines, model_lines, size
from mlx_harmony.models import outlook
from mlx_harmony.models.folder import describe
from mlx_harmony.models.info import ModelInfo, infos_of
from mlx_harmony.records import ChatName, ModelEntry

ADDED = ("family", "revision", "ref", "revisions", "revision_bytes", "parameters", "last_used_at", "thinking", "tools")
ADDED = (*ADDED, "drafts", "profiles", "chats", "latest_chats", "lacks", "complete", "memory")


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLX_HARMONY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "no-cache"))


@pytest.fixture
def folder(tmp_path: Path, fx1: Path, fx2: Path) -> Path:
    """Two models and one that is broken."""
    shutil.copytree(fx1, tmp_path / "mine" / "little-llama")
    shutil.copytree(fx2, tmp_path / "mine" / "windows")
    broken = tmp_path / "mine" / "broken"
    broken.mkdir()
    (broken / "config.json").write_text("{")
    return tmp_path / "mine"


def test_the_table_has_a_line_for_each_model(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--models-dir", str(folder)]) == 0
    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split() == ["MODEL", "SIZE", "NEEDS", "WEIGHTS", "BITS", "FORMAT", "ARCHITECTURE", "CONTEXT", "USED", "FROM"]
    shown = {row.split()[0]: row for row in rows}
    assert set(shown) == {"starter", "little-llama", "windows", "broken"}
    assert "harmony" in shown["windows"] and "gpt_oss" in shown["windows"]
    assert "template" in shown["little-llama"]
    assert shown["broken"].endswith(")")


def test_json_carries_every_field(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--json", "--models-dir", str(folder)]) == 0
    listed = {model["id"]: model for model in json.loads(capsys.readouterr().out)}
    assert set(listed["starter"]) == {*ModelEntry.__struct_fields__, *ADDED}
    told = listed["little-llama"]["memory"]["forecast"]
    assert told["context"] == 8192 and told["weights"] > 0 and told["kv"] > 0 and told["working"] > 0
    assert listed["broken"]["memory"] is None
    assert listed["little-llama"]["bytes"] == sum(file.stat().st_size for file in (folder / "little-llama").iterdir())
    assert listed["broken"]["problem"]


def test_a_folder_that_is_not_there_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["models", "--models-dir", str(tmp_path / "nowhere")])
    assert ended.value.code == 2
    assert "no folder" in capsys.readouterr().err


def test_no_models_are_said_in_words() -> None:
    assert list(model_lines([], outlook.needs_of)) == ["No models."]


def test_a_model_is_told_of_with_its_latest_chats_and_no_title_moves_the_cursor() -> None:
    entry = ModelEntry(id="m", path="", bytes=1, architecture="", format="template", source="folder")
    latest = (ChatName(id="a", title="Fr\x1b[2Ance\nand \x9b2J more"), ChatName(id="b", title="x" * 90))
    facts = dict(line.split(maxsplit=1) for line in info_lines(ModelInfo(entry=entry, chats=7, latest_chats=latest), None))
    assert facts["chats"] == f"7: Fr\ufffd[2Ance and \ufffd2J more; {'x' * 47}…; and 5 more"
    assert "chats" not in dict(line.split(maxsplit=1) for line in info_lines(ModelInfo(entry=entry), None))


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (15_098_156, "15.1 MB"), (13 * 10**9, "13.0 GB")],
)
def test_sizes_have_units(number: int, words: str) -> None:
    assert size(number) == words


def test_a_model_that_would_not_fit_is_told_with_what_is_free(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (info,) = infos_of([describe("little-llama", folder / "little-llama", "folder")])
    for free, said in ((50_000_000, "does not fit: 50.0 MB"), (209_000_000, "whole context does not fit: 209.0 MB"), (10**10, "")):
        monkeypatch.setattr(outlook, "available_bytes", lambda free=free: free)
        (_, row) = model_lines([info], outlook.needs_of)
        assert said in row if said else "fit" not in row
