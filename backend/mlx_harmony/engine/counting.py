"""Counts the tokens of a text for a model that is asleep, by its tokenizer's file, in a process that ends with it. Knows no prompts."""

import asyncio
import sys
from pathlib import Path

from mlx_harmony.engine.process import WorkerHome, private_folder, worker_environment
from mlx_harmony.errors import StorageError
from mlx_harmony.records import ModelEntry

PROGRAM = ("-m", "mlx_harmony.worker.token_count")
TOKENIZER = "tokenizer.json"
LONGEST_S = 10.0
AT_ONCE = 2


class TextCounts:
    """Called with a model and a text: its tokens without what a template adds; None where the file is missing or cannot tell in time."""

    def __init__(self, home: str) -> None:
        self._home = WorkerHome.of(home)
        self._room = asyncio.Semaphore(AT_ONCE)

    async def __call__(self, entry: ModelEntry, text: str) -> int | None:
        tokenizer = Path(entry.path, TOKENIZER)
        if not await asyncio.to_thread(tokenizer.is_file):
            return None
        async with self._room:
            told = await self._told(tokenizer, text.encode("utf-8", "replace"))
        return int(told) if told.isdigit() else None

    async def _told(self, tokenizer: Path, text: bytes) -> bytes:
        """What the process writes about it, b"" for nothing."""
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", *PROGRAM, str(tokenizer)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=worker_environment(self._home),
                cwd=private_folder(self._home.tmp),
                start_new_session=True,
            )
        except (OSError, StorageError):
            return b""
        try:
            written, _ = await asyncio.wait_for(process.communicate(text), LONGEST_S)
            return written.strip()
        except TimeoutError:
            return b""
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
