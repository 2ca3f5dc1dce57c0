"""Renders a dialogue as Harmony text, segment by segment, exactly as openai-harmony would.

Owns the Harmony markup of system, developer and chat messages, and the rule by which earlier thinking
leaves the history. Knows nothing about token ids or about what is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

START, END, MESSAGE, CHANNEL = "<|start|>", "<|end|>", "<|message|>", "<|channel|>"
CONSTRAIN, RETURN, CALL, EOT = "<|constrain|>", "<|return|>", "<|call|>", "<|endoftext|>"
SPECIALS = (EOT, RETURN, CONSTRAIN, CHANNEL, START, END, MESSAGE, CALL)
DEFAULT_IDENTITY = "You are ChatGPT, a large language model trained by OpenAI."

BROWSER = """## browser

// Tool for browsing.
// The `cursor` appears in brackets before each browsing display: `[{cursor}]`.
// Cite information from the tool using the following format:
// `【{cursor}†L{line_start}(-L{line_end})?】`, for example: `【6†L9-L11】` or `【8†L3】`.
// Do not quote more than 10 words directly from the tool output.
// sources=web (default: web)
namespace browser {

// Searches for information related to `query` and displays `topn` results.
type search = (_: {
query: string,
topn?: number, // default: 10
source?: string,
}) => any;

// Opens the link `id` from the page indicated by `cursor` starting at line number `loc`, showing `num_lines` lines.
// Valid link ids are displayed with the formatting: `【{id}†.*】`.
// If `cursor` is not provided, the most recent page is implied.
// If `id` is a string, it is treated as a fully qualified URL associated with `source`.
// If `loc` is not provided, the viewport will be positioned at the beginning of the document or centered on the most relevant passage, if available.
// Use this function without `id` to scroll to a new location of an opened page.
type open = (_: {
id?: number | string, // default: -1
cursor?: number, // default: -1
loc?: number, // default: -1
num_lines?: number, // default: -1
view_source?: boolean, // default: false
source?: string,
}) => any;

// Finds exact matches of `pattern` in the current page, or the page given by `cursor`.
type find = (_: {
pattern: string,
cursor?: number, // default: -1
}) => any;

} // namespace browser"""

PYTHON = """## python

Use this tool to execute Python code in your chain of thought. The code will not be shown to the user. \
This tool should be used for internal reasoning, but not for code that is intended to be visible to the user \
(e.g. when creating plots, tables, or files).

When you send a message containing Python code to python, it will be executed in a stateful Jupyter notebook environment. \
python will respond with the output of the execution or time out after 120.0 seconds. \
The drive at '/mnt/data' can be used to save and persist user files. \
Internet access for this session is UNKNOWN. Depends on the cluster."""

CHANNELS = "# Valid channels: analysis, commentary, final. Channel must be included for every message."
FUNCTIONS_NOTE = "\nCalls to these tools must go to the commentary channel: 'functions'."


@dataclass(frozen=True)
class Tool:
    """A function tool: its name, one-line description, and JSON schema (None for no arguments)."""

    name: str
    description: str
    parameters: dict[str, Any] | None = None


@dataclass(frozen=True)
class Settings:
    """What the system and developer messages say."""

    identity: str = DEFAULT_IDENTITY
    effort: str = "medium"
    date: str | None = "2025-06-28"
    cutoff: str = "2024-06"
    python: bool = False
    browser: bool = False
    instructions: str = ""
    functions: tuple[Tool, ...] = ()


@dataclass(frozen=True)
class Message:
    """One message. `learn` asks for loss on it; `direct` says a final needs nothing that the history will lose."""

    role: str
    text: str
    channel: str = ""
    recipient: str = ""
    content_type: str = ""
    learn: bool = True
    direct: bool = True


@dataclass(frozen=True)
class Segment:
    """Text or one special token, with the loss weight on predicting it; `target` replaces what is predicted."""

    text: str
    special: bool = False
    learn: bool = False
    target: str = ""


@dataclass
class Dialogue:
    """Settings and turns; a turn is the user's message followed by everything the assistant and tools said.

    `keeps` leaves thinking in the history as openai-harmony 0.0.8 does (only what precedes the first answer goes,
    and nothing while a tool call is the last act); without it every earlier turn loses its thinking.
    """

    settings: Settings
    turns: list[list[Message]] = field(default_factory=list)
    keeps: bool = False


def _schema_type(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(f'"{v}"' for v in schema["enum"])
    kind = schema.get("type", "any")
    if kind in ("integer", "number"):
        return "number"
    if kind == "array":
        return f"{_schema_type(schema.get('items', {}))}[]"
    return str(kind)


def _signature(tool: Tool) -> str:
    schema = tool.parameters
    if schema is None:
        return f"type {tool.name} = () => any;"
    if schema.get("type") != "object":
        return f"type {tool.name} = (_: {_schema_type(schema)}) => any;"
    lines = [f"type {tool.name} = (_: {{"]
    required = schema.get("required", ())
    for name, prop in schema.get("properties", {}).items():
        if prop.get("description"):
            lines.append(f"// {prop['description']}")
        lines.append(f"{name}{'' if name in required else '?'}: {_schema_type(prop)},")
    return "\n".join([*lines, "}) => any;"])


def system_text(s: Settings) -> str:
    """The system message's content."""
    text = f"{s.identity}\nKnowledge cutoff: {s.cutoff}\n"
    if s.date:
        text += f"Current date: {s.date}\n"
    text += f"\nReasoning: {s.effort}\n\n"
    sections = [t for t, on in ((BROWSER, s.browser), (PYTHON, s.python)) if on]
    if sections:
        text += "# Tools\n\n" + "\n\n".join(sections) + "\n\n"
    return text + CHANNELS + (FUNCTIONS_NOTE if s.functions else "")


def developer_text(s: Settings) -> str:
    """The developer message's content, empty when there is nothing to say."""
    parts = [f"# Instructions\n\n{s.instructions}"] if s.instructions else []
    if s.functions:
        tools = "\n\n".join(f"// {t.description}\n{_signature(t)}" for t in s.functions)
        parts.append(f"# Tools\n\n## functions\n\nnamespace functions {{\n\n{tools}\n\n}} // namespace functions")
    return "\n\n".join(parts)


def _plain(role: str, text: str) -> Iterator[Segment]:
    yield Segment(START, True)
    yield Segment(role)
    yield Segment(MESSAGE, True)
    yield Segment(text)
    yield Segment(END, True)


def _assistant(m: Message, last: bool) -> Iterator[Segment]:
    """One assistant message; earlier finals are learnt for their content only, and to end in <|return|>."""
    header = m.learn and last
    body = m.learn and (last or (m.channel == "final" and m.direct))
    yield Segment(START, True, header)
    yield Segment("assistant", learn=header)
    if m.recipient:
        yield Segment(f" to={m.recipient}", learn=header)
    yield Segment(CHANNEL, True, header)
    if m.content_type.startswith(CONSTRAIN):
        yield Segment(m.channel + " ", learn=header)
        yield Segment(CONSTRAIN, True, header)
        yield Segment(m.content_type.removeprefix(CONSTRAIN), learn=header)
    else:
        yield Segment(m.channel + (f" {m.content_type}" if m.content_type else ""), learn=header)
    yield Segment(MESSAGE, True, header)
    yield Segment(m.text, learn=body)
    if m.recipient:
        yield Segment(CALL, True, body)
    elif m.channel == "final":
        yield Segment(RETURN if last and m.learn else END, True, body, RETURN)
    else:
        yield Segment(END, True, body)


def _tool(m: Message) -> Iterator[Segment]:
    yield Segment(START, True)
    yield Segment(f"{m.role} to=assistant")
    yield Segment(CHANNEL, True)
    yield Segment(m.channel)
    yield Segment(MESSAGE, True)
    yield Segment(m.text)
    yield Segment(END, True)


def render(dialogue: Dialogue, learn_last: bool = True) -> Iterator[Segment]:
    """Every segment of a dialogue. The last turn keeps its thinking; `learn_last=False` renders it as history too."""
    yield from _plain("system", system_text(dialogue.settings))
    developer = developer_text(dialogue.settings)
    if developer:
        yield from _plain("developer", developer)
    final_turn = len(dialogue.turns) - 1
    gone = _gone(dialogue, learn_last)
    for i, turn in enumerate(dialogue.turns):
        last = learn_last and i == final_turn
        first = True
        for k, m in enumerate(turn):
            if (i, k) in gone:
                continue
            if m.role == "user":
                yield from _plain("user", m.text)
            elif m.role == "assistant":
                segments = _assistant(m, last)
                if first and last:
                    segments = _unlearn_start(segments)
                yield from segments
                first = False
            else:
                yield from _tool(m)
                first = True


def _gone(dialogue: Dialogue, learn_last: bool) -> set[tuple[int, int]]:
    """Which messages (turn, place) have left the history. The last turn is whole while it is learnt."""
    flat = [(i, k, m.channel) for i, turn in enumerate(dialogue.turns) for k, m in enumerate(turn)]
    limit = len(dialogue.turns) - 1 if learn_last else len(dialogue.turns)
    finals = [(i, k) for i, k, channel in flat if channel == "final" and i < limit]
    if not finals:
        return set()
    if not dialogue.keeps:
        return {(i, k) for i, k, channel in flat if channel == "analysis" and (i, k) < finals[-1]}
    last = next(m for m in reversed([m for turn in dialogue.turns for m in turn]) if m.role == "assistant")
    pending = learn_last and _calls_tool(dialogue.turns[-1])
    return (
        set()
        if pending or (not learn_last and last.channel != "final")
        else {(i, k) for i, k, c in flat if c == "analysis" and (i, k) < finals[0]}
    )


def _calls_tool(turn: list[Message]) -> bool:
    return any(m.recipient for m in turn)


def _unlearn_start(segments: Iterator[Segment]) -> Iterator[Segment]:
    """The prompt ends with `<|start|>assistant`: the model never has to say that itself."""
    for n, segment in enumerate(segments):
        yield Segment(segment.text, segment.special) if n < 2 else segment


def prompt_text(dialogue: Dialogue) -> str:
    """The text of a completion prompt: the dialogue as it stands, then `<|start|>assistant`."""
    return "".join(s.text for s in render(dialogue, learn_last=False)) + START + "assistant"
