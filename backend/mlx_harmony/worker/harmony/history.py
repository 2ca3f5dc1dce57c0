"""A conversation as openai-harmony's messages: what each becomes, and which thinking a prompt still shows. Knows no tokens.

The rule: what stands on the analysis channel (thinking, python and browser calls with their results) leaves the history once a later
final answer exists, and thinking that led to nothing leaves with the next question. What goes depends on position alone, so that a
prompt's beginning stays the same from turn to turn.
"""

import datetime
import json
from collections.abc import Iterator

import openai_harmony as harmony

from mlx_harmony.errors import InvalidRequest
from mlx_harmony.ranges import check_channels
from mlx_harmony.records import ChatPrompt, Message, Tool
from mlx_harmony.worker.harmony.routing import PATCH, Address, address, function_names

MAX_TOOL_CHARACTERS = 64_000
_EFFORTS = {
    "low": harmony.ReasoningEffort.LOW,
    "medium": harmony.ReasoningEffort.MEDIUM,
    "high": harmony.ReasoningEffort.HIGH,
}
_PATCH_TOOL = harmony.ToolDescription.new(
    PATCH,
    "Edit files with a patch.",
    parameters={"type": "string", "description": "Patch text from *** Begin Patch to *** End Patch"},
)


def system_message(prompt: ChatPrompt) -> harmony.Message:
    """Identity, dates, effort, channels and built-in tools."""
    if prompt.effort not in _EFFORTS:
        raise InvalidRequest(f"{prompt.effort!r} is no reasoning effort.", hint="Use low, medium or high.", param="reasoning_effort")
    check_channels(prompt.channels)
    content = harmony.SystemContent.new()
    if prompt.identity is not None:
        content = content.with_model_identity(prompt.identity)
    content = content.with_reasoning_effort(_EFFORTS[prompt.effort]).with_knowledge_cutoff(prompt.knowledge_cutoff)
    content = content.with_conversation_start_date(prompt.start_date or datetime.datetime.now().astimezone().date().isoformat())
    content = content.with_required_channels(list(prompt.channels))
    kinds = {tool.kind for tool in prompt.tools}
    if "browser" in kinds:
        content = content.with_browser_tool()
    if "python" in kinds:
        content = content.with_python_tool()
    return harmony.Message.from_role_and_content(harmony.Role.SYSTEM, content)


def developer_message(prompt: ChatPrompt) -> harmony.Message | None:
    """Instructions (every system and developer message, in order) and function tools; None without either."""
    instructions = "\n\n".join(
        message.content for message in prompt.messages if message.role in ("system", "developer") and message.content
    )
    functions = [_description(tool) for tool in prompt.tools if tool.kind in ("function", "apply_patch")]
    if not instructions and not functions:
        return None
    content = harmony.DeveloperContent.new()
    if instructions:
        content = content.with_instructions(instructions)
    if functions:
        content = content.with_function_tools(functions)
    return harmony.Message.from_role_and_content(harmony.Role.DEVELOPER, content)


def has_functions(prompt: ChatPrompt) -> bool:
    """Whether the system message has to say where calls to functions go."""
    return any(tool.kind in ("function", "apply_patch") for tool in prompt.tools)


def turns(prompt: ChatPrompt) -> Iterator[tuple[Message, list[harmony.Message]]]:
    """Each message after the instructions with what the prompt still shows of it, oldest first."""
    spoken = [message for message in prompt.messages if message.role not in ("system", "developer")]
    addresses = _addresses(spoken, function_names(prompt.tools))
    last_final = max((at for at, message in enumerate(spoken) if _is_final(message)), default=-1)
    last_user = max((at for at, message in enumerate(spoken) if message.role == "user"), default=-1)
    for at, message in enumerate(spoken):
        led_nowhere = at < last_user and not message.tool_calls and not message.content
        written = _written(message, addresses)
        if at <= last_final or led_nowhere:
            written = [part for part in written if part.channel != "analysis"]
        yield message, written


def _is_final(message: Message) -> bool:
    return message.role == "assistant" and not message.tool_calls and bool(message.content)


def _description(tool: Tool) -> harmony.ToolDescription:
    if tool.kind == "apply_patch":
        return _PATCH_TOOL
    try:
        size = len(tool.name) + len(tool.description) + len(json.dumps(tool.parameters))
    except (ValueError, TypeError, RecursionError) as error:
        message = f"The schema of the tool {tool.name[:40]!r} cannot be read: {error}."
        raise InvalidRequest(message, hint="Send a JSON Schema.", param="tools") from error
    if size > MAX_TOOL_CHARACTERS:
        raise InvalidRequest(
            f"The tool {tool.name[:40]!r} is described in {size:,} characters; no more than {MAX_TOOL_CHARACTERS:,} can be read.",
            hint="Shorten its description and schema.",
            param="tools",
        )
    return harmony.ToolDescription.new(tool.name, tool.description, parameters=tool.parameters)


def _addresses(messages: list[Message], functions: frozenset[str]) -> dict[str, Address]:
    """Where each call of the history went, by the call's id."""
    return {call.id: address(call, functions) for message in messages for call in message.tool_calls}


def _written(message: Message, addresses: dict[str, Address]) -> list[harmony.Message]:
    """One message of ours as openai-harmony's, thinking first."""
    match message.role:
        case "assistant":
            return _assistant(message, addresses)
        case "tool":
            return [_result(message, addresses)]
        case "user":
            return [harmony.Message.from_role_and_content(harmony.Role.USER, message.content)]
        case _:
            raise InvalidRequest(f"{message.role!r} is no role.", hint="Use system, developer, user, assistant or tool.", param="messages")


def _assistant(message: Message, addresses: dict[str, Address]) -> list[harmony.Message]:
    parts: list[harmony.Message] = []
    if message.reasoning:
        parts.append(_spoken(message.reasoning, "analysis"))
    if message.content:
        parts.append(_spoken(message.content, "commentary" if message.tool_calls else "final"))
    for call in message.tool_calls:
        to = addresses[call.id]
        part = _spoken(to.content, to.channel).with_recipient(to.recipient)
        parts.append(part.with_content_type(to.content_type) if to.content_type else part)
    return parts


def _spoken(text: str, channel: str) -> harmony.Message:
    return harmony.Message.from_role_and_content(harmony.Role.ASSISTANT, text).with_channel(channel)


def _result(message: Message, addresses: dict[str, Address]) -> harmony.Message:
    to = addresses.get(message.tool_call_id or "")
    recipient, channel = (to.recipient, to.channel) if to is not None else (f"functions.{message.name}", "commentary")
    author = harmony.Author.new(harmony.Role.TOOL, recipient)
    return harmony.Message.from_author_and_content(author, message.content).with_channel(channel).with_recipient("assistant")
