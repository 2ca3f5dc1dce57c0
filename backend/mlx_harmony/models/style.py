"""How a model thinks and calls tools, told from its chat template and its control tokens. Opens no tokenizer and runs no template.

The tables name what mlx-lm reads out of an answer, in the order in which it looks; a model of another kind is read as plain text.
"""

from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from mlx_harmony.models.kind import MAX_CONFIG_BYTES, tokens_of
from mlx_harmony.models.reading import opened
from mlx_harmony.records import Format, Record

TEMPLATE_FILE = "chat_template.jinja"
MAX_TEMPLATE_BYTES = 4 * 2**20
HARMONY = "harmony"


class Style(Record):
    """`thinking` is what opens it in an answer, such as <think>; `tools` the name of mlx-lm's parser. Harmony has its own, "" is none."""

    thinking: str = ""
    tools: str = ""


class _Thinking(NamedTuple):
    """One way to think: `tokens` are the control tokens it takes, any of `written` in the template tells that the model was taught it."""

    start: str
    tokens: tuple[str, ...]
    written: tuple[str, ...]


_XTML = ("<|open|>", "<|close|>", "<|sep|>", "<|end_of_msg|>")
_CALL = ("<|tool_call_start|>", "<|tool_call_end|>")
_THINKING = (
    *(
        _Thinking(start, (start, end), (start, end))
        for start, end in (
            ("<think>", "</think>"),
            ("<longcat_think>", "</longcat_think>"),
            ("<|think:start|>", "<|think:end|>"),
        )
    ),
    _Thinking("<|channel>thought", ("<|channel>", "<channel|>"), ("<|channel>", "<channel|>")),
    _Thinking("<|open|>think<|sep|>", _XTML, ("<|open|>",)),
)
_TOOLS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("minimax_m2", ("<minimax:tool_call>",)),
    ("gemma4", ("<|tool_call>", "<tool_call|>")),
    ("function_gemma", ("<start_function_call>",)),
    ("longcat", ("<longcat_tool_call>",)),
    ("glm47", ("<arg_key>",)),
    ("pythonic", ("<|tool_list_start|>",)),
    ("pythonic", ("<|tool_call_start|>",)),
    ("qwen3_coder", ("<tool_call>\\n<function=",)),
    ("qwen3_coder", ("<tool_call>\n<function=",)),
    ("kimi_k2", ("<|tool_calls_section_begin|>",)),
    ("minicpm5", ('<function name="', '<param name="')),
    ("mistral", ("[TOOL_CALLS]",)),
    ("muse_spark", ("<atem:function_calls>",)),
    ("json_tools", ("<tool_call>", "tool_call.name")),
)
"""Each parser with what a template holds that asks for it: all of it."""
_TOOLS_BY_TOKENS = (("kimi_k3", _XTML), ("pythonic", _CALL))


class _Config(msgspec.Struct):
    chat_template: Any = None
    tool_parser_type: Any = None


def style_of(folder: Path, kind: Format) -> Style:
    """The style of a folder of that format; what cannot be read tells nothing."""
    if kind == "harmony":
        return Style(thinking=HARMONY, tools=HARMONY)
    if kind != "template":
        return Style()
    config, tokens = _config(folder), tokens_of(folder)
    templates = _templates(folder, config)
    named = config.tool_parser_type
    # Of several templates mlx-lm asks none for the tools.
    tools = named if isinstance(named, str) else _tools(templates[0] if len(templates) == 1 else "", tokens)
    return Style(thinking=_thinking("\n".join(templates), tokens), tools=tools)


def _thinking(template: str, tokens: frozenset[str]) -> str:
    """A template that is not in the folder, since mlx-lm brings it, is taken to agree with the tokens."""
    return next(
        (
            way.start
            for way in _THINKING
            if tokens.issuperset(way.tokens) and (not template or any(mark in template for mark in way.written))
        ),
        "",
    )


def _tools(template: str, tokens: frozenset[str]) -> str:
    found = (name for name, marks in _TOOLS if all(mark in template for mark in marks))
    return next(found, None) or next((name for name, needed in _TOOLS_BY_TOKENS if tokens.issuperset(needed)), "")


def _config(folder: Path) -> _Config:
    try:
        return msgspec.json.decode(_read(folder / "tokenizer_config.json", MAX_CONFIG_BYTES), type=_Config)
    except (ValueError, RecursionError):
        return _Config()


def _templates(folder: Path, config: _Config) -> tuple[str, ...]:
    """The template's text, or those of several; a file of its own comes before what tokenizer_config.json holds."""
    if text := _read(folder / TEMPLATE_FILE, MAX_TEMPLATE_BYTES):
        return (text.decode(errors="replace"),)
    if isinstance(config.chat_template, str):
        return (config.chat_template,)
    listed = config.chat_template if isinstance(config.chat_template, list) else []
    texts = (each.get("template") for each in listed if isinstance(each, dict))
    return tuple(text for text in texts if isinstance(text, str))


def _read(path: Path, limit_bytes: int) -> bytes:
    try:
        with opened(path) as file:
            return file.read(limit_bytes)
    except OSError:
        return b""
