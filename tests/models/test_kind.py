"""Formats told from files alone, without mlx: bounded reads, and a reason for everything that cannot be used."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlx_harmony.models import kind
from mlx_harmony.models.kind import HARMONY_TOKENS, format_of


def folder_with(folder: Path, config: Any = None, **files: Any) -> Path:
    contents = {"config.json": {"model_type": "llama"} if config is None else config}
    contents |= {name.replace("__", "."): content for name, content in files.items()}
    for name, content in contents.items():
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return folder


def added(*texts: str) -> dict[str, Any]:
    return {"added_tokens": [{"id": at, "content": text} for at, text in enumerate(texts)]}


def test_gpt_oss_is_harmony_whatever_its_folder_is_called(tmp_path: Path) -> None:
    (tmp_path / "llama").mkdir()
    assert format_of(folder_with(tmp_path / "llama", {"model_type": "gpt_oss"})) == ("harmony", "")


def test_a_folder_named_gpt_oss_is_not_harmony_for_that(tmp_path: Path) -> None:
    (tmp_path / "gpt-oss-20b").mkdir()
    assert format_of(folder_with(tmp_path / "gpt-oss-20b", chat_template__jinja="x")) == ("template", "")


def test_harmonys_whole_set_of_tokens_is_harmony_and_part_of_it_is_not(tmp_path: Path) -> None:
    assert format_of(folder_with(tmp_path, tokenizer__json=added(*HARMONY_TOKENS))) == ("harmony", "")
    assert format_of(folder_with(tmp_path, tokenizer__json=added(*sorted(HARMONY_TOKENS)[1:]))) == ("raw", "")


def test_the_tokens_may_stand_in_the_tokenizers_settings(tmp_path: Path) -> None:
    listed = {"added_tokens_decoder": {str(at): {"content": text} for at, text in enumerate(HARMONY_TOKENS)}}
    assert format_of(folder_with(tmp_path, tokenizer_config__json=listed)) == ("harmony", "")


@pytest.mark.parametrize(
    "files", [{"chat_template__jinja": "x"}, {"chat_template__json": "{}"}, {"tokenizer_config__json": {"chat_template": "x"}}]
)
def test_a_chat_template_may_stand_in_three_places(tmp_path: Path, files: dict[str, Any]) -> None:
    assert format_of(folder_with(tmp_path, **files)) == ("template", "")


def test_without_a_template_it_is_raw(tmp_path: Path) -> None:
    assert format_of(folder_with(tmp_path)) == ("raw", "")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', "[" * 100_000, "\x00"])
def test_a_corrupt_config_is_unsupported_with_the_reason(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    found, reason = format_of(tmp_path)
    assert found == "unsupported"
    assert "config.json" in reason


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_a_corrupt_tokenizer_is_unsupported_with_the_reason(tmp_path: Path, name: str) -> None:
    folder_with(tmp_path)
    (tmp_path / name).write_bytes(b"\xff\xfe{")
    found, reason = format_of(tmp_path)
    assert found == "unsupported"
    assert name in reason


@pytest.mark.parametrize("tokenizer", [{"added_tokens": 5}, {"added_tokens": [5, None, {"content": 5}]}, {}])
def test_odd_token_lists_are_no_tokens(tmp_path: Path, tokenizer: Any) -> None:
    assert format_of(folder_with(tmp_path, tokenizer__json=tokenizer)) == ("raw", "")


def test_a_missing_config_is_unsupported(tmp_path: Path) -> None:
    assert format_of(tmp_path)[0] == "unsupported"
    assert format_of(tmp_path / "nowhere")[0] == "unsupported"


def test_a_config_without_a_model_type_is_unsupported(tmp_path: Path) -> None:
    assert format_of(folder_with(tmp_path, {"hidden_size": 1}))[0] == "unsupported"
    assert format_of(folder_with(tmp_path, {"model_type": 5}))[0] == "unsupported"


@pytest.mark.parametrize("key", ["model_file", "auto_map"])
def test_foreign_code_is_refused(tmp_path: Path, key: str) -> None:
    found, reason = format_of(folder_with(tmp_path, {"model_type": "gpt_oss", key: "x.py"}))
    assert found == "unsupported"
    assert "code" in reason


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kind, "MAX_CONFIG_BYTES", 1000)
    assert "larger than" in format_of(folder_with(tmp_path, {"model_type": "llama", "x": "y" * 1000}))[1]


def test_it_needs_neither_mlx_nor_transformers() -> None:
    code = "import sys, mlx_harmony.models.kind; sys.exit(any(m.split('.')[0] in ('mlx', 'mlx_lm', 'transformers') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
