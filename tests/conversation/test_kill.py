"""kill -9 at random moments: every acknowledged message is still there, what was deleted can be brought back, and the file opens."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from mlx_harmony.conversation.store import Store

ROOT = Path(__file__).parents[2]
LONGEST_LIFE_S = 0.2
CHUNK = 65


@contextmanager
def writers(path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that makes a new writer for each line it is given."""
    command = [sys.executable, "-m", "tests.fixtures.killed_writer", str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(timeout=20)


def killed_after(process: "subprocess.Popen[str]", delay_s: float) -> list[list[str]]:
    """What one writer acknowledged before it was killed `delay_s` after it had opened the file, its greeting first."""
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None and stdout is not None
    stdin.write("go\n")
    stdin.flush()
    pid, lines = 0, []
    while not pid or not lines:
        words = _words(stdout)
        if words[0] == "pid":
            pid = int(words[1])
        else:
            lines.append(words)
    time.sleep(delay_s)
    os.kill(pid, signal.SIGKILL)
    while (words := _words(stdout)) != ["killed"]:
        lines.append(words)
    return lines


def _words(stdout: IO[str]) -> list[str]:
    line = stdout.readline()
    assert line, "the writer ended by itself"
    return line.split()


async def rows_after(path: Path) -> dict[str, sqlite3.Row]:
    """Every message of the file, those in the trash too, once the file was opened again and its index found whole."""
    store = await Store.open(path)
    assert store.notices == ()
    rows = await store.database.read(lambda db: db.execute("SELECT id, state, content, trash_id FROM messages").fetchall())
    await store.database.write(lambda db: db.execute("INSERT INTO words (words) VALUES ('integrity-check')").close())
    for item in await store.list_trash():
        await store.restore_message(item.id)
    assert await store.list_trash() == ()
    await store.close()
    return {row["id"]: row for row in rows}


async def kill_often(path: Path, rounds: int, seed: int) -> None:
    chance = random.Random(seed)
    told: dict[str, set[str]] = {
        "sent": set(),
        "answered": set(),
        "deleted": set(),
        "restored": set(),
        "regenerated": set(),
        "shown": set(),
    }
    whole: dict[str, int] = {}
    chosen: dict[str, int] = {}
    with writers(path) as process:
        for _ in range(rounds):
            opened, *lines = killed_after(process, chance.uniform(0.0, LONGEST_LIFE_S))
            assert opened == ["opened"], "the file was damaged"
            for what, name, *more in lines:
                match what:
                    case "whole":
                        whole[name] = int(more[0])
                    case "chosen":
                        chosen[name] = int(more[0])
                    case "regenerated" | "shown":
                        told[what].add(more[0])
                    case _:
                        told[what].add(name)
    kept = await rows_after(path)
    assert len(told["sent"]) > rounds / 4
    assert told["sent"] | told["answered"] | told["regenerated"] | told["shown"] <= kept.keys() and all(
        kept[message_id]["content"] for message_id in told["sent"]
    )
    assert all(kept[message_id]["state"] == "complete" and kept[message_id]["content"] for message_id in told["answered"])
    assert {row["state"] for row in kept.values()} <= {"complete", "interrupted"}
    await check_chats(path, whole, chosen)
    # A restored message may have been deleted once more just before the end, but only the last one of a writer.
    assert sum(kept[message_id]["trash_id"] is not None for message_id in told["sent"]) <= rounds


async def check_chats(path: Path, whole: dict[str, int], chosen: dict[str, int]) -> None:
    """That each chat that was forked or brought in is there whole, no other is there in part, and what was chosen last holds."""
    store = await Store.open(path)
    sizes = {chat.id: chat.messages for chat in await store.list_chats()}
    assert {chat_id: sizes.get(chat_id) for chat_id in whole} == whole and len(whole) > 2
    for chat_id, number in chosen.items():
        assert int((await store.read_options(chat_id)).instructions.removeprefix("as of ")) >= number
    for chat in await store.list_chats():
        messages = (await store.read_chat(chat.id)).messages
        assert not messages or messages[0].content.startswith("message") or len(messages) == 9
    await store.close()


@pytest.mark.integration
async def test_no_acknowledged_message_is_lost_when_the_program_is_killed(tmp_path: Path) -> None:
    await kill_often(tmp_path / "chats.sqlite3", rounds=40, seed=7)


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.parametrize("seed", range(4))
async def test_nothing_is_lost_at_hundreds_of_moments(tmp_path: Path, seed: int) -> None:
    await kill_often(tmp_path / "chats.sqlite3", rounds=CHUNK, seed=100 + seed)
