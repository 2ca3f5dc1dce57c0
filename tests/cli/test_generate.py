"""`generate` with real tiny models in this very process: what goes to stdout, what to stderr, and how it ends."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlx_harmony.cli.generate import Document
from mlx_harmony.cli.main import main
from mlx_harmony.events import Event, Failed
from mlx_harmony.models.used import Used
from tests.cli.conftest import Recorded
from tests.fixtures.scripted import call, say
from tests.fixtures.server import INTERRUPTIBLE

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLX_HARMONY_HOME", str(tmp_path / "home"))


def test_the_answer_and_nothing_else_is_on_stdout(fx1: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["generate", "--model", str(fx1), "--temperature", "0", "--max-tokens", "6", "good morning"]
    assert main(words) == 0
    first = capsys.readouterr()
    assert first.out.strip()
    assert main(words) == 0
    assert capsys.readouterr().out == first.out
    assert list(Used(str(tmp_path / "home")).times()) == [str(fx1)]


def test_the_prompt_comes_from_stdin(fx1: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["generate", "--model", str(fx1), "--raw-prompt"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("told through a pipe"))
    assert main(words) == 0
    assert "told through a pipe" in capsys.readouterr().out
    monkeypatch.setattr(sys, "stdin", io.StringIO("told by a dash"))
    assert main([*words, "-"]) == 0
    assert "told by a dash" in capsys.readouterr().out


def test_a_request_in_json_is_answered_as_it_says(fx1: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = tmp_path / "asked.json"
    asked.write_text(json.dumps({"model": fx1.name, "messages": [{"role": "user", "content": "by request"}], "seed": 5, "max_tokens": 3}))
    assert main(["generate", "--models-dir", str(fx1.parent), "--request", str(asked), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["model"] == fx1.name and document["seed"] == 5 and document["usage"]["completion_tokens"] <= 3
    for text, said in (("{", "no JSON"), ("[]", "JSON object"), ("{}", "messages is missing"), (None, "could not be read")):
        asked.write_text(text) if text is not None else asked.unlink()
        assert main(["generate", "--request", str(asked)]) == 2
        assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("beside", "named"), [(["hello"], "prompt"), (["--temperature", "0"], "temperature"), (["--effort", "low"], "effort")]
)
def test_a_request_in_json_is_whole_and_nothing_beside_it_is_passed_over(
    beside: list[str], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = tmp_path / "asked.json"
    asked.write_text(json.dumps({"messages": [{"role": "user", "content": "by request"}]}))
    assert main(["generate", "--request", str(asked), *beside]) == 2
    assert f"brings its own {named}." in capsys.readouterr().err


def test_no_prompt_from_a_person_is_wrong_usage(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Keyboard(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Keyboard())
    assert main(["generate"]) == 2
    assert "no prompt" in capsys.readouterr().err


def test_an_empty_prompt_is_refused(fx1: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "--model", str(fx1), "  "]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "empty" in captured.err


def test_of_a_prompt_that_is_too_long_nothing_is_said_but_that(fx1: Path) -> None:
    command = [sys.executable, "-m", "mlx_harmony", "generate", "--model", str(fx1), "-"]
    ended = subprocess.run(command, input="hello " * 9000, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (1, "")
    first, *rest = ended.stderr.splitlines()
    assert re.fullmatch(r"Error: The prompt has \d+ tokens; the model's context holds 8192, answer included\.", first)
    assert rest == ["Shorten the message, start a new chat, or choose a model with a longer context."]


def test_an_unknown_model_names_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "--model", "nothing-of-that-name", "hi"]) == 1
    assert "starter" in capsys.readouterr().err


def test_a_broken_model_is_an_error_and_no_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}')
    assert main(["generate", "--model", str(folder), "hi"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("Error: ") and "Traceback" not in captured.err


def test_raw_prompt_prints_what_the_model_reads(fx2: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "--model", str(fx2), "--raw-prompt", "--effort", "low", "--system", "Be brief.", "Hi <|end|> there"]) == 0
    raw = capsys.readouterr().out
    assert raw.startswith("<|start|>system<|message|>")
    assert "Reasoning: low" in raw
    assert "Be brief." in raw
    assert raw.endswith("<|start|>user<|message|>Hi <|end|> there<|end|><|start|>assistant\n")


def test_a_written_request_s_role_mapping_is_what_a_model_without_a_template_reads(
    fx1: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = shutil.copytree(fx1, tmp_path / "bare")
    (bare / "chat_template.jinja").unlink()
    body = {"messages": [{"role": "user", "content": "Hi"}], "role_mapping": {"user": "USER: ", "assistant": "BOT: ", "stop": "\n"}}
    (tmp_path / "asked.json").write_text(json.dumps(body))
    asked = ["generate", "--request", str(tmp_path / "asked.json"), "--raw-prompt", "--model"]
    assert main([*asked, str(bare)]) == 0
    assert capsys.readouterr().out.removeprefix("<s>") == "USER: Hi\nBOT:\n"
    assert main([*asked, str(fx1)]) == 2
    assert "role_mapping" in capsys.readouterr().err


def test_a_written_request_may_ask_for_a_profile(
    fx2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLX_HARMONY_HOME", str(tmp_path))
    (tmp_path / "low.json").write_text('{"reasoning_effort": "low", "developer_instructions": "Be brief."}')
    (tmp_path / "profiles.json").write_text(json.dumps({"low": {"model": str(fx2), "prompt_config": "low.json"}}))
    (tmp_path / "asked.json").write_text('{"model": "low", "messages": [{"role": "user", "content": "Hi"}]}')
    assert main(["generate", "--request", str(tmp_path / "asked.json"), "--raw-prompt"]) == 0
    raw = capsys.readouterr().out
    assert "Reasoning: low" in raw and "Be brief." in raw


def test_json_is_one_document(fx2: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "--json", "--model", str(fx2), "--max-tokens", "5", "--seed", "7", "hello"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["model"] == fx2.name
    assert document["seed"] == 7
    assert document["usage"]["completion_tokens"] == 5
    assert document["finish_reason"] == "length"
    assert document["timings"]["predicted_n"] == 5


def document_of(events: list[Event], terminal: Recorded) -> Document:
    document = Document("some-model", terminal)
    for event in events:
        document.show(event)
    return document


def test_the_document_holds_thinking_answer_and_calls_apart(pipe: Recorded) -> None:
    document_of(say("Fine.", thinking="They greet me."), pipe)
    told = json.loads(pipe.out.getvalue())
    assert (told["text"], told["reasoning"], told["model"]) == ("Fine.", "They greet me.", "some-model")
    assert "tool_calls" not in told


def test_the_document_holds_a_call_whole(pipe: Recorded) -> None:
    document_of(call("python", "python", '{"code": "1+1"}'), pipe)
    told = json.loads(pipe.out.getvalue())
    assert told["tool_calls"] == [{"id": "call_1", "name": "python", "arguments": '{"code": "1+1"}'}]
    assert told["finish_reason"] == "tool_calls"


def test_a_failure_has_no_document(pipe: Recorded) -> None:
    assert document_of([Failed(code="out_of_memory", message="Too big.")], pipe).code == 1
    assert pipe.out.getvalue() == ""
    assert "Too big." in pipe.err.getvalue()


def test_ctrl_c_ends_it_without_a_traceback(fx1: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "mlx_harmony",
        "generate",
        "--model",
        str(fx1),
        "--temperature",
        "0",
        "--max-tokens",
        "100000",
        "go on",
    ]
    env = {**os.environ, "MLX_HARMONY_HOME": str(tmp_path)}
    process = subprocess.Popen([sys.executable, "-c", INTERRUPTIBLE, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
    assert process.stdout is not None
    process.stdout.read(1)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"Traceback" not in errors


def test_the_form_of_kv_is_a_flag_and_its_real_length_is_told(fx1: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["generate", "--model", str(fx1), "--json", "--temperature", "0", "--max-tokens", "30", "good morning, good morning"]
    assert main([*words, "--max-kv-size", "12", "--kv-keep", "2"]) == 0
    timings = json.loads(capsys.readouterr().out)["timings"]
    assert timings["kv_length"] == 12 and timings["kv_bytes"] > 0
    assert main(words) == 0
    plain = json.loads(capsys.readouterr().out)["timings"]
    assert plain["kv_length"] == plain["prompt_n"] + plain["predicted_n"] - 1


def test_a_form_of_kv_that_cannot_be_had_ends_with_the_reason(fx1: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "--model", str(fx1), "--kv-bits", "8", "hello"]) == 2
    assert "each head has 16 numbers" in capsys.readouterr().err
    assert main(["generate", "--model", str(fx1), "--kv-bits", "8", "--max-kv-size", "9", "hello"]) == 2
    assert "do not go together" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["generate", "--model", str(fx1), "--kv-bits", "3", "hello"])
    assert "0, 4 or 8" in capsys.readouterr().err
