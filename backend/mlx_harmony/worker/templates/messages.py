"""A conversation as chat templates take it: dictionaries in OpenAI's shape. Knows no template and no tokens.

Some templates refuse the system role, or two messages of one role in a row: `variants` lists the ways to say the same to them.
"""

import json
from collections.abc import Iterator
from typing import Any

from mlx_harmony.records import ChatPrompt, Message, Tool, ToolCall

_TEXT = {"type": "string"}
_NUMBER = {"type": "integer"}


def _function(name: str, description: str, required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    parameters = {"type": "object", "properties": required | (optional or {}), "required": list(required)}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


_BUILT_IN: dict[str, list[dict[str, Any]]] = {
    "python": [_function("python", "Runs Python code in a stateful notebook and returns what it prints.", {"code": _TEXT})],
    "apply_patch": [_function("apply_patch", "Edit files with a patch.", {"patch": _TEXT})],
    "browser": [
        _function("browser.search", "Searches the web.", {"query": _TEXT}, {"topn": _NUMBER}),
        _function("browser.open", "Opens a link or an address.", {"id": _TEXT}, {"cursor": _NUMBER, "loc": _NUMBER, "num_lines": _NUMBER}),
        _function("browser.find", "Finds a text in the open page.", {"pattern": _TEXT}, {"cursor": _NUMBER}),
    ],
}


def tool_schemas(tools: tuple[Tool, ...]) -> list[dict[str, Any]]:
    """The tools in OpenAI's shape; built-in kinds become functions."""
    schemas: list[dict[str, Any]] = []
    for tool in tools:
        if tool.kind in _BUILT_IN:
            schemas += _BUILT_IN[tool.kind]
            continue
        parameters = tool.parameters or {"type": "object", "properties": {}}
        function = {"name": tool.name, "description": tool.description, "parameters": parameters}
        schemas.append({"type": "function", "function": function})
    return schemas


def template_messages(prompt: ChatPrompt) -> list[dict[str, Any]]:
    """The messages, instructions first. Thinking is given only after the last question; templates decide what of it they show."""
    spoken = [message for message in prompt.messages if message.role not in ("system", "developer")]
    texts = [prompt.identity or "", *(message.content for message in prompt.messages if message.role in ("system", "developer"))]
    instructions = "\n\n".join(text for text in texts if text)
    last_user = max((at for at, message in enumerate(spoken) if message.role == "user"), default=-1)
    names = {call.id: call.name for message in spoken for call in message.tool_calls}
    messages = [_message(message, names, thinking=at > last_user) for at, message in enumerate(spoken)]
    return [{"role": "system", "content": instructions}, *messages] if instructions else messages


def variants(messages: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """The conversation as it is, with the instructions in the first question, and with neighbours of one role joined."""
    yield messages
    merged = _merge_system(messages)
    if merged != messages:
        yield merged
    joined = _join_neighbours(merged)
    if joined != merged:
        yield joined


def _message(message: Message, names: dict[str, str], *, thinking: bool) -> dict[str, Any]:
    shaped: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.role == "assistant":
        if thinking and message.reasoning:
            shaped["reasoning_content"] = message.reasoning
        if message.tool_calls:
            shaped["tool_calls"] = [_call(call) for call in message.tool_calls]
    if message.role == "tool":
        call_id = message.tool_call_id or ""
        shaped |= {"tool_call_id": call_id, "name": names.get(call_id) or message.name or ""}
    return shaped


def _call(call: ToolCall) -> dict[str, Any]:
    try:
        arguments = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError):
        arguments = call.arguments
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _merge_system(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if not messages or messages[0]["role"] != "system":
        return messages
    system, rest = messages[0]["content"], messages[1:]
    for at, message in enumerate(rest):
        if message["role"] == "user":
            return [*rest[:at], message | {"content": f"{system}\n\n{message['content']}"}, *rest[at + 1 :]]
    return [{"role": "user", "content": system}, *rest]


def _join_neighbours(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    joined: list[dict[str, Any]] = []
    for message in messages:
        last = joined[-1] if joined else None
        if last and last["role"] == message["role"] and message["role"] in ("user", "assistant") and "tool_calls" not in last:
            contents = [text for text in (last["content"], message["content"]) if text]
            joined[-1] = last | message | {"content": "\n\n".join(contents)}
        else:
            joined.append(message)
    return joined
