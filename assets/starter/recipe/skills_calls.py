"""Calling functions the user brings, and apply_patch.

Owns the offered function tools (invented and everyday ones), requests for them, and small edits of files.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import skills_offered as offered
import values as v
import wordings
from noise import keep
from render import Message, Tool
from turn import Call, Context, say, use

_W = wordings.load("skills_calls")

PATCH = Tool(
    "apply_patch", "Edit files with a patch.", {"type": "string", "description": "Patch text from *** Begin Patch to *** End Patch"}
)
DO = _W["DO"]
WHAT = _W["WHAT"]
KEYS = wordings.load("keys")
TEXTS = "name city query title user text place color topic subject product address message label country song person item".split()
NUMS = "count days limit amount number level year page size id minutes quantity".split()
ARGUMENTS = KEYS["TEXT"]
BOOLS = "urgent verbose active public force silent recursive confirm dry_run important".split()
TOOL_ASK = _W["TOOL_ASK"]
EDIT = _W["EDIT"]
EVERYDAY = [*v.THINGS, *v.ADJECTIVES, *v.VERBS, *v.DO, *v.PLACES, *wordings.load("noise")["PLAIN"]]
ADD = _W["ADD"]
ACTS = ("get_w", "get_current", "get_time", "search_o", "send_", "play_", "set_", "turn_", "call_", "book_", "add_e", "cancel_", "find_h")
DELETE = ["delete the file {f}", "remove {f}", "delete {f}", "please remove the file {f}"]


@dataclass(frozen=True)
class Natural:
    """An everyday tool and how people ask for it."""

    name: str
    description: str
    arguments: tuple[str, ...]
    asks: tuple[str, ...]

    def kinds(self) -> tuple[str, ...]:
        """The JSON types of the arguments, by the letters that stand for them in what people ask."""
        first, second = "integer" if "{i}" in self.asks[0] else "string", "integer" if "{j}" in self.asks[0] else "string"
        return (first, second)[: len(self.arguments)]


@cache
def naturals() -> tuple[Natural, ...]:
    """The everyday tools."""
    out: list[Natural] = []
    lines = [x for f in ("natural_tools", "natural_more") for x in (wordings.FOLDER / f"{f}.txt").read_text(encoding="utf-8").splitlines()]
    for line in lines:
        if line.startswith("@ "):
            name, description, arguments = line[2:].split(" | ")
            out.append(Natural(name, description, tuple(arguments.split(", ")), ()))
        elif line.startswith("? "):
            out[-1] = replace(out[-1], asks=(*out[-1].asks, line[2:]))
    return tuple(out)


def random_tool(r: random.Random) -> Tool:
    """A function tool nobody has seen."""
    name = f"{r.choice(DO)}_{r.choice(WHAT) if r.random() < 0.6 else v.word(r, 1, 2)}" if r.random() < 0.85 else v.word(r, 2, 3)
    properties: dict[str, Any] = {}
    for _ in range(r.randint(1, 3)):
        p = r.random()
        schema: dict[str, Any]
        if p < 0.6:
            key, schema = (r.choice(TEXTS) if r.random() < 0.8 else v.word(r, 1, 2)), {"type": "string"}
        elif p < 0.85:
            key, schema = r.choice(NUMS), {"type": r.choice(["integer", "number"])}
        elif p < 0.93:
            key, schema = r.choice(BOOLS), {"type": "boolean"}
        else:
            key, schema = r.choice(["unit", "mode", "kind"]), {"type": "string", "enum": [v.word(r, 1, 1) for _ in range(r.randint(2, 3))]}
        if r.random() < 0.5:
            schema = {**schema, "description": v.sentence(r).rstrip(".!?")}
        properties[key] = schema
    required = [k for k in properties if r.random() < 0.8]
    return Tool(
        name,
        v.sentence(r) if r.random() < 0.5 else f"{name.replace('_', ' ').capitalize()}.",
        {"type": "object", "properties": properties, "required": required},
    )


def natural_tool(r: random.Random) -> Tool:
    """One of the everyday tools, its argument called as its author liked: the schema has to be read."""
    tool = r.choice(naturals())
    same = r.random() < 0.2
    properties: dict[str, dict[str, Any]] = {}
    for argument, kind in zip(tool.arguments, tool.kinds(), strict=True):
        key = argument if same else _key(r, kind)
        while key in properties:
            key = _key(r, kind)
        properties[key] = {"type": kind} | ({"description": _about(r, key, argument)} if r.random() < 0.5 else {})
    required = list(properties)
    if r.random() < 0.3:
        key = r.choice(["unit", "format", "mode", "lang"])
        properties.setdefault(key, {"type": "string", "enum": r.choice([["celsius", "fahrenheit"], ["short", "long"], ["a", "b"]])})
    if len(required) == 1 and r.random() < 0.2:
        properties = dict(reversed(properties.items()))
    name = tool.name if r.random() < 0.7 else r.choice([tool.name.split("_")[-1], "fetch_" + tool.name.split("_")[-1], tool.name + "_now"])
    return Tool(
        name,
        tool.description if r.random() < 0.7 else f"{name.replace('_', ' ').capitalize()}.",
        {"type": "object", "properties": properties, "required": required},
    )


def _key(r: random.Random, kind: str) -> str:
    """An argument's name."""
    p = r.random()
    if p < 0.12:
        return v.word(r, 1, 2)
    if p < 0.24:
        return r.choice(v.THINGS)
    key = r.choice(ARGUMENTS if kind == "string" else KEYS["NUMBER"])
    return f"{r.choice(KEYS['BEFORE'])}_{key}" if r.random() < 0.15 else key


def _about(r: random.Random, key: str, argument: str) -> str:
    """An argument's description."""
    return r.choice(
        [f"The {key}, e.g. {v.name(r)}", f"The {argument}", f"Which {argument}.", "What to look for", v.sentence(r).rstrip(".!?")]
    )


def _known(tool: Tool) -> tuple[Natural, list[str]] | None:
    """The everyday tool that this one is, and what its arguments are called here."""
    stem = tool.name.removesuffix("_now").removeprefix("fetch_")
    required = (tool.parameters or {}).get("required", [])
    found = next((n for n in naturals() if stem in (n.name, n.name.split("_")[-1]) and len(n.arguments) == len(required)), None)
    return (found, required) if found else None


def _words(r: random.Random) -> str:
    return v.phrase(r, 1, 3)


def _two_words(r: random.Random) -> str:
    return v.phrase(r, 1, 2)


def _wish(r: random.Random, tool: Natural) -> tuple[str, list[object]]:
    """How somebody asks for an everyday tool, and the values of its arguments."""
    texts = [r.choice([v.place, v.name, _two_words, v.any_word, v.topic])(r) for _ in range(2)]
    numbers = [v.number(r, 3) for _ in range(2)]
    kinds = tool.kinds()
    given: list[object] = [numbers[i] if kind == "integer" else texts[i] for i, kind in enumerate(kinds)]
    fields = {"v": texts[0], "w": texts[1], "i": numbers[0], "j": numbers[1]}
    return r.choice(tool.asks).format(**{k: keep(x) for k, x in fields.items()}), given


def _fill(r: random.Random, schema: dict[str, Any]) -> object:
    if "enum" in schema:
        return r.choice(schema["enum"])
    match schema["type"]:
        case "integer" | "number":
            return v.number(r)
        case "boolean":
            return r.random() < 0.5
    return r.choice([v.name, v.any_word, v.place, _words])(r)


def _result(r: random.Random) -> tuple[str, str]:
    """What a function returns, and the words for it."""
    p = r.random()
    if p < 0.7:
        data = {
            r.choice([*TEXTS, *NUMS, "temp", "status", "sky", "result"]): r.choice([v.any_word(r), v.number(r), v.code(r), v.name(r)])
            for _ in range(r.randint(1, 3))
        }
        return json.dumps(data, ensure_ascii=False), ", ".join(f"{k} is {x}" for k, x in data.items())
    if p < 0.9:
        text = v.sentence(r) if r.random() < 0.6 else v.phrase(r, 1, 3)
        return text, text
    text = r.choice(["Error: not found", "Error: refused by the user", "Error: timed out", "ok", "done"])
    return text, text


def function(ctx: Context) -> list[Message]:
    """A request that one of the offered functions answers."""
    r = ctx.r
    tools = [t for t in ctx.settings.functions if t.name != "apply_patch"]
    if not tools:
        missing = r.choice([t for t in naturals() if t.name.startswith(ACTS)])
        return say(
            ctx,
            _wish(r, missing)[0],
            "No tool is offered for this.",
            "I have no tool for that, and I do not know it myself.",
        )
    tool = r.choice(tools)
    schema = tool.parameters or {}
    args: dict[str, object]
    known = _known(tool)
    if isinstance(tool, offered.Offer) and r.random() < 0.9:
        text, args = offered.wish(r, tool)
    elif known and r.random() < 0.85:
        text, given = _wish(r, known[0])
        args = dict(zip(known[1], given, strict=True))
        if r.random() < 0.3:
            text = text.rstrip("?") + r.choice([" today", " right now", " at the moment", " for me", ", do you know"]) + "?"
    else:
        args = {k: _fill(r, s) for k, s in schema.get("properties", {}).items() if k in schema.get("required", ()) or r.random() < 0.5}
        shown = r.choice([", ", " and "]).join(
            f"{k} {r.choice(['', '= ', 'is '])}{json.dumps(x) if isinstance(x, bool) else x}" for k, x in args.items()
        )
        text = r.choice(TOOL_ASK).format(t=tool.name, a=keep(shown)) if args else f"call {tool.name}"
    result, words = _result(r)
    call = Call(f"functions.{tool.name}", json.dumps(args, ensure_ascii=False), result, "commentary", "<|constrain|>json")
    return use(
        ctx,
        keep(text) if tool.name in text else text,
        f"The tool {tool.name} fits. I call it.",
        [call],
        f"{tool.name} has answered.",
        f"{tool.name} says: {words}.".replace("..", "."),
    )


def patch(ctx: Context) -> list[Message]:
    """A small edit of a file."""
    r, f = ctx.r, v.file_name(ctx.r)
    p = r.random()
    quote = r.choice(["`", '"', "'", "`"])

    def shown(t: str) -> str:
        return keep(f"{quote}{t}{quote}")

    new = _line(r)
    if p < 0.75:
        old = _line(r) if r.random() < 0.6 else v.any_word(r)
        if r.random() < 0.25:
            stem = r.choice([r.choice(EVERYDAY), v.word(r, 1, 2)]) + r.choice([" = ", ": ", "="])
            old, new = f"{stem}{v.number(r)}", f"{stem}{v.number(r)}"
        text = r.choice(EDIT).format(f=keep(f), o=shown(old), n=shown(new))
        body, done = f"*** Update File: {f}\n@@\n-{old}\n+{new}", f"I changed `{old}` to `{new}` in `{f}`."
    elif p < 0.9:
        text = r.choice(ADD).format(f=keep(f), n=shown(new))
        body, done = f"*** Add File: {f}\n+{new}", f"I made the file `{f}`."
    else:
        text = r.choice(DELETE).format(f=keep(f))
        body, done = f"*** Delete File: {f}", f"I deleted the file `{f}`."
    if not any(t.name == "apply_patch" for t in ctx.settings.functions):
        return say(
            ctx,
            text,
            "The user wants a file edited. No apply_patch tool is offered.",
            "I cannot edit files without the apply_patch tool. Turn it on and ask again.",
        )
    result = r.choice(["Done!", "Done", "ok", f"Updated {f}", f"Success. Updated the following files:\nM {f}", "Patch applied."])
    if r.random() < 0.08:
        result = r.choice(["Error: the line was not found.", "Error: refused by the user.", f"Error: no such file: {f}"])
        done = f"The patch failed: {result}"
    call = Call("functions.apply_patch", f"*** Begin Patch\n{body}\n*** End Patch", result, "commentary", "")
    return use(ctx, text, f"The user wants {f} edited. I write a patch.", [call], "The patch tool has answered.", done)


def _code(r: random.Random) -> str:
    """A line as it stands in programs, settings and pages."""
    w, x = (r.choice(EVERYDAY) if r.random() < 0.6 else v.word(r, 1, 2) for _ in range(2))
    form = r.choice(
        ["import {w}", "def {w}({x}):", "return {w}", "# {w} {x}", "- {w}", "* {w} {x}", "## {w}", "<h1>{w}</h1>", '"{w}": "{x}"', "{w}()", "const {w} = {n};",
         "{w}: [{n}, {n}]", "{w}={x}", "export {w}={n}", "if {w} > {n}:", "let {w} = '{x}'", "{w}, {x}, {n}", "{w}.{x}()", "{w}_{x} = {n}", "v{n}.{n}", "{w}: {x} {n}"]
    )  # fmt: skip
    return form.format(w=w, x=x, n=v.number(r, 3))


def _line(r: random.Random) -> str:
    p = r.random()
    if p < 0.2:
        return r.choice(EVERYDAY)
    if p < 0.28:
        return " ".join(r.choice(EVERYDAY) for _ in range(r.randint(2, 5)))
    if p < 0.36:
        return _code(r)
    if p < 0.46:
        return f"{r.choice(EVERYDAY)}{r.choice([' = ', ': ', '=', ' '])}{r.choice([str(v.number(r)), r.choice(EVERYDAY)])}"
    p = r.random()
    if p < 0.3:
        return f"{v.word(r, 1, 2)} = {v.number(r)}"
    if p < 0.45:
        return f"{v.word(r, 1, 2)}: {v.any_word(r)}"
    if p < 0.6:
        return f"print('{v.phrase(r, 1, 2)}')"
    if p < 0.8:
        return v.phrase(r, 1, 4)
    return v.sentence(r)
