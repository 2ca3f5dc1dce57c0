"""Tokens counted by a tokenizer's file in a process of its own: the right number, and no harm from a file that is none."""

import asyncio
import json
import shutil
import signal
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from mlx_harmony.engine import counting
from mlx_harmony.engine.counting import TextCounts
from mlx_harmony.records import ModelEntry

TEXT = "You are a helpful assistant. Grüße, 你好! " * 40


@pytest.fixture
def entry(tmp_path: Path, fx1: Path) -> ModelEntry:
    shutil.copytree(fx1, tmp_path / "model")
    return ModelEntry(id="m", path=str(tmp_path / "model"), bytes=1, architecture="llama", format="template", source="folder")


async def test_it_counts_as_the_tokenizer_does_also_where_the_file_says_to_cut_texts_off(tmp_path: Path, entry: ModelEntry) -> None:
    file = Path(entry.path, "tokenizer.json")
    expected = len(Tokenizer.from_file(str(file)).encode(TEXT, add_special_tokens=False).ids)
    cut = Tokenizer.from_file(str(file))
    cut.enable_truncation(5)
    cut.enable_padding(length=9_000)
    cut.save(str(file))
    counts = TextCounts(str(tmp_path / "home"))
    assert await asyncio.gather(*(counts(entry, TEXT) for _ in range(4))) == [expected] * 4
    assert await counts(entry, "") == 0


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\x00" * 1000, b'{"model": {"type": "BPE"}}'], ids=str)
async def test_a_file_that_is_no_tokenizer_counts_nothing(tmp_path: Path, entry: ModelEntry, content: bytes | None) -> None:
    file = Path(entry.path, "tokenizer.json")
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    assert await TextCounts(str(tmp_path / "home"))(entry, TEXT) is None


async def test_a_tokenizer_that_raises_costs_its_own_process_only(tmp_path: Path, entry: ModelEntry) -> None:
    file = Path(entry.path, "tokenizer.json")
    data = json.loads(file.read_text("utf-8"))
    # So many ways to look at a text that the Rust side panics, which no `except Exception` would catch here.
    data["pre_tokenizer"] = {"type": "Split", "pattern": {"Regex": "(x+x+)+y"}, "behavior": "Isolated", "invert": False}
    file.write_text(json.dumps(data), "utf-8")
    assert await TextCounts(str(tmp_path / "home"))(entry, "x" * 300) is None


async def test_what_takes_too_long_is_ended(tmp_path: Path, entry: ModelEntry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "LONGEST_S", 0.002)
    started: list[asyncio.subprocess.Process] = []
    start = asyncio.create_subprocess_exec

    async def seen(*words: str, **options: object) -> asyncio.subprocess.Process:
        started.append(await start(*words, **options))  # type: ignore[arg-type]
        return started[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", seen)
    assert await TextCounts(str(tmp_path / "home"))(entry, TEXT) is None
    assert [process.returncode for process in started] == [-signal.SIGKILL]
