"""mlx-lm's loops in a process of their own, told what to do over its stdin. Imports nothing of mlx-lm itself."""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import IO, Any

import msgspec

from mlx_harmony.bench.figures import Single
from mlx_harmony.bench.sides import Prompt, Unmeasured

MODULE = "mlx_harmony.worker.stock"
LONGEST_LINE = 64 * 1024 * 1024
STARTING_S = 600.0
ANSWERING_S = 900.0


class Stock:
    """A process that has loaded the model with mlx-lm. Make one with `start_stock`."""

    keeps = False
    vocabulary = 0
    load_s = 0.0
    version = ""

    def __init__(self, process: asyncio.subprocess.Process, complaints: IO[bytes]) -> None:
        self._process = process
        self._complaints = complaints
        self._peak_bytes = 0

    @property
    def pid(self) -> int:
        return self._process.pid

    async def one(self, prompt: Prompt, tokens: int) -> Single:
        """One answer of generate_step."""
        return msgspec.convert(await self._ask({"do": "one", "prompt": list(prompt), "tokens": tokens}), Single)

    async def many(self, prompts: Sequence[Prompt], tokens: int) -> float:
        """Tokens a second of its BatchGenerator."""
        asked = {"do": "many", "prompts": [list(prompt) for prompt in prompts], "tokens": tokens}
        return float((await self._ask(asked))["tokens_per_second"])

    async def kv_tokens(self) -> int | None:
        """Not told."""
        return None

    async def forget(self) -> None:
        """The bare loops keep nothing."""

    def peak_memory_bytes(self) -> int | None:
        """What the process itself says that it took at most, as our worker does."""
        return self._peak_bytes or None

    async def close(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        self._complaints.close()

    async def ready(self) -> None:
        """Wait until the model is loaded. Raises Unmeasured where it cannot be."""
        said = await self._answer(STARTING_S)
        self.load_s, self.vocabulary, self.version = said["load_s"], said["vocabulary"], said["version"]

    async def _ask(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(asked).encode() + b"\n")
            await self._process.stdin.drain()
        except ConnectionError as error:
            raise Unmeasured(self._last_words()) from error
        return await self._answer(ANSWERING_S)

    async def _answer(self, within_s: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        latest = time.monotonic() + within_s
        while True:
            try:
                line = await asyncio.wait_for(self._process.stdout.readline(), max(0.0, latest - time.monotonic()))
            except TimeoutError as error:
                raise Unmeasured(f"mlx-lm gave no answer within {within_s:.0f} seconds.") from error
            if not line:
                await self._process.wait()
                raise Unmeasured(self._last_words())
            # What mlx-lm itself prints is no answer.
            if line.startswith(b"{"):
                said = dict(json.loads(line))
                self._peak_bytes = said.pop("peak_bytes", self._peak_bytes)
                return said

    def _last_words(self) -> str:
        self._complaints.seek(0)
        lines = [line.strip() for line in self._complaints.read().decode("utf-8", "replace").splitlines() if line.strip()]
        code = self._process.returncode
        return f"mlx-lm's process ended ({lines[-1][:300] if lines else f'exit code {code}'})."


async def start_stock(folder: str, fitted: bool, environment: dict[str, str]) -> Stock:
    """Load a model with mlx-lm; `fitted`: in the form that our device policy gives it. Raises Unmeasured."""
    complaints = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the process)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", MODULE, "steps", folder, *(["--fitted"] if fitted else [])),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=complaints,
        env=environment,
        start_new_session=True,
        limit=LONGEST_LINE,
    )
    stock = Stock(process, complaints)
    async with AsyncExitStack() as undone:
        undone.push_async_callback(stock.close)
        await stock.ready()
        undone.pop_all()
    return stock
