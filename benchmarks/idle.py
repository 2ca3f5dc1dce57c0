"""What the program costs while nobody asks it anything, page and model included. Run `python -m benchmarks.idle [SECONDS]`; Linux only."""

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from mlx_harmony.bench.servers import our_server
from mlx_harmony.models.catalog import starter_folder

SECONDS = 20.0
SETTLED_S = 3.0


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def switches(pid: int) -> int:
    """How often a thread of the process gave up or lost its core."""
    texts = [path.read_text("utf-8") for path in Path(f"/proc/{pid}/task").glob("*/status")]
    return sum(int(line.split()[1]) for text in texts for line in text.splitlines() if "ctxt_switches" in line)


def child_of(pid: int) -> int:
    """The one process that another one started."""
    (child,) = (int(each) for path in Path(f"/proc/{pid}/task").glob("*/children") for each in path.read_text("ascii").split())
    return child


async def main(seconds: float) -> None:
    with tempfile.TemporaryDirectory() as home:
        async with our_server(str(starter_folder()), Path(home), page=True) as server:
            pids = {"its server, with the page,": server.pid, "its worker": child_of(server.pid)}
            await asyncio.sleep(SETTLED_S)
            before = {name: (cpu_seconds(pid), switches(pid)) for name, pid in pids.items()}
            await asyncio.sleep(seconds)
            print(f"{seconds:g} seconds after an answer, the Starter loaded and no page open:")
            for name, pid in pids.items():
                cpu, switched = cpu_seconds(pid) - before[name][0], switches(pid) - before[name][1]
                print(f"- {name} took {cpu:.2f} s of CPU, {cpu / seconds:.1%} of a core, and switched {switched} times")


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS))
