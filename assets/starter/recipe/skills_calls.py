"""Calling functions the user brings, and apply_patch.

Owns the offered function tools (invented and everyday ones), requests for them, and small edits of files.
"""

from __future__ import annotations

import json
import random
from typing import Any

import values as v
from noise import keep
from render import Message, Tool
from turn import Call, Context, say, use

PATCH = Tool("apply_patch", "Edit files with a patch.", {"type": "string", "description": "Patch text from *** Begin Patch to *** End Patch"})
DO = "get find search send create delete update set list count check start stop add remove book order convert play save read show open close fetch lookup".split()
WHAT = "weather time user order ticket email message note task event file song price stock room light alarm timer contact invoice product city route flight image post table report".split()
TEXTS = "name city query title user text place color topic subject product address message label country song person item".split()
NUMS = "count days limit amount number level year page size id minutes quantity".split()
BOOLS = "urgent verbose active public force".split()
# Everyday tools: name, description, argument, how people ask.
NATURAL = [
    ("get_weather", "Get the current weather for a city.", "city", ["what's the weather in {v}?", "weather in {v}", "how is the weather in {v}?", "is it raining in {v}?", "weather for {v} please"]),
    ("get_current_weather", "Gets the current weather in the provided location.", "location", ["what is the weather like in {v}?", "how warm is it in {v}?", "weather {v}"]),
    ("get_time", "Current time in a place.", "place", ["what time is it in {v}?", "time in {v}", "tell me the time in {v}"]),
    ("search_orders", "Search orders by customer.", "customer", ["find the orders of {v}", "which orders has {v}?", "look up orders for {v}"]),
    ("send_message", "Send a message to a person.", "person", ["send a message to {v}", "message {v}", "write to {v}"]),
    ("play_song", "Play a song by its title.", "title", ["play {v}", "play the song {v}", "i want to hear {v}"]),
    ("get_stock_price", "Latest price of a stock.", "symbol", ["stock price of {v}", "how much is {v} stock?", "what is the share price of {v}?"]),
    ("lookup_user", "Look up a user.", "name", ["look up the user {v}", "who is the user {v}?", "find user {v}"]),
    ("create_note", "Create a note with a title.", "title", ["create a note called {v}", "make a note {v}", "new note: {v}"]),
    ("translate", "Translate a text.", "text", ["translate {v}", "translate this: {v}", "what is {v} in another language?"]),
]
TOOL_ASK = ["call {t} with {a}", "use {t} with {a}", "use the tool {t}: {a}", "run {t} for {a}", "please call {t}, {a}", "{t} {a}", "can you use {t} with {a}?", "invoke {t} with {a}"]
EDIT = ["in {f} change {o} to {n}", "edit {f}: replace {o} with {n}", "in the file {f} replace {o} by {n}", "replace {o} with {n} in {f}", "change {o} into {n} in {f}", "patch {f}: {o} becomes {n}",
        "please change the line {o} in {f} to {n}", "update {f} so that {o} is {n}", "{f} says {o}. make it {n}", "the file {f} has the line {o}. change it to {n}"]
ADD = ["create a file {f} with the line {n}", "make a new file {f} that says {n}", "add a file {f} containing {n}", "write {n} into a new file {f}"]
DELETE = ["delete the file {f}", "remove {f}", "delete {f}", "please remove the file {f}"]


def random_tool(r: random.Random) -> Tool:
    """A function tool nobody has seen."""
    name = f"{r.choice(DO)}_{r.choice(WHAT) if r.random() < 0.6 else v.word(r, 1, 2)}" if r.random() < 0.85 else v.word(r, 2, 3)
    properties: dict[str, Any] = {}
    for _ in range(r.randint(1, 3)):
        p = r.random()
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
    return Tool(name, v.sentence(r) if r.random() < 0.5 else f"{name.replace('_', ' ').capitalize()}.", {"type": "object", "properties": properties, "required": required})


def natural_tool(r: random.Random) -> Tool:
    """One of the everyday tools."""
    name, text, arg, _ = r.choice(NATURAL)
    prop: dict[str, Any] = {"type": "string"}
    if r.random() < 0.5:
        prop["description"] = f"The {arg}, e.g. {v.name(r)}"
    properties = {arg: prop}
    if r.random() < 0.2:
        properties["unit"] = {"type": "string", "enum": ["celsius", "fahrenheit"]}
    return Tool(name, text, {"type": "object", "properties": properties, "required": [arg]})


def _fill(r: random.Random, schema: dict[str, Any]) -> object:
    if "enum" in schema:
        return r.choice(schema["enum"])
    match schema["type"]:
        case "integer" | "number":
            return v.number(r)
        case "boolean":
            return r.random() < 0.5
    return r.choice([v.name, v.any_word, v.place, lambda q: v.phrase(q, 1, 3)])(r)


def _result(r: random.Random) -> tuple[str, str]:
    """What a function returns, and the words for it."""
    p = r.random()
    if p < 0.7:
        data = {r.choice([*TEXTS, *NUMS, "temp", "status", "sky", "result"]): r.choice([v.any_word(r), v.number(r), v.code(r), v.name(r)]) for _ in range(r.randint(1, 3))}
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
        _, _, _, asks = r.choice(NATURAL[:7])
        return say(ctx, r.choice(asks).format(v=keep(v.place(r))), "No tool is offered for this.", "I have no tool for that, and I do not know it myself.")
    tool = r.choice(tools)
    schema = tool.parameters or {}
    known = next((n for n in NATURAL if n[0] == tool.name), None)
    if known and r.random() < 0.85:
        value = r.choice([v.place, v.name, lambda q: v.phrase(q, 1, 2)])(r)
        args: dict[str, object] = {known[2]: value}
        text = r.choice(known[3]).format(v=keep(value))
    else:
        args = {k: _fill(r, s) for k, s in schema.get("properties", {}).items() if k in schema.get("required", ()) or r.random() < 0.5}
        shown = r.choice([", ", " and "]).join(f"{k} {r.choice(['', '= ', 'is '])}{json.dumps(x) if isinstance(x, bool) else x}" for k, x in args.items())
        text = r.choice(TOOL_ASK).format(t=tool.name, a=keep(shown)) if args else f"call {tool.name}"
    result, words = _result(r)
    call = Call(f"functions.{tool.name}", json.dumps(args, ensure_ascii=False), result, "commentary", "<|constrain|>json")
    return use(ctx, keep(text) if tool.name in text else text, f"The tool {tool.name} fits. I call it.", [call], f"{tool.name} has answered.", f"{tool.name} says: {words}.".replace("..", "."))


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
        text = r.choice(EDIT).format(f=keep(f), o=shown(old), n=shown(new))
        body, done = f"*** Update File: {f}\n@@\n-{old}\n+{new}", f"I changed `{old}` to `{new}` in `{f}`."
    elif p < 0.9:
        text = r.choice(ADD).format(f=keep(f), n=shown(new))
        body, done = f"*** Add File: {f}\n+{new}", f"I made the file `{f}`."
    else:
        text = r.choice(DELETE).format(f=keep(f))
        body, done = f"*** Delete File: {f}", f"I deleted the file `{f}`."
    if not any(t.name == "apply_patch" for t in ctx.settings.functions):
        return say(ctx, text, "The user wants a file edited. No apply_patch tool is offered.", "I cannot edit files without the apply_patch tool. Turn it on and ask again.")
    result = r.choice(["Done!", "Done", "ok", f"Updated {f}", f"Success. Updated the following files:\nM {f}", "Patch applied."])
    if r.random() < 0.08:
        result = r.choice(["Error: the line was not found.", "Error: refused by the user.", f"Error: no such file: {f}"])
        done = f"The patch failed: {result}"
    call = Call("functions.apply_patch", f"*** Begin Patch\n{body}\n*** End Patch", result, "commentary", "")
    return use(ctx, text, f"The user wants {f} edited. I write a patch.", [call], "The patch tool has answered.", done)


def _line(r: random.Random) -> str:
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
