"""Starts and ends a worker's process: what it inherits, where its stderr goes, and how it is brought to an end. Knows no frames."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
from pathlib import Path

from mlx_harmony.engine.connection import Connection
from mlx_harmony.engine.log import CappedLog
from mlx_harmony.errors import LoadFailed, StorageError
from mlx_harmony.records import Record

KEPT_NAMES = {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONUTF8"}
KEPT_PREFIXES = ("LC_", "CUDA", "NVIDIA_", "MLX_", "OMP_", "OPENBLAS_", "MKL_", "DYLD_", "COVERAGE_", "COV_CORE_")
ENDING_S = 2.0
WORKER = ("-m", "mlx_harmony.worker")
STDERR_BYTES = 64 * 1024


class WorkerHome(Record):
    """Where workers may write: the app's folder, in it their logs and a private one for compiled kernels."""

    home: str
    logs: str
    tmp: str

    @classmethod
    def of(cls, home: str) -> "WorkerHome":
        return cls(home=home, logs=str(Path(home, "logs")), tmp=str(Path(home, "tmp")))


class WorkerProcess:
    """A running worker: its pid, our end of the socket, and its end. Killing it costs nothing but what it was doing."""

    def __init__(self, process: asyncio.subprocess.Process, connection: Connection, log: CappedLog) -> None:
        self.pid = process.pid
        self.connection = connection
        self.log = log
        self._process = process
        self._draining = asyncio.create_task(self._drain())

    @classmethod
    async def start(cls, name: str, home: WorkerHome) -> "WorkerProcess":
        """Start `python -m mlx_harmony.worker` in a session of its own, so that Ctrl-C in a terminal does not reach it."""
        tmp = private_folder(home.tmp)
        log = CappedLog(Path(home.logs, f"worker-{_file_name(name)}.log"))
        ours, theirs = socket.socketpair()
        connection = await Connection.over(ours)
        with theirs, contextlib.ExitStack() as undo:
            undo.callback(connection.close)
            try:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-P", *WORKER, str(theirs.fileno())),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=asyncio.subprocess.PIPE,
                    pass_fds=(theirs.fileno(),),
                    env=worker_environment(home),
                    cwd=tmp,
                    start_new_session=True,
                )
            except OSError as error:
                raise LoadFailed(f"No process could be started: {error.strerror}.", hint="Close other programs and try again.") from error
            undo.pop_all()
        return cls(process, connection, log)

    @property
    def exit_code(self) -> int | None:
        return self._process.returncode

    def kill(self) -> None:
        """End it at once."""
        self._signal(signal.SIGKILL)

    async def end(self) -> None:
        """Close the socket, which makes it end by itself; where it does not, ask, then insist. No process is left."""
        self.connection.close()
        for insist in (signal.SIGTERM, signal.SIGKILL):
            try:
                await asyncio.wait_for(self._process.wait(), ENDING_S)
                break
            except TimeoutError:
                self._signal(insist)
        await self._process.wait()
        await self._draining

    def last_words(self) -> str:
        """How it ended, in words: the signal that killed it, or the last line it wrote."""
        code = self._process.returncode
        if code is not None and code < 0:
            return f"killed by {signal.Signals(-code).name}"
        return self.log.last_line or (f"exit code {code}" if code is not None else "")

    def _signal(self, number: signal.Signals) -> None:
        try:
            if self._process.returncode is None:
                self._process.send_signal(number)
        except ProcessLookupError:
            return

    async def _drain(self) -> None:
        stderr = self._process.stderr
        while stderr is not None and (data := await stderr.read(STDERR_BYTES)):
            self.log.write(data)


def private_folder(path: str) -> Path:
    """The folder, made if need be, closed to everyone else. Raises StorageError where that cannot be."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
    except OSError as error:
        raise StorageError(
            f"The folder {folder} cannot be used: {error.strerror}.", hint="Free some space, or set MLX_HARMONY_HOME."
        ) from error
    return folder


def worker_environment(home: WorkerHome) -> dict[str, str]:
    """What a worker needs of our environment and no more: no keys, no tokens. Compiled kernels go to a folder only we can write."""
    kept = {name: value for name, value in os.environ.items() if name in KEPT_NAMES or name.startswith(KEPT_PREFIXES)}
    own = {name for name in kept if name.startswith("MLX_HARMONY_")}
    return {**{name: value for name, value in kept.items() if name not in own}, "TMPDIR": home.tmp, "MLX_HARMONY_HOME": home.home}


def _file_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-")[:80] or "model"
