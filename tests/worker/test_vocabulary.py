"""Harmony's vocabulary is made on this machine, verified, and never half written."""

import base64
import json
import os
import threading
from pathlib import Path

import pytest

from mlx_harmony.errors import LoadFailed
from mlx_harmony.worker import vocabulary
from mlx_harmony.worker.vocabulary import FILE, SHA256, TOKENS, from_splintr, from_tokenizer, o200k_folder
from tests.fixtures.formats import O200kTokenizer


@pytest.fixture(scope="module")
def content() -> bytes:
    return from_splintr()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIKTOKEN_ENCODINGS_BASE", "")


def refused() -> bytes:
    raise OSError("no network")


def test_it_is_made_offline_with_openai_harmonys_own_checksum(tmp_path: Path) -> None:
    folder = o200k_folder(tmp_path, sources=(from_splintr, refused))

    assert vocabulary._right((folder / FILE).read_bytes())
    assert os.environ["TIKTOKEN_ENCODINGS_BASE"] == str(folder)
    assert SHA256.startswith("446a9538")


def test_a_file_that_is_there_is_not_made_again(tmp_path: Path, content: bytes) -> None:
    o200k_folder(tmp_path, sources=(lambda: content,))

    assert o200k_folder(tmp_path, sources=(refused,)).is_dir()


def test_a_damaged_file_is_made_again(tmp_path: Path, content: bytes) -> None:
    folder = o200k_folder(tmp_path, sources=(lambda: content,))
    damaged = bytearray(content)
    damaged[1000] ^= 1
    (folder / FILE).write_bytes(damaged)

    o200k_folder(tmp_path, sources=(lambda: content,))

    assert (folder / FILE).read_bytes() == content


def test_the_models_own_tokenizer_is_the_second_source(tmp_path: Path, content: bytes) -> None:
    tokenizer = O200kTokenizer()
    ranks = {tokenizer.convert_ids_to_tokens(token): token for token in range(TOKENS)}
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"vocab": ranks}}), encoding="utf-8")

    folder = o200k_folder(tmp_path / "home", sources=(refused, lambda: from_tokenizer(tmp_path)))

    assert (folder / FILE).read_bytes() == content


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"model": {"vocab": {"a": [0]}}}', '{"model": {"vocab": {"a": 0}}}'])
def test_a_tokenizer_that_holds_something_else_is_passed_over(tmp_path: Path, text: str) -> None:
    (tmp_path / "tokenizer.json").write_text(text, encoding="utf-8")

    with pytest.raises(ValueError, match=r"."):
        from_tokenizer(tmp_path)


def test_without_any_source_the_error_says_what_to_do(tmp_path: Path) -> None:
    wrong = base64.b64encode(b"something else")

    with pytest.raises(LoadFailed) as failure:
        o200k_folder(tmp_path, sources=(refused, lambda: wrong))

    assert "no network" in failure.value.message
    assert "checksum" in failure.value.message
    assert FILE in failure.value.hint
    assert not (tmp_path / "vocabulary" / FILE).exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "vocabulary").write_text("a file in the way")

    with pytest.raises(LoadFailed, match="could not be written"):
        o200k_folder(tmp_path, sources=(lambda: content,))


def test_workers_that_start_at_once_do_not_disturb_each_other(tmp_path: Path, content: bytes) -> None:
    workers = [threading.Thread(target=o200k_folder, args=(tmp_path, None, (lambda: content,))) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert [file.name for file in (tmp_path / "vocabulary").iterdir()] == [FILE]
    assert (tmp_path / "vocabulary" / FILE).read_bytes() == content
