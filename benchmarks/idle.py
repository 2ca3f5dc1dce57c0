"""What a loaded model costs while nobody asks it anything. Run `python -m benchmarks.idle [SECONDS]`; Linux only."""

import asyncio
import os
import sys
import tempfile
from contextlib import aclosing
from pathlib import Path

from mlx_harmony.engine.process import WorkerHome
from mlx_harmony.engine.supervisor import start_worker
from mlx_harmony.models.catalog import starter_folder
from mlx_harmony.records import GenerationRequest, LoadOptions, TextPrompt

SECONDS = 20.0


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def switches(pid: int) -> int:
    """How often a thread of the process gave up or lost its core."""
    texts = [path.read_text("utf-8") for path in Path(f"/proc/{pid}/task").glob("*/status")]
    return sum(int(line.split()[1]) for text in texts for line in text.splitlines() if "ctxt_switches" in line)


async def main(seconds: float) -> None:
    with tempfile.TemporaryDirectory() as home:
        options = LoadOptions(path=str(starter_folder()))
        engine = await start_worker("idle", options, WorkerHome.of(home), lambda _stage, _fraction: None)
        asked = GenerationRequest(id="1", prompt=TextPrompt(text="Hello there"), max_tokens=30)
        async with aclosing(engine.generate(asked)) as events:
            tokens = [event async for event in events]
        assert tokens and engine.pid is not None
        await asyncio.sleep(1)
        cpu, own, switched = cpu_seconds(engine.pid), cpu_seconds(os.getpid()), switches(engine.pid)
        await asyncio.sleep(seconds)
        cpu, own, switched = cpu_seconds(engine.pid) - cpu, cpu_seconds(os.getpid()) - own, switches(engine.pid) - switched
        print(f"{seconds:g} seconds after an answer, the Starter loaded: its worker took {cpu:.2f} s of CPU and switched {switched} times;")
        print(f"the process that holds the other end of its socket took {own:.2f} s.")
        await engine.close()


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS))
