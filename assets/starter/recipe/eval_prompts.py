"""The evaluation's prompts: wordings the generator never emits, each with a check of the answer.

Owns held-out frames for sums, telling and asking. Knows nothing about running a model.
"""

from __future__ import annotations

import random
from pathlib import Path

import app_facts
import dialogue as mixture
import skills_calls
import skills_chat
import skills_memory as memory
import skills_text
import values as v
import wordings
from eval_checks import Item
from render import Dialogue, Message, Settings, Tool
from turn import Context

_W = wordings.load("eval_prompts")

FORMED = "well-formed Harmony turns, temperature 0"
FORMED_WARM = "well-formed Harmony turns, temperature 1"
SUMS = "python call for + - ×, up to four digits"
COPIED = "tool result copied"
RECALL = "recall of a fact told two to six turns earlier"
APP = "the app: new combinations of known phrases"
THINKING = "mean analysis tokens, effort"
LISTS = ("", "FRESH ", "LATER ")


def unseen(name: str, age: str = "") -> list[str]:
    """Wordings kept from the generator: FRESH ones were written after the first training, LATER ones after the second began."""
    return _W[age + name]


def _ask(settings: Settings, question: str, history: list[list[Message]] | None = None) -> Dialogue:
    return Dialogue(settings, [*(history or []), [Message("user", question)]])


def _settings(r: random.Random, **more: object) -> Settings:
    return Settings(effort=r.choice(["low", "medium", "high"]), date=v.date(r), **more)  # type: ignore[arg-type]


def python_calls(r: random.Random, n: int, age: str = "") -> list[Item]:
    """Sums in unseen words, numbers of one to four digits: the call must compute exactly that."""
    items = []
    for _ in range(n):
        op = r.choice("+-*")
        a, b = v.number(r), v.number(r)
        question = r.choice(unseen(f"SUMS {op}", age)).format(a=a, b=b)
        both = (f"print({a} {op} {b})", *([f"print({b} {op} {a})"] if op != "-" else []))
        items.append(Item(_ask(_settings(r, python=True), question), "python", both))
    return items


def copied(r: random.Random, n: int) -> list[Item]:
    """A call and an arbitrary result stand in the prompt; the answer must hold the result."""
    items = []
    for _ in range(n):
        a, b, op = v.number(r), v.number(r), r.choice("+-*")
        result = str(v.number(r, 9))
        question = r.choice(unseen(f"SUMS {op}")).format(a=a, b=b)
        s = _settings(r, python=True)
        turn = [
            Message("user", question),
            Message("assistant", f"print({a} {op} {b})", "analysis", "python", "code"),
            Message("python", result + r.choice(["", "\n"]), "analysis"),
        ]
        if s.effort != "low":
            turn.insert(1, Message("assistant", f"The user asks for {a} {op} {b}. I use python.", "analysis"))
        items.append(Item(Dialogue(s, [turn]), "number", (result,)))
    return items


def recall(r: random.Random, n: int, age: str = "") -> list[Item]:
    """Told in unseen words two to six turns earlier, asked for in unseen words; other turns lie between."""
    items = []
    for _ in range(n):
        s = _settings(r)
        ctx = Context(r, s)
        named = r.random() < 0.3
        slot = "name" if named else memory._slot(ctx)
        value = v.name(r) if named else memory._value(ctx, slot)
        told = r.choice(unseen("TELL_NAME" if named else "TELL", age)).format(s=slot, v=value)
        ack = f"Nice to meet you, {value}!" if named else r.choice(["I will keep that in mind.", f"Noted: your {slot} is {value}."])
        history = [[Message("user", told), Message("assistant", ack, "final")]]
        for _ in range(r.randint(1, 5)):
            history.append(_filler(ctx, slot))
        question = r.choice(unseen("ASK_NAME" if named else "ASK", age)).format(s=slot)
        items.append(Item(_ask(s, question, history), "holds", (value,)))
    return items


def _filler(ctx: Context, slot: str) -> list[Message]:
    """A turn of another kind, or another slot's telling."""
    while True:
        skill = ctx.r.choice([skills_chat.app, skills_chat.beyond, skills_text.sort, skills_text.spell, memory.tell, skills_chat.talk])
        before = dict(ctx.told)
        turn = skill(ctx)
        if slot not in ctx.told:
            return [m for m in turn if m.channel != "analysis"]
        ctx.told = before


def app_new(r: random.Random, n: int) -> list[Item]:
    """Known names in known frames, in combinations kept out of training."""
    items = []
    for _ in range(n):
        q = app_facts.draw(r, held_out=True)
        items.append(Item(_ask(_settings(r), Context(r, Settings()).ask(q.text)), "equals", (q.answer,), 260))
    return items


def paraphrases(part: str) -> list[Item]:
    """The hand-written questions of one part of eval_paraphrases.txt."""
    items = []
    current = ""
    r = random.Random(5)
    for line in Path(__file__).with_name("eval_paraphrases.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            current = line[3:]
        elif " | " in line and current == part:
            question, *keys = line.split(" | ")
            items.append(Item(_ask(_settings(r), question), "mentions", tuple(keys), 260))
    return items


def small_work(r: random.Random, n: int) -> dict[str, list[Item]]:
    """Counting, spelling, sorting and echoing with unseen values."""
    out: dict[str, list[Item]] = {}
    for name, skill in (("count", skills_text.count), ("spell", skills_text.spell), ("sort", skills_text.sort), ("echo", skills_text.echo)):
        items = []
        for _ in range(n):
            ctx = Context(r, _settings(r))
            turn = skill(ctx)
            if len(turn[-1].text) > 700 or sum(m.role == "user" for m in turn) > 1:
                turn = skills_text.spell(ctx)
            items.append(Item(Dialogue(ctx.settings, [turn[:1]]), "equals", (turn[-1].text,), 700))
        out[name] = items
    return out


def calls(r: random.Random, n: int, patch: bool) -> list[Item]:
    """Functions nobody has seen, or patches: the call must be exact, argument names and all."""
    items = []
    for _ in range(n):
        tool = skills_calls.PATCH if patch else r.choice([skills_calls.natural_tool, skills_calls.random_tool])(r)
        ctx = Context(r, _settings(r, functions=(tool,)))
        turn = (skills_calls.patch if patch else skills_calls.function)(ctx)
        want = next(m.text for m in turn if m.recipient) + "<|call|>"
        items.append(Item(Dialogue(ctx.settings, [turn[:1]]), "ends", (want,), 260))
    return items


def everyday_calls(r: random.Random, n: int) -> list[Item]:
    """Everyday functions the generator does not have; the one argument is called as the schema pleases."""
    items = []
    for _ in range(n):
        name, description, ask = r.choice(_W["FUNCTIONS"]).split(" | ")
        key = r.choice([*skills_calls.ARGUMENTS, v.word(r, 1, 2)])
        tool = Tool(name, description, {"type": "object", "properties": {key: {"type": "string"}}, "required": [key]})
        value = r.choice([v.place, v.name, v.any_word])(r)
        want = f'{{"{key}": "{value}"}}<|call|>'
        items.append(Item(_ask(_settings(r, functions=(tool,)), ask.format(v=value)), "ends", (want,), 260))
    return items


def everyday_patches(r: random.Random, n: int) -> list[Item]:
    """Lines of everyday words the generator does not have."""
    items = []
    for _ in range(n):
        (old, new), file = r.sample(_W["PATCH_WORDS"], 2), v.file_name(r)
        ask = r.choice(skills_calls.EDIT).format(f=file, o=f'"{old}"', n=f'"{new}"')
        want = f"*** Update File: {file}\n@@\n-{old}\n+{new}\n*** End Patch<|call|>"
        items.append(Item(_ask(_settings(r, functions=(skills_calls.PATCH,)), ask), "ends", (want,), 260))
    return items


def refusals(r: random.Random, n: int) -> list[Item]:
    """Requests out of reach, in wordings the generator does not have."""
    frames = [
        "which river flows through {p}?",
        "pen a limerick about {x}",
        "what do experts say about {x}?",
        "who painted the {x}?",
        "could you draft a contract for {n}?",
        "what is the boiling point of {x}?",
        "put this into french: {x}",
        "name three famous people from {p}",
        "how tall is {n}?",
        "what rhymes with {x}?",
        "fix my css for the {x} page",
        "what year was {p} founded?",
    ]
    return [
        Item(
            _ask(_settings(r), r.choice(frames).format(x=r.choice(v.THINGS), p=r.choice(v.PLACES), n=v.name(r))),
            "holds",
            ("beyond me", "do not know", "cannot"),
        )
        for _ in range(n)
    ]


def mixed(r: random.Random, n: int) -> list[Item]:
    """Prompts of every kind the mixture has, half of them after a tool's result where there is one."""
    out: list[Item] = []
    while len(out) < n:
        d = mixture.compose(r, max_turns=4)
        turn = d.turns[-1]
        tools = [i for i, m in enumerate(turn) if m.role not in ("user", "assistant")]
        cut = tools[-1] + 1 if tools and r.random() < 0.5 else 1
        if len(turn[-1].text) < 400:
            out.append(Item(Dialogue(d.settings, [*d.turns[:-1], turn[:cut]]), "formed", (), 600))
    return out


def thinking(r: random.Random, n: int) -> dict[str, list[Item]]:
    """The same questions about the app at each effort; nothing is checked, the thinking is measured."""
    asked = [app_facts.draw(r).text for _ in range(n)]
    return {
        effort: [Item(_ask(Settings(effort=effort), Context(r, Settings()).ask(q)), "", (), 300) for q in asked]
        for effort in ("low", "medium", "high")
    }


def shipped(r: random.Random) -> dict[str, list[Item]]:
    """Every row that weights are measured by when they ship, drawn from the generator as it stands; see eval_frozen.py."""
    return {
        FORMED: mixed(r, 200),
        FORMED_WARM: mixed(r, 200),
        SUMS: python_calls(r, 150),
        "python call, wordings written after the training": python_calls(r, 100, "FRESH "),
        COPIED: copied(r, 150),
        "function call exact, unseen functions and values": calls(r, 60, patch=False),
        "apply_patch call exact, unseen values": calls(r, 60, patch=True),
        RECALL: recall(r, 150),
        "recall, wordings written after the training": recall(r, 100, "FRESH "),
        APP: app_new(r, 150),
        "refuses what is beyond it, in unseen words": refusals(r, 60),
        **{f"{name}, unseen values": items for name, items in small_work(r, 40).items()},
        **{f"{THINKING} {effort}": items for effort, items in thinking(r, 30).items()},
    }


def wider(r: random.Random) -> dict[str, list[Item]]:
    """Rows without a goal over what the generator has gained since the shipped weights were trained."""
    return {
        f"wider generator: {FORMED}": mixed(r, 200),
        "wider generator: python call, wordings written after it": python_calls(r, 100, "LATER "),
        "wider generator: recall, wordings written after it": recall(r, 100, "LATER "),
        "wider generator: call exact, everyday functions never met, their argument of any name": everyday_calls(r, 40),
        "wider generator: apply_patch exact, everyday words never met": everyday_patches(r, 40),
    }
