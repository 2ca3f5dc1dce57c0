"""Models that a running program has in memory are unloaded there before their files go. It asks that program's own API and ends nothing.

Which program that is stands in home/server.json, which `serve` writes; without one, or once it has ended, there is nothing to do.
"""

import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec

from mlx_harmony.cli.terminal import Terminal
from mlx_harmony.errors import Unavailable

SERVER_FILE = "server.json"
LARGEST_BYTES = 64 * 1024
PATIENCE_S = 30.0


class _Server(msgspec.Struct):
    address: str
    pid: int


def unloaded_first(home: str, models: Collection[str], terminal: Terminal) -> list[str]:
    """Have these models unloaded, with notice, and return those that were in memory.

    Raises Unavailable where the program that runs does not let them go, as while one of them answers.
    """
    server = _running(home)
    if server is None or not models:
        return []
    rows = _asked(server, "/v1/models")
    loaded = [row["id"] for row in rows["data"] if row.get("loaded") and row["id"] in models] if rows else []
    for model in loaded:
        _asked(server, "/v1/models/unload", {"model": model})
        terminal.warn(f"Unloaded {model} in the program at {server.address}.")
    return loaded


def _running(home: str) -> _Server | None:
    """The program that serves this home; None where none does."""
    try:
        with Path(home, SERVER_FILE).open("rb") as file:
            server = msgspec.json.decode(file.read(LARGEST_BYTES), type=_Server)
        if server.pid <= 0 or not server.address.startswith(("http://", "https://")):
            return None
        os.kill(server.pid, 0)
    except PermissionError:
        return server
    except (OSError, ValueError, OverflowError):
        return None
    return server


def _asked(server: _Server, path: str, body: dict[str, str] | None = None) -> dict[str, Any] | None:
    """What the program answers; None where nobody listens there any more. Raises Unavailable where it refuses."""
    from urllib.error import HTTPError, URLError
    from urllib.request import ProxyHandler, Request, build_opener

    headers = {"Content-Type": "application/json"}
    if key := os.environ.get("MLX_HARMONY_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    request = Request(server.address.rstrip("/") + path, json.dumps(body).encode() if body else None, headers)  # noqa: S310
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=PATIENCE_S) as answer:
            told: dict[str, Any] = json.loads(answer.read())
    except HTTPError as error:
        with error:
            hint = "Set MLX_HARMONY_API_KEY to its key." if error.code == 401 else "Unload it in the program, or end the program."
            raise Unavailable(f"The program at {server.address} keeps the model: {_reason(error.read())}", hint=hint) from error
    except URLError as error:
        if isinstance(error.reason, ConnectionRefusedError):
            return None
        raise _silent(server) from error
    except (OSError, ValueError) as error:
        raise _silent(server) from error
    return told


def _reason(body: bytes) -> str:
    """What an answer of our own API says went wrong."""
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return "it refused."


def _silent(server: _Server) -> Unavailable:
    return Unavailable(f"The program at {server.address} does not answer.", hint="Nothing was deleted. End it, or try again.")
