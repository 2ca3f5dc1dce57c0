"""Models that a running program has in memory are unloaded there, with notice, before their files go. It ends no program by itself."""

from collections.abc import Collection
from typing import Any

from mlx_harmony.cli import presence
from mlx_harmony.cli.terminal import Terminal
from mlx_harmony.errors import HarmonyError, Unavailable

STOP_FIRST = "Nothing was deleted. Stop that first, or wait for it."


def unloaded_first(home: str, models: Collection[str], terminal: Terminal) -> list[str]:
    """Have these models unloaded, and return those that were in memory.

    Raises Unavailable where the program that runs does not let them go, as while one of them answers.
    """
    if not models or presence.running(home) is None:
        return []
    try:
        loaded = [row["id"] for row in _asked(home, "GET", "/v1/models")["data"] if row.get("loaded") and row["id"] in models]
        for model in loaded:
            _asked(home, "POST", "/v1/models/unload", {"model": model})
            terminal.warn(f"Unloaded {model} in the program that runs.")
    except Unavailable as error:
        if error.message.startswith(presence.NOBODY):
            # Its process number belongs to another program by now.
            return []
        raise
    return loaded


def _asked(home: str, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    try:
        return presence.ask(home, method, path, body)
    except HarmonyError as error:
        raise error if error.hint else Unavailable(error.message, hint=STOP_FIRST) from error
