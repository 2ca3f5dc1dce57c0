"""A chat as a Markdown document that reads well anywhere. Pure; nothing reads it back."""

import time
from collections.abc import Iterator
from html import escape

from mlx_harmony.conversation.attachments import fence_of
from mlx_harmony.conversation.records import Chat, ChatMessage

_SPEAKERS = {"user": "You", "assistant": "Assistant", "tool": "Tool", "system": "System", "developer": "Instructions"}
_CUT = {
    "length": "The length limit ended this answer.",
    "cancelled": "This answer was stopped.",
    "interrupted": "This answer was interrupted.",
    "failed": "This answer failed.",
}


def as_markdown(chat: Chat) -> str:
    """The shown path: title, date, then each message under its speaker; thinking is folded away."""
    lines = [f"# {_one_line(chat.summary.title)}", "", f"*{_when(chat.summary.created_at)}*"]
    if chat.options.instructions.strip():
        lines += ["", *_quoted(f"Instructions: {chat.options.instructions}")]
    for message in chat.messages:
        lines += ["", *_message(message)]
    return "\n".join(lines) + "\n"


def _message(message: ChatMessage) -> Iterator[str]:
    speaker = _SPEAKERS[message.role]
    named = message.provenance.model if message.provenance else message.name
    yield f"## {speaker} ({_one_line(named)})" if named else f"## {speaker}"
    if message.reasoning.strip():
        yield from ("", "<details><summary>Thinking</summary>", "", *_quoted(_closed(message.reasoning)), "", "</details>")
    if message.role == "tool":
        yield from ("", *_fenced(message.content))
    elif message.content.strip():
        yield from ("", _closed(message.content))
    for each in message.attachments:
        yield from ("", f"<details><summary>{escape(each.name)}</summary>", "", *_fenced(each.content), "", "</details>")
    for call in message.tool_calls:
        yield from ("", f"Calls `{_one_line(call.name)}`:", "", *_fenced(call.arguments, "json"))
    if message.state in _CUT:
        reason = f" {message.error.message}" if message.error else ""
        yield from ("", f"*{_CUT[message.state]}{_one_line(reason)}*")


def _quoted(text: str) -> list[str]:
    return [f"> {line}".rstrip() for line in text.splitlines()]


def _fenced(text: str, language: str = "") -> list[str]:
    """A code block whose fence is longer than any in the text."""
    fence = fence_of(text)
    return [fence + language, *text.splitlines(), fence]


def _closed(text: str) -> str:
    """The text with a fence it leaves open closed, as an answer that was cut may."""
    opened = ""
    for line in text.splitlines():
        stripped = line.lstrip()
        fence = stripped[: len(stripped) - len(stripped.lstrip("`"))]
        if len(fence) >= 3 and not opened:
            opened = fence
        elif opened and stripped.startswith(opened) and not stripped.strip("` "):
            opened = ""
    return f"{text}\n{opened}" if opened else text


def _one_line(text: str) -> str:
    return " " * text.startswith(" ") + " ".join(text.split())


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
