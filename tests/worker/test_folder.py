"""No file of a model folder reaches mlx unless it is sound, and what is wrong is named."""

import itertools
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlx_harmony.errors import LoadFailed, UnsupportedArchitecture
from mlx_harmony.worker.folder import INDEX, MAX_CONFIG_BYTES, check_folder, check_weights
from mlx_harmony.worker.samples import sampled


@pytest.fixture
def folder(fx1: Path, tmp_path: Path) -> Path:
    """A copy of FX1 to break."""
    return Path(shutil.copytree(fx1, tmp_path / "model"))


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def shard(folder: Path) -> Path:
    return sorted(folder.glob("*.safetensors"))[1]


def write_safetensors(path: Path, header: dict[str, Any], data: bytes) -> None:
    encoded = json.dumps(header).encode()
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + data)


def test_a_sound_folder_passes_with_its_facts(fx1: Path, fx2: Path) -> None:
    checked = check_folder(str(fx1))
    assert checked.context_length == 8192
    assert len(checked.weight_files) == 3
    assert check_folder(str(fx2)).context_length == 4096


def test_the_fingerprint_knows_every_file_that_matters(folder: Path) -> None:
    first = check_folder(str(folder)).fingerprint
    assert check_folder(str(folder)).fingerprint == first
    (folder / "README.md").write_text("hello")
    assert check_folder(str(folder)).fingerprint == first
    seen = {first}
    edit(folder / "config.json", lambda config: config.update(rope_theta=20000.0))
    seen.add(check_folder(str(folder)).fingerprint)
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    seen.add(check_folder(str(folder)).fingerprint)
    write_safetensors(folder / "model-extra.safetensors", {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"\0" * 4)
    seen.add(check_folder(str(folder)).fingerprint)
    (folder / "generation_config.json").write_text('{"repetition_penalty": 1.1}')
    seen.add(check_folder(str(folder)).fingerprint)
    assert len(seen) == 5


def test_the_fingerprint_sees_a_fine_tune_and_no_copy(folder: Path) -> None:
    first = check_folder(str(folder)).fingerprint
    file = shard(folder)
    data = file.read_bytes()
    begin = 8 + int.from_bytes(data[:8], "little")
    file.write_bytes(data[:begin] + bytes(255 - byte for byte in data[begin:]))
    tuned = check_folder(str(folder)).fingerprint
    assert tuned != first
    assert tuned.partition(".")[0] == first.partition(".")[0], "what earlier releases kept of a model stays comparable"
    file.write_bytes(data)
    os.utime(file, (0, 0))
    assert check_folder(str(folder)).fingerprint == first


def test_one_small_tensor_of_gigabytes_that_changes_whole_is_seen_at_once(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    sizes = (2**32, 2**15, 2**32, 2**32)
    ends = tuple(itertools.accumulate(sizes))
    spans = zip(sizes, ends, strict=True)
    header = {str(end): {"dtype": "U8", "shape": [size], "data_offsets": [end - size, end]} for size, end in spans}
    write_safetensors(file, header, b"")
    begin = file.stat().st_size
    # The rest is a hole, which takes no room on the disk.
    os.truncate(file, begin + ends[-1])
    check_weights(file)
    started = time.process_time()
    before = sampled(file)
    with file.open("r+b") as weights:
        weights.seek(begin + ends[0])
        weights.write(b"\1" * sizes[1])
    assert sampled(file) != before
    assert time.process_time() - started < 1.0, "twelve gigabytes are not read to know them"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('{"repetition_penalty": 1.1}', 1.1),
        ('{"repetition_penalty": 1}', 1.0),
        ('{"temperature": 0.6}', None),
        ('{"repetition_penalty": "1.1"}', None),
        ('{"repetition_penalty": true}', None),
        ('{"repetition_penalty": -1}', None),
        ('{"repetition_penalty": NaN}', None),
        ('{"repetition_penalty": 1e999}', None),
        ("[1.1]", None),
        ("{", None),
    ],
)
def test_a_recommended_penalty_is_taken_where_it_is_a_number_and_ignored_elsewhere(
    folder: Path, written: str, expected: float | None
) -> None:
    (folder / "generation_config.json").write_text(written)
    assert check_folder(str(folder)).repetition_penalty == expected


def test_a_folder_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match="no model folder"):
        check_folder(str(tmp_path / "nothing"))


def test_a_missing_config_is_named(folder: Path) -> None:
    (folder / "config.json").unlink()
    with pytest.raises(LoadFailed, match=r"config\.json is missing") as caught:
        check_folder(str(folder))
    assert caught.value.hint


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'"text"', b"[" * 100_000, b"{" + b" " * MAX_CONFIG_BYTES + b"}"]
)
def test_a_config_that_is_no_small_json_object_is_refused(folder: Path, content: bytes) -> None:
    (folder / "config.json").write_bytes(content)
    with pytest.raises(LoadFailed, match=r"config\.json"):
        check_folder(str(folder))


@pytest.mark.parametrize("name", ["model_file", "auto_map"])
def test_a_model_that_wants_to_run_code_of_its_own_is_refused(folder: Path, name: str) -> None:
    (folder / "evil.py").write_text("raise SystemExit('ran')")
    edit(folder / "config.json", lambda config: config.update({name: "evil.py"}))
    with pytest.raises(UnsupportedArchitecture, match="code of its own"):
        check_folder(str(folder))


@pytest.mark.parametrize("model_type", [None, "", 5, "../cache", "a/b", "os;x", "..", "llama.evil/../x"])
def test_a_model_type_that_is_no_plain_name_is_refused(folder: Path, model_type: object) -> None:
    edit(folder / "config.json", lambda config: config.update(model_type=model_type))
    with pytest.raises(LoadFailed, match="model_type"):
        check_folder(str(folder))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("vocab_size", -1),
        ("hidden_size", 10**12),
        ("num_hidden_layers", 5000),
        ("num_attention_heads", "8"),
        ("head_dim", 1.5),
        ("vocab_size", True),
    ],
)
def test_sizes_out_of_range_are_refused(folder: Path, field: str, value: object) -> None:
    edit(folder / "config.json", lambda config: config.update({field: value}))
    with pytest.raises(LoadFailed, match=field):
        check_folder(str(folder))


@pytest.mark.parametrize("name", ["../x.safetensors", "/etc/passwd", "a/b.safetensors", "..", ".", "", 7])
def test_an_index_that_leaves_the_folder_is_refused(folder: Path, name: object) -> None:
    edit(folder / INDEX, lambda index: index["weight_map"].update(x=name))
    with pytest.raises(LoadFailed, match="outside the model's folder"):
        check_folder(str(folder))


def test_a_missing_shard_is_named(folder: Path) -> None:
    gone = shard(folder)
    gone.unlink()
    with pytest.raises(LoadFailed, match=gone.name):
        check_folder(str(folder))


def test_a_folder_without_weights_says_so(folder: Path) -> None:
    for file in [*folder.glob("*.safetensors"), folder / INDEX]:
        file.unlink()
    with pytest.raises(LoadFailed, match="no weights"):
        check_folder(str(folder))


def test_a_broken_index_is_refused(folder: Path) -> None:
    (folder / INDEX).write_text('{"weight_map": []}')
    with pytest.raises(LoadFailed, match="weight_map"):
        check_folder(str(folder))


def test_a_cut_weight_file_is_named_as_corrupt(folder: Path) -> None:
    file = shard(folder)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(LoadFailed, match=f"{file.name} is corrupt"):
        check_folder(str(folder))


F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "header",
    [
        {"a": F32, "b": F32},
        {"a": {**F32, "data_offsets": [8, 0]}},
        {"a": {**F32, "data_offsets": [0, 2**63]}},
        {"a": {**F32, "shape": [-2]}},
        {"a": {**F32, "shape": [0], "data_offsets": [0, 0]}, "b": F32},
        {"a": {**F32, "shape": [2**40, 2**40]}},
        {"a": {**F32, "dtype": "F99"}},
        {"a": {**F32, "data_offsets": [4, 12]}},
        {"a": "nothing"},
    ],
)
def test_a_header_mlx_would_believe_is_refused(tmp_path: Path, header: dict[str, Any]) -> None:
    file = tmp_path / "model.safetensors"
    write_safetensors(file, header, b"\0" * 8)
    with pytest.raises(LoadFailed, match=r"model\.safetensors"):
        check_weights(file)


@pytest.mark.parametrize("content", [b"", b"\0" * 8, b"\xff" * 8, b"\xff" * 64, b"GGUF" * 20, (10).to_bytes(8, "little") + b"{"])
def test_a_file_that_is_no_safetensors_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(content)
    with pytest.raises(LoadFailed, match=r"model\.safetensors"):
        check_weights(file)
