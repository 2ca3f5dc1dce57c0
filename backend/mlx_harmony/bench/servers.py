"""Starts the servers that are measured, ours and mlx_lm.server, waits until each answers, and ends them. Knows no figures."""

import asyncio
import contextlib
import json
import re
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from mlx_harmony.bench.client import streamed
from mlx_harmony.bench.sides import Unmeasured
from mlx_harmony.bench.stock import MODULE
from mlx_harmony.engine.process import WorkerHome, private_folder, worker_environment
from mlx_harmony.settings import SETTINGS_FILE

READY = re.compile(r"ready at http://\S+:(\d+)")
STARTING_S = 300.0
ENDING_S = 10.0
AGAIN_S = 0.2
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"}
WARM = {"messages": [{"role": "user", "content": "Good morning."}], "max_tokens": 2, "temperature": 0}


def environment(home: Path) -> dict[str, str]:
    """What the processes that are measured inherit: as a worker does, and nothing of them asks the network."""
    places = WorkerHome.of(str(home))
    private_folder(places.tmp)
    return worker_environment(places) | OFFLINE


class Server:
    """A running server on a port of this machine."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.port = port
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid


@contextlib.asynccontextmanager
async def our_server(folder: str, home: Path, *, page: bool = False, **settings: int) -> AsyncIterator[Server]:
    """`mlx-harmony serve` on this home with these settings, its model loaded. Raises Unmeasured where it cannot start."""
    _settle(home, settings)
    words = ("-m", "mlx_harmony", "serve", *(() if page else ("--no-ui",)), "--no-browser", "--port", "0", "--model", folder)
    async with _running(words, home, stdout=asyncio.subprocess.PIPE) as (process, complaint):
        assert process.stdout is not None
        try:
            line = await asyncio.wait_for(process.stdout.readline(), STARTING_S)
        except TimeoutError as error:
            raise Unmeasured(f"The server did not start within {STARTING_S:.0f} seconds.") from error
        found = READY.search(line.decode("utf-8", "replace"))
        if found is None:
            raise Unmeasured(f"The server did not start: {complaint()}")
        server = Server(process, int(found[1]))
        await streamed(server.port, WARM)
        yield server


@contextlib.asynccontextmanager
async def stock_server(folder: str, home: Path, *, fitted: bool) -> AsyncIterator[Server]:
    """mlx_lm.server with its model loaded. Raises Unmeasured where it does not start."""
    port = free_port()
    words = ("-P", "-m", MODULE, "serve", folder, "--port", str(port), *(["--fitted"] if fitted else []))
    async with _running(words, home, stdout=asyncio.subprocess.DEVNULL) as (process, complaint):
        for _ in range(int(STARTING_S / AGAIN_S)):
            if process.returncode is not None:
                raise Unmeasured(f"mlx_lm.server did not start: {complaint()}")
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            await asyncio.sleep(AGAIN_S)
        server = Server(process, port)
        await streamed(port, WARM)
        yield server


def _settle(home: Path, settings: dict[str, int]) -> None:
    home.mkdir(parents=True, exist_ok=True)
    (home / SETTINGS_FILE).write_text(json.dumps(settings), "utf-8")


def free_port() -> int:
    """A port of this machine that nobody listens on at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def _running(words: tuple[str, ...], home: Path, stdout: int) -> AsyncIterator[tuple[asyncio.subprocess.Process, Callable[[], str]]]:
    """A process, and what it last complained of in words."""
    with tempfile.TemporaryFile() as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *words, stdout=stdout, stderr=stderr, env=environment(home), start_new_session=True
        )

        def complaint() -> str:
            stderr.seek(0)
            lines = [line.strip() for line in stderr.read().decode("utf-8", "replace").splitlines() if line.strip()]
            return lines[-1][:300] if lines else f"exit code {process.returncode}"

        try:
            yield process, complaint
        finally:
            await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ask it to end, then insist."""
    for insist in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is None:
            process.send_signal(insist)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), ENDING_S)
            return
