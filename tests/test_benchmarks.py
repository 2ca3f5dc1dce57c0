"""The programs of benchmarks/ that no machine here can run in earnest still run, and measure what they say."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.numpy import load_file
from tokenizers import Tokenizer

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
