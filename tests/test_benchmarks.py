"""The programs of benchmarks/ that no machine here can run in earnest still run, and measure what they say."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

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
