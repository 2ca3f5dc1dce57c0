"""The server's thread waits for a core where a model's process has one; those processes do not wait for each other."""

import asyncio
import os
import sys
import threading
from pathlib import Path

import pytest

from mlx_harmony.engine import process as room
from mlx_harmony.engine.precedence import give_way
from mlx_harmony.engine.process import WorkerHome, WorkerProcess

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells threads apart so")


@pytest.fixture
def policies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Those of threads that gave way, and of the workers that they started; one of the threads had been made idle by somebody."""
    monkeypatch.setattr(room, "WORKER", ("-c", "import time; time.sleep(60)"))
    found: dict[str, int] = {}

    async def start(name: str) -> None:
        give_way()
        worker = await WorkerProcess.start(name, WorkerHome.of(str(tmp_path)))
        found[name], found[f"worker of {name}"] = os.sched_getscheduler(0), os.sched_getscheduler(worker.pid)
        worker.kill()
        await worker.end()

    def run(name: str) -> None:
        if name == "idle":
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        asyncio.run(start(name))

    # In threads of their own, so that the one that tests run in stays as it is.
    for name in ("usual", "idle"):
        thread = threading.Thread(target=run, args=(name,))
        thread.start()
        thread.join()
    return found


def test_the_server_s_thread_gives_way_and_the_workers_it_starts_do_not(policies: dict[str, int]) -> None:
    assert (policies["usual"], policies["worker of usual"]) == (os.SCHED_BATCH, os.SCHED_OTHER)


def test_a_policy_that_somebody_chose_stays(policies: dict[str, int]) -> None:
    assert (policies["idle"], policies["worker of idle"]) == (os.SCHED_IDLE, os.SCHED_IDLE)
