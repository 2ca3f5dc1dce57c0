"""What one prompt of the evaluation is, and what the generated answer must satisfy.

Owns the kinds of checks and the grammar of a well-formed turn. Knows nothing about where prompts come from or about running a model.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from render import Dialogue, Settings

HEADER = r"(?: to=(?P<to>[\w.]+))?<\|channel\|>(?P<channel>analysis|commentary|final)(?: ?(?P<type>code|<\|constrain\|>json))?<\|message\|>"
PART = re.compile(
    HEADER + r"(?P<body>(?:(?!<\|(?:end|call|return|start|channel|message|constrain|endoftext)\|>).)*)(?P<end><\|(?:end|call|return)\|>)",
    re.S,
)
PYTHON_CALL = re.compile(r" to=python<\|channel\|>analysis code<\|message\|>(.*?)<\|call\|>", re.S)


def final_of(text: str) -> str:
    """The final channel's content in generated text, empty without one."""
    found = re.search(r"<\|channel\|>final<\|message\|>(.*?)(?:<\|return\|>|$)", text, re.S)
    return found.group(1).replace("<¦", "<|").replace("¦>", "|>") if found else ""


def _is_part(m: re.Match[str], tools: set[str]) -> bool:
    """Whether one message's header and ending agree."""
    to, channel, end = m["to"], m["channel"], m["end"]
    if not to:
        return (channel, end) in {("analysis", "<|end|>"), ("final", "<|return|>"), ("commentary", "<|end|>")} and not m["type"]
    if end != "<|call|>" or to not in tools:
        return False
    if m["type"] == "<|constrain|>json" or to.startswith("browser."):
        try:
            return isinstance(json.loads(m["body"]), dict)
        except ValueError:
            return False
    return channel == ("commentary" if to.startswith("functions.") else "analysis")


def well_formed(text: str, settings: Settings) -> bool:
    """Whether generated text is a Harmony turn: thinking, then one answer or one call to an offered tool."""
    tools = {"python"} if settings.python else set()
    tools |= {"browser.open", "browser.search", "browser.find"} if settings.browser else set()
    tools |= {f"functions.{t.name}" for t in settings.functions}
    while True:
        m = PART.match(text)
        if not m or not _is_part(m, tools):
            return False
        text = text[m.end() :]
        if m["end"] != "<|end|>":
            return not text
        if not text.startswith("<|start|>assistant"):
            return False
        text = text.removeprefix("<|start|>assistant")


@dataclass(frozen=True)
class Item:
    """One prompt and what its answer must satisfy: a kind of check, and the texts that it looks for."""

    dialogue: Dialogue
    kind: str
    texts: tuple[str, ...] = ()
    max_tokens: int = 160

    def passes(self, text: str) -> bool:
        """Whether generated text, special tokens included, is right. An unknown kind raises ValueError."""
        final = final_of(text)
        match self.kind:
            case "formed":
                return well_formed(text, self.dialogue.settings)
            case "python":
                call = PYTHON_CALL.search(text)
                return bool(call) and call[1] in self.texts  # type: ignore[index]
            case "number":
                return self.texts[0] in re.findall(r"\d+", final)
            case "equals":
                return final == self.texts[0]
            case "holds":
                return any(t in final for t in self.texts)
            case "mentions":
                return any(t.lower() in final.lower() for t in self.texts)
            case "ends":
                return text.endswith(self.texts)
        raise ValueError(f"no check is called {self.kind!r}")
