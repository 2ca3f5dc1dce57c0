"""Between OpenAI's tool names and Harmony's recipients, both ways. Knows nothing of tokens."""

import json
from collections.abc import Iterable
from typing import NamedTuple

from mlx_harmony.records import Channel, Tool, ToolCall

PATCH = "apply_patch"
PYTHON = "python"
CODE_KEY = "code"
PATCH_KEY = "patch"
_NOBODY = frozenset({"assistant", "user", "all", "none", "system", "developer"})


class Address(NamedTuple):
    """Where a call goes: its recipient, the channel it is made on, its content type, and its content."""

    recipient: str
    channel: Channel
    content_type: str | None
    content: str


def is_tool(recipient: str | None) -> bool:
    """Whether a recipient stands for a tool rather than for somebody in the conversation."""
    return bool(recipient) and recipient not in _NOBODY


def name_of(recipient: str) -> str:
    """OpenAI's name of the tool a recipient stands for."""
    return recipient.removeprefix("functions.") or recipient


def function_names(tools: Iterable[Tool]) -> frozenset[str]:
    """The names of the function tools that were declared."""
    return frozenset(tool.name for tool in tools if tool.kind == "function")


def address(call: ToolCall, functions: frozenset[str]) -> Address:
    """How a call of the history is written in Harmony. A declared function wins over a built-in tool of its name."""
    if call.name not in functions:
        if call.name == PYTHON:
            return Address(PYTHON, "analysis", "code", _field(call.arguments, CODE_KEY))
        if call.name.startswith("browser."):
            return Address(call.name, "analysis", "code", call.arguments)
        if call.name == PATCH:
            return Address(f"functions.{PATCH}", "commentary", None, _field(call.arguments, PATCH_KEY))
    return Address(f"functions.{call.name}", "commentary", "<|constrain|>json", call.arguments)


def _field(arguments: str, key: str) -> str:
    """The one text a built-in tool takes; arguments of another shape stay as they are."""
    try:
        value = json.loads(arguments)[key]
    except (ValueError, KeyError, TypeError, RecursionError):
        return arguments
    return value if isinstance(value, str) else arguments
