"""Which models are not all here, and what is said of them."""

import json
import os
from pathlib import Path

import pytest

from mlx_harmony.models.folder import describe, files_of
from mlx_harmony.models.wholeness import INDEX, dangling, lacking


def weights(path: Path, size: int = 64, *, cut: int = 0) -> None:
    header = json.dumps({"__metadata__": {"format": "mlx"}, "w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    path.write_bytes((len(header).to_bytes(8, "little") + header + b"\0" * size)[: -cut or None])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files of weights and their index."""
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    names = [f"model-0000{at}-of-00002.safetensors" for at in (1, 2)]
    for name in names:
        weights(tmp_path / name)
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"a": names[0], "b": names[1], "c": names[1]}}))
    return tmp_path


def lack(folder: Path) -> str:
    return lacking(folder, tuple(files_of(folder)))


def test_a_whole_model_lacks_nothing(folder: Path, fx1: Path, fx2: Path) -> None:
    assert [lack(each) for each in (folder, fx1, fx2)] == ["", "", ""]


@pytest.mark.parametrize("indexed", [True, False], ids=["by the index", "by the names' numbers"])
def test_missing_weights_are_counted(folder: Path, indexed: bool) -> None:
    (folder / "model-00002-of-00002.safetensors").unlink()
    if not indexed:
        (folder / INDEX).unlink()
    assert lack(folder) == "1 of its 2 files of weights is missing. Download it again."
    assert describe("m", folder, "folder").problem == lack(folder)


def test_an_index_alone_promises_all_of_its_files(folder: Path) -> None:
    for file in folder.glob("*.safetensors"):
        file.unlink()
    assert lack(folder) == "2 of its 2 files of weights are missing. Download it again."
    (folder / INDEX).unlink()
    assert lack(folder) == "It has no weights (*.safetensors)."


@pytest.mark.parametrize("cut", [1, 63, 70])
def test_weights_that_end_too_early_are_named(folder: Path, cut: int) -> None:
    weights(folder / "model-00001-of-00002.safetensors", cut=cut)
    assert lack(folder) == "Its file model-00001-of-00002.safetensors is cut short. Download it again."


@pytest.mark.parametrize("content", [b"w" * 100, b"\x05" + b"\0" * 7 + b"{{{{{", b"\x02" + b"\0" * 7 + b"{}"])
def test_a_header_without_sense_is_for_others_to_judge(folder: Path, content: bytes) -> None:
    (folder / "model-00001-of-00002.safetensors").write_bytes(content)
    assert lack(folder) == ""


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"weight_map": 3}', b'{"weight_map": {"a": 3}}', b"[" * 100_000])
def test_an_index_without_sense_promises_nothing(folder: Path, content: bytes) -> None:
    (folder / INDEX).write_bytes(content)
    assert lack(folder) == ""


def test_a_folder_that_has_changed_is_looked_at_again(folder: Path) -> None:
    assert lack(folder) == ""
    weights(folder / "model-00001-of-00002.safetensors", cut=1)
    assert "cut short" in lack(folder)
    weights(folder / "model-00001-of-00002.safetensors")
    os.utime(folder / "model-00001-of-00002.safetensors", (1, 1))
    assert lack(folder) == ""


def test_a_link_that_leads_nowhere_is_a_missing_file(folder: Path, tmp_path: Path) -> None:
    assert dangling(folder) == "" == dangling(folder / "gone")
    (folder / "tokenizer.json").symlink_to(tmp_path / "nowhere")
    assert dangling(folder) == "Its file tokenizer.json is missing. Download it again."
