"""Each example runs as its first lines say."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.server import serving

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


@pytest.mark.integration
def test_the_client_streams_from_a_running_server(tmp_path: Path) -> None:
    with serving(tmp_path, "--no-ui") as server:
        command = [sys.executable, str(EXAMPLES / "server_client.py"), "Hello!", "--server", server.address]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "tokens read" in done.stdout
    assert len(done.stdout.split("[answer]")[-1].split()) > 3
