"""The terminal's table of errors: which exit code each one ends the program with, and how it is worded. Total over `errors.ERRORS`."""

from mlx_harmony.cli.terminal import Terminal
from mlx_harmony.errors import HarmonyError

DONE = 0
FAILED = 1
WRONG_USAGE = 2
INTERRUPTED = 130
"""Ended by Ctrl-C, as shells tell it: 128 and the number of the signal."""

EXIT_CODES: dict[str, int] = {
    "internal": FAILED,
    "request": WRONG_USAGE,
    "invalid_request": WRONG_USAGE,
    "context_too_long": FAILED,
    "model_not_found": FAILED,
    "chat_not_found": FAILED,
    "chat_changed": FAILED,
    "tool_not_found": FAILED,
    "hub_refused": FAILED,
    "unavailable": FAILED,
    "queue_full": FAILED,
    "model_loading": FAILED,
    "engine_crashed": FAILED,
    "shutting_down": FAILED,
    "model": FAILED,
    "load_failed": FAILED,
    "unsupported_architecture": FAILED,
    "adapter_mismatch": FAILED,
    "out_of_memory": FAILED,
    "generation_failed": FAILED,
    "storage": FAILED,
    "conversion": FAILED,
    "tool": FAILED,
    "tool_timeout": FAILED,
    "tool_refused": FAILED,
    "sandbox_unavailable": FAILED,
    "settings": FAILED,
}


def report(error: HarmonyError, terminal: Terminal) -> int:
    """Writes what happened and what to do next to stderr; returns the exit code."""
    terminal.fail(f"Error: {error.message}")
    if error.hint:
        terminal.warn(error.hint)
    return EXIT_CODES[error.code]
