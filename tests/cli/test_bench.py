"""`bench`: JSON of every figure on stdout or in a file, a table on stderr, ratios against mlx-lm, and clear refusals."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mlx_harmony.cli.main import main
from tests.fixtures.adapters import build_adapter
from tests.fixtures.server import INTERRUPTIBLE, alive

SMALL = ["--prompt-tokens", "40", "--tokens", "8", "--rounds", "1", "--streams", "1,2", "--clients", "2", "--turns", "2"]
FIGURES = {
    "load_s",
    "first_token_cold_s",
    "first_token_warm_s",
    "prefill_per_second",
    "decode_per_second",
    "gap_p95_ms",
    "peak_memory_bytes",
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLX_HARMONY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "no-cache"))
    return tmp_path


@pytest.mark.integration
def test_a_run_writes_every_figure_as_json_and_a_table_for_a_reader(fx1: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--model", str(fx1), *SMALL, "--prompt-tokens", "900"]) == 0
    told = capsys.readouterr()
    report = json.loads(told.out)
    mine = report["sides"]["MLX Harmony"]
    assert all(mine["speeds"][name] > 0 for name in FIGURES)
    assert mine["speeds"]["kv_tokens"] in (907, 908)
    assert [rate["streams"] for rate in mine["speeds"]["streams"]] == [1, 2]
    assert mine["speeds"]["cache"]["gain"] > 1
    assert mine["speeds"]["first_token_warm_s"] < mine["speeds"]["first_token_cold_s"]
    assert mine["speeds"]["speculation"]["without"] > 0
    assert mine["speeds"]["speculation"]["gain"] > 0
    assert (mine["http"]["clients"], len(mine["http"]["chat"])) == (2, 2)
    first, second = mine["http"]["chat"]
    assert second["read_tokens"] < second["prompt_tokens"] - first["prompt_tokens"] // 2
    assert report["ratios"] == {}
    assert "| writing, tok/s |" in told.err


@pytest.mark.integration
def test_against_mlx_lm_everything_is_measured_twice_and_compared(fx1: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bench.json"
    assert main(["bench", "--model", str(fx1), "--against", "mlx-lm", "--json", str(file), *SMALL]) == 0
    told = capsys.readouterr()
    assert told.out == ""
    report = json.loads(file.read_text("utf-8"))
    names = list(report["sides"])
    assert names[0] == "MLX Harmony"
    assert not any(side["problem"] for side in report["sides"].values())
    last = report["ratios"][names[-1]]
    assert {
        "prefill",
        "decode",
        "streams_2",
        "http_one",
        "http_many",
        "chat_read",
        "http_one_of_bare_loop",
        "http_many_of_bare_batch",
    } <= set(last)
    assert all(value > 0 for value in last.values())
    assert "A ratio above 1: ours is better." in told.err


@pytest.mark.integration
def test_a_rival_that_fails_is_reported_and_the_rest_is_measured(
    fx1: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mlx_harmony.bench.stock.MODULE", "mlx_harmony.worker.no_such_module")
    small = [*SMALL[:-4], "--clients", "0", "--turns", "0"]
    assert main(["bench", "--model", str(fx1), "--against", "mlx-lm", *small]) == 1
    told = capsys.readouterr()
    sides = json.loads(told.out)["sides"]
    assert sides["MLX Harmony"]["speeds"]["decode_per_second"] > 0
    assert "no_such_module" in sides["mlx-lm as it comes"]["problem"]
    assert "mlx-lm as it comes could not be measured in full" in told.err


@pytest.mark.integration
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_ended_leaves_no_process(fx1: Path, number: signal.Signals) -> None:
    words = [
        sys.executable,
        "-m",
        "mlx_harmony",
        "bench",
        "--model",
        str(fx1),
        "--against",
        "mlx-lm",
        *SMALL,
        "--rounds",
        "9",
        "--clients",
        "8",
    ]
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, *words, "--streams", "1", "--tokens", "2", "--prompt-tokens", "8"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert any("Clients, round 1 " in line for line in process.stderr)
    children = family(process.pid)
    assert len(children) >= 4
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert [pid for pid in children if alive(pid)] == []


def family(pid: int) -> list[int]:
    """What a process started, and what those started."""
    rows = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout.splitlines()
    parents = [(int(child), int(parent)) for child, parent in (row.split() for row in rows)]
    found = {pid}
    for _ in range(3):
        found |= {child for child, parent in parents if parent in found}
    return sorted(found - {pid})


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--model", "no-such-model"], 1, "no-such-model"),
        (["--json", "/no/such/folder/file.json"], 2, "cannot be written"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_measured(
    words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *words]) == code
    told = capsys.readouterr()
    assert said in told.err
    assert told.out == ""


def test_an_adapter_is_not_measured_as_if_it_were_its_base(fx1: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = build_adapter(tmp_path / "manners", fx1.name)
    assert main(["bench", "--models-dir", str(fx1.parent), "--model", str(folder)]) == 2
    told = capsys.readouterr()
    assert "manners is an adapter" in told.err and fx1.name in told.err and told.out == ""


@pytest.mark.parametrize(
    "words",
    [
        ["--tokens", "0"],
        ["--rounds", "-1"],
        ["--clients", "1000"],
        ["--streams", "1,0"],
        ["--streams", "x"],
        ["--against", "ollama"],
        ["--draft-model", "x"],
    ],
)
def test_a_number_out_of_range_is_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["bench", *words])
    assert ended.value.code == 2
    assert words[0] in capsys.readouterr().err
