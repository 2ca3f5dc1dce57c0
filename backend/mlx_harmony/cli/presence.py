"""Where the running program is, written down in the app's home, so that commands in a terminal reach it. Knows nothing of what is asked.

The file says no secret: whoever asks brings the API key in MLX_HARMONY_API_KEY.
"""

import json
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from mlx_harmony.errors import ERRORS, HarmonyError, InvalidRequest, StorageError, Unavailable
from mlx_harmony.records import Record
from mlx_harmony.settings import write_file

SERVER_FILE = "server.json"
LARGEST_BYTES = 64 * 1024
CONNECT_S = 5.0
KEY = "MLX_HARMONY_API_KEY"
NOBODY = "No MLX Harmony is running here"
START = "Start it with `mlx-harmony serve`, then try again."


class Presence(Record):
    """The address of a running program and its process."""

    address: str
    pid: int


@contextmanager
def present(home: str, address: str) -> Iterator[None]:
    """While this lasts the file says that this process serves at that address. A home that cannot be written costs only that."""
    path, own = Path(home, SERVER_FILE), Presence(address=address, pid=os.getpid())
    with suppress(StorageError):
        write_file(path, msgspec.to_builtins(own))
    try:
        yield
    finally:
        # Another program may have begun to serve this home since.
        if _read(path) == own:
            with suppress(OSError):
                path.unlink(missing_ok=True)


def running(home: str) -> Presence | None:
    """The program that serves this home; None where none does, also where one was killed and could not take its file away."""
    found = _read(Path(home, SERVER_FILE))
    if found is None or found.pid <= 0:
        return None
    try:
        os.kill(found.pid, 0)
    except PermissionError:
        return found
    except (OSError, OverflowError):
        return None
    return found


def ask(home: str, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """What the running program answers. Raises Unavailable where none runs or it does not answer, and what it refuses as itself."""
    with _answered(home, method, path, body) as answer:
        status, told = answer.status, json.loads(answer.read())
    if status == 200 and isinstance(told, dict):
        return told
    raise _refusal(status, told)


def follow(home: str, path: str, body: dict[str, Any]) -> Generator[dict[str, Any], None, None]:
    """The lines that the running program answers with, each as it comes, to the one of the step `done`. Raises as `ask` does."""
    with _answered(home, "POST", path, body) as answer:
        refused = json.loads(answer.read()) if answer.status != 200 else None
        while refused is None:
            told = json.loads(answer.readline(LARGEST_BYTES))
            if told["step"] == "failed":
                refused = {"error": {"code": told["code"], "message": f"{told['message']} {told['hint']}".strip()}}
                break
            yield told
            if told["step"] == "done":
                return
    raise _refusal(answer.status, refused)


@contextmanager
def _answered(home: str, method: str, path: str, body: dict[str, Any] | None) -> Iterator[HTTPResponse]:
    """The program's answer as it begins; the connection is closed with it."""
    program = running(home)
    if program is None:
        raise Unavailable(f"{NOBODY}.", hint=START)
    where = urlsplit(program.address)
    make = HTTPSConnection if where.scheme == "https" else HTTPConnection
    connection = make(where.hostname or "", where.port, timeout=CONNECT_S)
    headers = {"content-type": "application/json"} | ({"x-api-key": key} if (key := os.environ.get(KEY)) else {})
    try:
        connection.connect()
        # A large model takes minutes to load; Ctrl-C hangs up, and the program gives the load up.
        connection.sock.settimeout(None)
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        yield connection.getresponse()
    except ConnectionRefusedError as error:
        raise Unavailable(f"{NOBODY} any more.", hint=START) from error
    except (OSError, HTTPException, ValueError, LookupError, TypeError) as error:
        raise Unavailable(f"The program at {program.address} does not answer.", hint="End it and start it again.") from error
    finally:
        connection.close()


def _refusal(status: int, told: object) -> HarmonyError:
    """The error that the program answered with, as itself."""
    if status == 401:
        return InvalidRequest("The running program asks for an API key.", hint=f"Set {KEY} to its key.")
    error = told.get("error") if isinstance(told, dict) else None
    message, code = (error.get("message"), error.get("code")) if isinstance(error, dict) else (None, None)
    return ERRORS.get(str(code), HarmonyError)(str(message or f"The running program answered with status {status}."))


def _read(path: Path) -> Presence | None:
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(LARGEST_BYTES), type=Presence)
    except (OSError, ValueError, RecursionError):
        return None
