"""The recipe's renderer says exactly what openai-harmony says."""

from __future__ import annotations

import random
from typing import Any

import openai_harmony as oh
import pytest

import render as render_module
from dialogue import compose
from render import Dialogue, Message, Segment, Settings, prompt_text, render

EFFORTS = {"low": oh.ReasoningEffort.LOW, "medium": oh.ReasoningEffort.MEDIUM, "high": oh.ReasoningEffort.HIGH}


def _system(s: Settings) -> oh.Message:
    content = (
        oh.SystemContent.new().with_model_identity(s.identity).with_reasoning_effort(EFFORTS[s.effort]).with_knowledge_cutoff(s.cutoff)
    )
    content = content.with_required_channels(["analysis", "commentary", "final"])
    if s.date:
        content = content.with_conversation_start_date(s.date)
    if s.browser:
        content = content.with_browser_tool()
    if s.python:
        content = content.with_python_tool()
    return oh.Message.from_role_and_content(oh.Role.SYSTEM, content)


def _developer(s: Settings) -> list[oh.Message]:
    if not s.instructions and not s.functions:
        return []
    content = oh.DeveloperContent.new()
    if s.instructions:
        content = content.with_instructions(s.instructions)
    if s.functions:
        content = content.with_function_tools([oh.ToolDescription.new(t.name, t.description, parameters=t.parameters) for t in s.functions])
    return [oh.Message.from_role_and_content(oh.Role.DEVELOPER, content)]


def _message(m: Message) -> oh.Message:
    if m.role == "user":
        return oh.Message.from_role_and_content(oh.Role.USER, m.text)
    if m.role == "assistant":
        out = oh.Message.from_role_and_content(oh.Role.ASSISTANT, m.text)
    else:
        out = oh.Message.from_author_and_content(oh.Author.new(oh.Role.TOOL, m.role), m.text).with_recipient("assistant")
    out = out.with_channel(m.channel)
    if m.recipient:
        out = out.with_recipient(m.recipient)
    return out.with_content_type(m.content_type) if m.content_type else out


def _theirs(encoding: Any, d: Dialogue) -> str:
    gone = set() if d.keeps else render_module._gone(d, learn_last=False)
    told = [m for i, turn in enumerate(d.turns) for k, m in enumerate(turn) if (i, k) not in gone]
    messages = [_system(d.settings), *_developer(d.settings), *(_message(m) for m in told)]
    ids = encoding.render_conversation_for_completion(oh.Conversation.from_messages(messages), oh.Role.ASSISTANT)
    return str(encoding.decode_utf8(ids))


@pytest.mark.parametrize("seed", range(8))
def test_prompt_equals_openai_harmony(harmony: Any, seed: int) -> None:
    r = random.Random(seed)
    for _ in range(60):
        d = compose(r)
        turn = d.turns[-1]
        d.turns[-1] = turn[: r.choice([1, *(i + 1 for i, m in enumerate(turn) if m.role not in ("user", "assistant"))])]
        assert prompt_text(d) == _theirs(harmony, d)


def test_learnt_turn_continues_the_prompt(harmony: Any) -> None:
    """What is learnt begins where the prompt ends: history plus answer is one text."""
    r = random.Random(99)
    for _ in range(100):
        d = compose(r)
        if sum(m.role == "user" for m in d.turns[-1]) > 1:
            continue
        question = Dialogue(d.settings, [*d.turns[:-1], d.turns[-1][:1]], d.keeps)
        if d.keeps and any(m.recipient for m in d.turns[-1]):
            continue
        assert "".join(s.text for s in render(d)).startswith(prompt_text(question))


def test_only_the_assistant_is_learnt() -> None:
    d = Dialogue(Settings(), [[Message("user", "secret"), Message("assistant", "ok", "final")]])
    learnt = [s for s in render(d) if s.learn]
    assert [s.text for s in learnt] == ["<|channel|>", "final", "<|message|>", "ok", "<|return|>"]
    assert Segment("secret") in list(render(d))
