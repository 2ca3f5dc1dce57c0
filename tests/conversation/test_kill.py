"""kill -9 at random moments: every acknowledged message is still there and the file opens."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlx_harmony.conversation.store import Store

ROUNDS = 20


def killed_after(path: Path, delay_s: float) -> list[list[str]]:
    """Lines that the writer printed before it was killed `delay_s` after it had opened the file."""
    command = [sys.executable, "-m", "tests.fixtures.killed_writer", str(path)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None
        opened = process.stdout.readline()
        time.sleep(delay_s)
        process.kill()
        rest = process.stdout.read()
    # A line without its end was not acknowledged.
    return [opened.split(), *(line.split() for line in rest.splitlines(keepends=True) if line.endswith("\n"))]


@pytest.mark.integration
async def test_no_acknowledged_message_is_lost_when_the_program_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "chats.sqlite3"
    chance = random.Random(7)
    sent: set[str] = set()
    answered: set[str] = set()
    for _ in range(ROUNDS):
        opened, *lines = killed_after(path, chance.uniform(0.0, 0.12))
        assert opened == ["opened"], "the file was damaged"
        sent |= {message_id for what, message_id in lines if what == "sent"}
        answered |= {message_id for what, message_id in lines if what == "answered"}
    store = await Store.open(path)
    kept = {message.id: message for message in (await store.read_chat("c")).messages}
    await store.close()
    assert store.notices == () and len(sent) > ROUNDS
    assert sent <= kept.keys() and all(kept[message_id].content for message_id in sent)
    assert all(kept[message_id].state == "complete" and kept[message_id].content for message_id in answered)
    assert {message.state for message in kept.values()} <= {"complete", "interrupted"}
