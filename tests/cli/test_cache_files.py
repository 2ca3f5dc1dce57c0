"""`cache save`, `load` and `prompt`, and --prompt-cache-file: what was read once is not read again, and a refusal says why."""

import io
import json
import sys
from pathlib import Path

import pytest

from mlx_harmony.cache_records import Reuse
from mlx_harmony.cli.begun import worth
from mlx_harmony.cli.main import main
from mlx_harmony.shelf.bundle import read_bundle

pytestmark = pytest.mark.integration

PROMPT = "The quick brown fox jumps over the lazy dog, again and again. " * 8
QUESTION = f"{PROMPT}\nHow are you today?"


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLX_HARMONY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "no-cache"))
    return tmp_path / "home"


@pytest.fixture(params=["fx1", "fx2"])
def model(request: pytest.FixtureRequest) -> Path:
    folder: Path = request.getfixturevalue(request.param)
    return folder


def cached(model: Path, file: Path, *more: str) -> int:
    return main(["cache", "prompt", "--model", str(model), "--prompt", PROMPT, "--prompt-cache-file", str(file), *more])


def generated(capsys: pytest.CaptureFixture[str], model: Path, prompt: str, *more: str) -> tuple[dict[str, object], int, str]:
    """The document without its times, how many tokens were cached, and what was said beside."""
    capsys.readouterr()
    words = ["generate", "--model", str(model), "--temperature", "0", "--max-tokens", "8", "--json", *more, prompt]
    assert main(words) == 0
    said = capsys.readouterr()
    document = json.loads(said.out)
    kept = document["usage"]["cached_tokens"]
    return {"text": document["text"], "reasoning": document["reasoning"]}, kept, said.err


def test_a_prompt_that_was_read_once_is_not_read_again_and_the_answer_is_the_same(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "prompt.kv"
    assert cached(model, file, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["path"] == str(file) and told["model"] == str(model) and told["bytes"] == file.stat().st_size
    assert told["tokens"] >= told["prompt_tokens"] - 1 > 100
    assert told["tokens_per_second"] > 0 and told["peak_memory_bytes"] > 10**7
    for prompt, most_read in ((PROMPT, 1), (QUESTION, 120)):
        plain, nothing, _ = generated(capsys, model, prompt)
        begun, reused, said = generated(capsys, model, prompt, "--prompt-cache-file", str(file))
        assert (begun, nothing) == (plain, 0)
        assert reused >= told["prompt_tokens"] - most_read
        assert "were in the file" in said
    _, _, said = generated(capsys, model, "Something else.", "--prompt-cache-file", str(file))
    assert "in the file" in said


def test_the_prompt_comes_from_stdin_and_what_it_took_is_told_to_people(
    fx1: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(PROMPT))
    words = ["--model", str(fx1), "--prompt", "-", "--prompt-cache-file", str(tmp_path / "a.kv")]
    assert main(["cache", "prompt", *words]) == 0
    saved, read, peak = capsys.readouterr().out.splitlines()
    assert saved.startswith("Saved ") and saved.endswith(str(tmp_path / "a.kv"))
    assert "tok/s" in read and peak.startswith("Peak memory: ")


def test_a_file_is_not_written_over_without_force_and_a_missing_flag_is_wrong_usage(
    fx1: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.kv"
    file.write_text("mine")
    assert cached(fx1, file) == 2
    assert "is there already" in capsys.readouterr().err
    assert file.read_text() == "mine"
    assert cached(fx1, file, "--force") == 0
    assert read_bundle(file).run.end > 100
    for words in (["--prompt", "x"], ["--prompt-cache-file", str(tmp_path / "b.kv")], ["--prompt", " ", "--prompt-cache-file", "b.kv"]):
        assert main(["cache", "prompt", "--model", str(fx1), *words]) == 2


def test_an_entry_moves_from_one_home_to_another(
    fx1: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "prompt.kv"
    cached(fx1, file)
    assert main(["cache", "load", str(file)]) == 0
    capsys.readouterr()
    assert main(["cache", "list", "--json"]) == 0
    (kept,) = json.loads(capsys.readouterr().out)
    (entry,) = kept["entries"]
    assert (kept["model"], entry["start"]) == (str(fx1), 0)
    assert main(["cache", "save", entry["id"][:6], str(tmp_path / "again.kv"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tokens"] == entry["end"]
    assert main(["cache", "save", entry["id"][:6], str(tmp_path / "again.kv")]) == 2
    assert main(["cache", "save", entry["id"][:6]]) == 2
    assert main(["cache", "load"]) == 2
    monkeypatch.setenv("MLX_HARMONY_CACHE_DISK_MB", "0")
    assert main(["cache", "load", str(file)]) == 2
    assert "Nothing is kept on disk here" in capsys.readouterr().err


def test_a_file_of_another_model_or_a_damaged_one_is_refused_with_the_reason(
    fx1: Path, fx2: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "prompt.kv"
    cached(fx1, file)
    capsys.readouterr()
    words = ["generate", "--model", str(fx2), "--prompt-cache-file", str(file), "Hello"]
    assert main(words) == 2
    assert "was saved with another model: its weights, chat template or tokenizer, KV format is not the same" in capsys.readouterr().err
    assert main(["cache", "load", str(file), "--model", str(fx2)]) == 2
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert main(["cache", "load", str(file)]) == 2
    assert "its contents are damaged" in capsys.readouterr().err


def test_a_chat_begins_from_a_file(fx1: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "prompt.kv"
    words = ["--system", PROMPT, "--model", str(fx1)]
    assert main(["cache", "prompt", *words, "--prompt", "Hello", "--prompt-cache-file", str(file)]) == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO("Hello\n"))
    assert main(["chat", *words, "--max-tokens", "4", "--prompt-cache-file", str(file)]) == 0
    capsys.readouterr()
    assert main(["cache", "list", "--json"]) == 0
    (kept,) = json.loads(capsys.readouterr().out)
    assert any(entry["chats"] for entry in kept["entries"])


def test_what_a_file_was_worth_is_said_in_words() -> None:
    assert worth(Reuse(prompt=1200, memory=1000)) == "1,000 of 1,200 tokens of the prompt were in the file."
    assert "part at token 5" in worth(Reuse(prompt=1200, position=5))
    assert worth(Reuse(prompt=1200)).endswith("in it.")
