"""Looks at the tokens of other models in a process beside. It knows no weights and loads none.

Opening a large tokenizer keeps Python to itself for a second or more, in whatever thread it is done, and answers would stand still.
"""

import hashlib
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from os import environ
from typing import Any, Protocol

import msgspec

from mlx_harmony.errors import LoadFailed
from mlx_harmony.records import Record
from mlx_harmony.worker.folder import CheckedFolder, check_folder
from mlx_harmony.worker.guard import guarded
from mlx_harmony.worker.serve import QUIET

MODULE = "mlx_harmony.worker.speculation.looking"
LONGEST_S = 120.0
TOO_SLOW = "its tokenizer could not be opened in time."


class Looked(Record):
    """What was found in a folder: its tokens as `digest_of` has them, and the folder as it was checked; else the problem."""

    digest: str = ""
    folder: CheckedFolder | None = None
    problem: str = ""


class Looking(Protocol):
    """Looks into folders one after another. `next` may be asked once for each; `close` may come at any time."""

    def next(self) -> Future[Looked]: ...

    def close(self) -> None: ...


class LookingBeside:
    """Does so in a process of its own, which has `LONGEST_S` for all of them."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", MODULE, *paths],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**environ, **QUIET},
        )
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="looking")
        self._overdue = threading.Timer(LONGEST_S, self._process.kill)
        self._overdue.daemon = True
        self._overdue.start()

    def next(self) -> Future[Looked]:
        return self._reader.submit(self._read)

    def close(self) -> None:
        self._overdue.cancel()
        self._process.kill()
        self._reader.submit(self._process.__exit__, None, None, None)
        self._reader.shutdown(wait=False)

    def _read(self) -> Looked:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            # What a tokenizer's library prints is no answer.
            if line.startswith(b'{"digest":'):
                return msgspec.json.decode(line, type=Looked)
        return Looked(problem=TOO_SLOW)


def look(path: str) -> Looked:
    """Look into one folder, in this process."""
    from mlx_harmony.worker.load import open_tokenizer

    found: list[Looked] = []

    def into() -> None:
        folder = check_folder(path)
        found.append(Looked(digest=digest_of(open_tokenizer(folder)), folder=folder))

    failed = guarded(into, LoadFailed)
    return found[0] if failed is None else Looked(problem=failed.message)


def digest_of(tokenizer: Any) -> str:
    """Of what two tokenizers must have alike: every piece with its id, and the added tokens, control tokens among them."""
    pieces = sorted((number, piece) for piece, number in tokenizer.get_vocab().items())
    added = sorted((number, token.content) for number, token in tokenizer.added_tokens_decoder.items())
    return hashlib.blake2b(repr((pieces, added)).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def main() -> None:
    """A line of JSON for each folder that is named."""
    for path in sys.argv[1:]:
        print(msgspec.json.encode(look(path)).decode(), flush=True)


if __name__ == "__main__":
    main()
