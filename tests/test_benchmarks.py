"""The programs of benchmarks/ that no machine here can run in earnest still run, and measure what they say."""

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from benchmarks.cuda_table import section
from benchmarks.page_visit import Asked, figures

ROOT = Path(__file__).parent.parent


@pytest.mark.integration
def test_the_cuda_benchmark_runs_on_a_tiny_model(tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    asked = ["--tiny", "--layers", "2", "--prompt", "300", "--tokens", "4", "--rounds", "1", "--json", str(file)]
    done = subprocess.run([sys.executable, "-m", "benchmarks.cuda", *asked], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())
    assert {"ratios", "best", "warm_up_s", "experts_of_one_layer"} <= found.keys()
    assert set(found["ratios"]) == {"prompt_per_second", "answer_per_second"}
    assert found["agreement"]["relative_distance"] < 1e-3
    assert found["agreement"]["equal_likeliest"] == 1.0
    assert done.stdout == section(found)


def test_what_the_cuda_benchmark_found_becomes_a_table() -> None:
    side = {"prompt_per_second": 4000.0, "answer_per_second": 120.0, "first_token_ms": 1000.0, "peak_gb": 14.0}
    ours = {"prompt_per_second": 18000.0, "answer_per_second": 126.0, "first_token_ms": 250.0, "peak_gb": 16.0}
    page = section({"best": {"stock": side, "ours": ours}, "asked": {"prompt": 4096, "tokens": 128, "date": "2026-11-30"}})
    assert page.startswith("## On CUDA\n\n`python -m benchmarks.cuda` (2026-11-30")
    assert "| reading, tok/s | 4,000 | 18,000 | 4.50 |" in page
    assert "| first token, ms | 1,000 | 250 | 4.00 |" in page
    assert "| most memory of the GPU, GB | 14.0 | 16.0 | 0.88 |" in page


def test_a_section_that_is_written_leaves_the_one_from_another_machine_in_its_place() -> None:
    from benchmarks.__main__ import MARK, with_section

    head, cuda, rest = f"# Benchmarks\n\n{MARK}\n\n", "## On CUDA\n\nfast\n", "## At rest\n\nquiet\n"
    assert with_section(head + cuda, "At rest", rest) == f"{head}{rest}\n{cuda}"


def test_what_a_cuda_run_that_was_cut_short_found_is_told_too() -> None:
    assert "cut short" in section({"device": {"kind": "cuda", "mlx": "0.32.4", "name": "H200"}, "warm_up_s": 70.0})


def test_only_tasks_during_the_streaming_count_as_such() -> None:
    began, ms = 1000.0, 1000.0
    paints = [((began + number / 10) * ms, number) for number in range(11)]
    tasks = [((began - 1) * ms, 900.0), ((began - 0.05) * ms, 120.0), ((began + 0.5) * ms, 60.0), ((began + 1.1) * ms, 300.0)]
    drawn = figures(Asked("mixed", 10, 11), {"paints": paints, "tasks": tasks, "keys": []}, began, 0.1)
    assert (drawn.longest_ms, drawn.after_ms) == (120.0, 300.0)


@pytest.mark.integration
def test_the_soak_runs_every_kind_of_client_without_an_error() -> None:
    asked = ["--clients", "6", "--minutes", "0.15"]
    done = subprocess.run([sys.executable, "-m", "benchmarks.soak", *asked], cwd=ROOT, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = {row.split("|")[1].strip(): row.split("|")[2].strip() for row in done.stdout.splitlines() if row.startswith("| ")}
    assert counts["errors"] == "0"
    assert int(counts["streamed"]) > 0


def test_the_gauge_model_writes_text_that_can_be_seen_token_by_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import models

    monkeypatch.setitem(models.GAUGE, "num_hidden_layers", 1)
    folder = models.build_gauge(tmp_path / "gauge")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    head = load_file(folder / "model.safetensors")["lm_head.weight"]
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    spoken = [token for token in range(config["vocab_size"]) if head[token].any()]
    assert len(spoken) > 100
    assert all(tokenizer.decode([token]).isascii() and tokenizer.decode([token]) for token in spoken)
    assert config["eos_token_id"] not in spoken


def test_the_pasted_text_stands_at_the_beginning_of_the_chats_about_it_and_nowhere_else() -> None:
    from benchmarks.life import PASTED, pasted
    from tests.fixtures.life import LIFE

    steps = [pasted(step, 5) for step in LIFE]
    firsts = {step.messages[1]["content"].split("\n\n")[0] for step in steps if step.chat in PASTED}
    assert len(firsts) == 1
    assert len(firsts.pop().splitlines()) == 5
    for step, plain in zip(steps, LIFE, strict=True):
        assert step.messages[2:] == plain.messages[2:]
        assert step.messages[1]["content"].endswith(plain.messages[1]["content"])
        assert (step == plain) == (step.chat not in PASTED)


def test_what_went_from_memory_is_summed_over_all_models_of_a_server() -> None:
    from benchmarks.life import evictions, pressed

    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"path": self.path, "cache": {"a": {"evictions": 3}, "b": {"evictions": 4}}}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Health) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        gone = evictions(server.server_port)
        thread.join()
    assert gone == 7
    assert "With 32 MB" in pressed(gone, 32) and "let go of 7 pieces" in pressed(gone, 32)


def test_the_summary_of_a_life_counts_what_both_read_and_says_what_failed() -> None:
    from benchmarks.life import Done, summary, table
    from tests.fixtures.life import LIFE

    done = [
        Done(LIFE[0], 100, 100, 100, 120, equal=True),
        Done(LIFE[1], 150, 50, 51, 280, equal=True),
        Done(LIFE[2], 200, 50, 90, None, equal=False, problem="it broke"),
    ]
    told = summary(done)
    assert "We read 151 tokens, 38% of the 400 that mlx_lm.server reads" in told
    assert "150 are new" in told
    assert f"more than the new tokens and 32: {LIFE[2].name}" in told
    assert "Answers as without a cache: 2 of 3." in told
    assert f"mlx_lm.server failed at '{LIFE[2].name}': it broke" in told
    assert f"| {LIFE[2].name} | 200 | 50 | 90 | failed | **no** |" in table(done, "m")
