"""Builds one turn of a dialogue: thinking as long as the effort asks, tool calls, tool results, the answer.

Owns the shape of a turn and the dialogue's state (what was told, what the developer wants). Knows no skill.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from noise import human
from render import Message, Settings


@dataclass
class Context:
    """State shared by the turns of one dialogue."""

    r: random.Random
    settings: Settings
    suffix: str = ""
    prefix: str = ""
    user_name: str = ""
    self_name: str = ""
    codeword: str = ""
    told: dict[str, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    noise: float = 1.0
    last: str = ""
    jokes: int = 0
    exact_eval: bool = False

    def finish(self, text: str) -> str:
        """The answer with what the developer wants around it."""
        return f"{self.prefix}{text}{self.suffix}"

    def ask(self, text: str) -> str:
        """A user message with human noise, remembered."""
        message = human(self.r, text, self.noise)
        self.said.append(message)
        return message


def thinking(ctx: Context, short: str, steps: list[str] | None = None) -> list[Message]:
    """The analysis message: none at low effort, `short` at medium, every step and a check at high."""
    if ctx.settings.effort == "low":
        return []
    text = short
    if ctx.settings.effort == "high":
        text = " ".join(
            [short, *(steps or ["I look at what is asked once more.", "Nothing else is needed."]), "I check: this fits. Now I answer."]
        )
    return [Message("assistant", text, "analysis")]


def say(ctx: Context, user: str, short: str, final: str, steps: list[str] | None = None, direct: bool = True) -> list[Message]:
    """A turn without tools."""
    ask = Message("user", ctx.ask(user))
    ctx.last = final
    answer = Message("assistant", ctx.finish(final), "final", direct=direct)
    return [ask, *thinking(ctx, short, steps), answer]


@dataclass(frozen=True)
class Call:
    """A tool call and what came back."""

    recipient: str
    text: str
    result: str
    channel: str = "analysis"
    content_type: str = "code"

    def messages(self) -> list[Message]:
        """The assistant's call and the tool's answer."""
        return [
            Message("assistant", self.text, self.channel, self.recipient, self.content_type),
            Message(self.recipient, self.result, self.channel),
        ]


def use(ctx: Context, user: str, plan: str, calls: list[Call], read: str, final: str) -> list[Message]:
    """A turn with tool calls: plan, call, read the result, answer."""
    out = [Message("user", ctx.ask(user)), *thinking(ctx, plan, ["A tool is offered for this.", "I write the call exactly."])]
    for call in calls:
        out += call.messages()
    out += thinking(ctx, read, ["I copy the result without changing it."])
    ctx.last = final
    out.append(Message("assistant", ctx.finish(final), "final", direct=False))
    return out
