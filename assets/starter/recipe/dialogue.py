"""Composes whole dialogues: settings, developer wishes, and a sequence of skills.

Owns the mixture, the curriculum's stages and the order of turns. A recall turn needs something told first.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import skills_calls as calls
import skills_chat as chat
import skills_firsts as firsts
import skills_memory as memory
import skills_offered as offered
import skills_text as text
import skills_tools as tools
import values as v
from render import DEFAULT_IDENTITY, Dialogue, Message, Settings, Tool
from turn import Context

Skill = Callable[[Context], list[Message]]
MILD = [
    "Be kind.",
    "Be brief.",
    "Answer briefly.",
    "Be polite and friendly.",
    "You are a helpful assistant.",
    "Answer in plain English.",
    "Be precise.",
    "Do not make things up.",
    "Keep it short and simple.",
    "Use simple words.",
]

MAX_TURNS = 8
FUNCTIONS: tuple[Callable[[random.Random], Tool], ...] = (calls.random_tool, calls.natural_tool, offered.offer)

BASE: dict[Skill, float] = {
    chat.app: 33,
    chat.beyond: 12,
    chat.talk: 5,
    chat.greet: 2,
    chat.garble: 1.5,
    chat.statement: 2.5,
    chat.about_prompt: 3.5,
    firsts.greeting: 1.5,
    firsts.again: 1.2,
    firsts.follow: 3.5,
    firsts.joke: 1,
    firsts.foreign: 3,
    firsts.things: 2.5,
    firsts.series: 2,
    text.count: 3,
    text.spell: 6,
    text.sort: 6,
    text.echo: 5,
    text.markdown: 2.5,
    text.little: 1.5,
    memory.tell: 6,
    memory.tell_and_ask: 1.2,
    memory.tell_many: 2,
    memory.context_read: 4,
    memory.ask_unknown: 1.5,
    memory.ask_earlier: 1.5,
    tools.arithmetic: 3,
    tools.run_code: 1,
    tools.open_page: 1,
    tools.search_web: 0.7,
    calls.function: 1.5,
    calls.patch: 1,
}
COPYING: dict[Skill, float] = {
    memory.tell: 4,
    memory.tell_many: 3,
    memory.context_read: 6,
    text.echo: 4,
    text.spell: 2,
    chat.app: 3,
    text.sort: 1,
    memory.ask_unknown: 0.5,
    memory.tell_and_ask: 1,
    tools.arithmetic: 1,
}


def settings(r: random.Random, tool_rate: float = 0.4) -> Settings:
    """System and developer messages as users set them."""
    some = r.random() < tool_rate
    functions = []
    if some and r.random() < 0.4:
        functions.append(calls.PATCH)
    if some and r.random() < 0.42:
        functions += [r.choices(FUNCTIONS, [4, 4, 7])[0](r) for _ in range(r.choice([1, 1, 1, 2, 2, 3, 4]))]
        r.shuffle(functions)
    identity = DEFAULT_IDENTITY
    if r.random() < 0.2:
        identity = r.choice(
            [
                f"You are {v.name(r)}, a helpful assistant.",
                v.sentence(r),
                "You are a helpful assistant.",
                f"You are {v.name(r)}.",
                f"You are the voice of {v.place(r)}. {v.sentence(r)}",
            ]
        )
    return Settings(
        identity=identity,
        effort=r.choice(["low", "medium", "medium", "high"]),
        date=v.date(r) if r.random() < 0.95 else None,
        cutoff="2024-06" if r.random() < 0.8 else f"{r.randint(2020, 2028)}-{r.randint(1, 12):02d}",
        python=some and r.random() < 0.6,
        browser=some and r.random() < 0.35,
        functions=tuple({t.name: t for t in functions}.values()),
    )


def context(r: random.Random, tool_rate: float = 0.4) -> Context:
    """A fresh dialogue state, with developer instructions in a third of all cases."""
    s = settings(r, tool_rate)
    ctx = Context(r, s)
    p = r.random()
    wish = ""
    if p < 0.06:
        end = r.choice([v.any_word(r), v.phrase(r, 2, 3), r.choice(v.EMOJI)])
        ctx.suffix, wish = (
            f" {end}",
            r.choice(
                ["End every answer with {x}", "Finish each answer with {x}", "Always end with {x}", "Every answer ends with {x}"]
            ).format(x=end),
        )
    elif p < 0.1:
        start = f"{v.any_word(r).capitalize()}:"
        ctx.prefix, wish = f"{start} ", f"Begin every answer with {start}"
    elif p < 0.15:
        ctx.user_name = v.name(r)
        ctx.told["name"] = ctx.user_name
        wish = r.choice(["The user's name is {x}.", "Call the user {x}.", "You are talking to {x}.", "The user is called {x}."]).format(
            x=ctx.user_name
        )
    elif p < 0.19:
        ctx.self_name = v.name(r)
        wish = r.choice(["Your name is {x}.", "You are called {x}.", "You are {x}."]).format(x=ctx.self_name)
    elif p < 0.23:
        ctx.codeword = v.code(r) if r.random() < 0.5 else v.any_word(r)
        wish = r.choice(["The codeword is {x}.", "If asked for the codeword, say {x}.", "The secret codeword is {x}."]).format(
            x=ctx.codeword
        )
    elif p < 0.32:
        wish = r.choice(MILD) if r.random() < 0.6 else v.sentence(r)
    if wish and r.random() < 0.25:
        wish += " " + r.choice(MILD)
    ctx.settings = Settings(s.identity, s.effort, s.date, s.cutoff, s.python, s.browser, wish, s.functions)
    return ctx


def _boost(s: Settings, weights: dict[Skill, float]) -> dict[Skill, float]:
    """Offered tools get used: they cost hundreds of prompt tokens."""
    w = dict(weights)
    if s.python:
        w[tools.arithmetic] = w.get(tools.arithmetic, 0) + 45
        w[tools.run_code] = w.get(tools.run_code, 0) + 12
    if s.browser:
        w[tools.open_page] = w.get(tools.open_page, 0) + 12
        w[tools.search_web] = w.get(tools.search_web, 0) + 8
    if any(t.name == "apply_patch" for t in s.functions):
        w[calls.patch] = w.get(calls.patch, 0) + 22
    if any(t.name != "apply_patch" for t in s.functions):
        w[calls.function] = w.get(calls.function, 0) + 48
    return w


def _next(ctx: Context, weights: dict[Skill, float], last: bool) -> Skill:
    if ctx.told and ctx.r.random() < (0.45 if last else 0.15):
        return memory.ask
    if ctx.codeword and ctx.r.random() < 0.2:
        return chat.about_prompt
    return ctx.r.choices(list(weights), list(weights.values()))[0]


def compose(r: random.Random, copying: bool = False, max_turns: int = MAX_TURNS) -> Dialogue:
    """One dialogue; `copying` is the curriculum's first stage."""
    ctx = context(r, 0.1 if copying else 0.35)
    weights = _boost(ctx.settings, COPYING if copying else BASE)
    turns = min(max_turns, r.choice([1, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 8]))
    if max_turns == MAX_TURNS and r.random() < 0.02:
        turns = r.randint(9, 30)
    dialogue = Dialogue(ctx.settings, keeps=r.random() < 0.3)
    for i in range(turns):
        dialogue.turns.append(_next(ctx, weights, i == turns - 1)(ctx))
    return dialogue
