"""The prompts that the shipped weights are held to, word for word, whatever the generator says today.

Owns `eval_frozen.jsonl`: a line with a string begins a row, every other line is one prompt; fields at their default are left out.
Run as a program it draws the prompts anew: only when new weights ship.
"""

from __future__ import annotations

import json
import random
from dataclasses import fields
from pathlib import Path
from typing import Any

import eval_prompts
import render
from eval_checks import Item
from render import Dialogue, Message, Settings, Tool

FILE = Path(__file__).with_name("eval_frozen.jsonl")
SEED = 20_26


def _brief(record: Any, default: Any) -> dict[str, Any]:
    """The fields in which a record differs from the default one."""
    values = {f.name: getattr(record, f.name) for f in fields(record)}
    return {name: value for name, value in values.items() if value != getattr(default, name)}


def _told(dialogue: Dialogue) -> list[list[Message]]:
    """The turns without the thinking that has left the history: it is no part of the prompt."""
    if dialogue.keeps:
        return dialogue.turns
    gone = render._gone(dialogue, learn_last=False)
    return [[m for k, m in enumerate(turn) if (i, k) not in gone] for i, turn in enumerate(dialogue.turns)]


def _written(item: Item) -> str:
    settings = _brief(item.dialogue.settings, Settings())
    if "functions" in settings:
        settings["functions"] = [[t.name, t.description, t.parameters] for t in item.dialogue.settings.functions]
    turns = [[[m.role, m.text, _brief(m, Message(m.role, m.text, direct=m.direct))] for m in turn] for turn in _told(item.dialogue)]
    more = {"keeps": True} if item.dialogue.keeps else {}
    line = {"settings": settings, "turns": turns, **more, "check": [item.kind, *item.texts], "max_tokens": item.max_tokens}
    return json.dumps(line, ensure_ascii=False, separators=(",", ":"))


def _read(line: dict[str, Any]) -> Item:
    settings = dict(line["settings"])
    settings["functions"] = tuple(Tool(*t) for t in settings.get("functions", ()))
    turns = [[Message(role, text, **more) for role, text, more in turn] for turn in line["turns"]]
    kind, *texts = line["check"]
    return Item(Dialogue(Settings(**settings), turns, line.get("keeps", False)), kind, tuple(texts), line["max_tokens"])


def load() -> dict[str, list[Item]]:
    """The prompts of each row."""
    rows: dict[str, list[Item]] = {}
    items: list[Item] = []
    for line in FILE.read_text(encoding="utf-8").split("\n"):
        if line.startswith('"'):
            items = rows.setdefault(json.loads(line), [])
        elif line:
            items.append(_read(json.loads(line)))
    return rows


def write() -> None:
    """Draws every row from the generator as it stands, and keeps it."""
    lines = []
    for name, items in eval_prompts.shipped(random.Random(SEED)).items():
        lines += [json.dumps(name, ensure_ascii=False), *map(_written, items)]
    FILE.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
