"""Evaluates a Starter on the CPU with mlx, on wordings the generator never emits, and prints a Markdown table.

Owns decoding, the grammar of a well-formed turn and the table. float32 weights, as the app runs it.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import app_facts
import eval_prompts as prompts
from eval_prompts import Item
from render import START, Dialogue, Message, Segment, Settings, render
from runtime import open_model
from tokenizer import Codec
from turn import Context

FREE = "the app: free paraphrases"
HEADER = r"(?: to=(?P<to>[\w.]+))?<\|channel\|>(?P<channel>analysis|commentary|final)(?: ?(?P<type>code|<\|constrain\|>json))?<\|message\|>"
PART = re.compile(
    HEADER + r"(?P<body>(?:(?!<\|(?:end|call|return|start|channel|message|constrain|endoftext)\|>).)*)(?P<end><\|(?:end|call|return)\|>)",
    re.S,
)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    n: int
    score: float
    goal: float | None = None
    unit: str = "%"


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


class Runner:
    """Batched decoding of dialogues."""

    def __init__(self, folder: Path) -> None:
        self.codec = Codec(folder / "tokenizer.json")
        self.model = open_model(folder)

    def prompt(self, dialogue: Dialogue) -> list[int]:
        """Token ids up to `<|start|>assistant`."""
        tail = [Segment(START, True), Segment("assistant")]
        return self.codec.encode([*render(dialogue, learn_last=False), *tail])[0]

    def run(self, dialogues: list[Dialogue], max_tokens: list[int], temperature: float = 0.0) -> list[str]:
        """The generated text of each, special tokens included."""
        from mlx_lm.generate import BatchGenerator
        from mlx_lm.sample_utils import make_sampler

        generator: Any = BatchGenerator(
            self.model, stop_tokens=[[t] for t in self.codec.stops], sampler=make_sampler(temperature), prefill_step_size=512
        )
        order = sorted(range(len(dialogues)), key=lambda i: max_tokens[i])
        uids = generator.insert([self.prompt(dialogues[i]) for i in order], [max_tokens[i] for i in order])
        out: dict[int, list[int]] = {u: [] for u in uids}
        open_uids = set(uids)
        while open_uids:
            for response in generator.next()[1]:
                out[response.uid].append(int(response.token))
                if response.finish_reason:
                    open_uids.discard(response.uid)
        texts = [""] * len(dialogues)
        for i, u in zip(order, uids, strict=True):
            texts[i] = self.codec.decode(out[u])
        return texts

    def speed(self, tokens: int = 200) -> float:
        """Decoded tokens a second of one stream after a prompt of 300: the best of three."""
        import mlx.core as mx
        from mlx_lm.generate import generate_step

        best = 0.0
        for _ in range(3):
            steps = generate_step(mx.array(list(range(5, 305))), self.model, max_tokens=tokens + 2)
            next(steps)
            start = time.perf_counter()
            for _ in range(tokens):
                next(steps)
            best = max(best, tokens / (time.perf_counter() - start))
        return best


def score(runner: Runner, items: list[Item], show: int = 0) -> float:
    """Percent of items whose answer passes; prints up to `show` failures."""
    texts = runner.run([i.dialogue for i in items], [i.max_tokens for i in items])
    good = [i.check(t) for i, t in zip(items, texts, strict=True)]
    failures = [(i, t) for i, t, g in zip(items, texts, good, strict=True) if not g]
    for item, text in failures[:show]:
        print(f"  - {item.dialogue.turns[-1][0].text!r} -> {text[-260:]!r}", flush=True)
    return 100 * mean(good)


def formed(runner: Runner, r: random.Random, n: int, temperature: float, show: int) -> float:
    """Percent of well-formed turns over every kind of prompt."""
    dialogues = prompts.mixed(r, n)
    texts = runner.run(dialogues, [600] * n, temperature)
    good = [well_formed(t, d.settings) for t, d in zip(texts, dialogues, strict=True)]
    for d, t in [(d, t) for d, t, g in zip(dialogues, texts, good, strict=True) if not g][:show]:
        print(f"  - {d.turns[-1][0].text!r} -> {t[-300:]!r}", flush=True)
    return 100 * mean(good)


def thinking(runner: Runner, r: random.Random, n: int) -> dict[str, float]:
    """Mean tokens of analysis at each effort, over the same questions."""
    asked = [app_facts.draw(r).text for _ in range(n)]
    out = {}
    for effort in ("low", "medium", "high"):
        dialogues = [Dialogue(Settings(effort=effort), [[Message("user", Context(r, Settings()).ask(q))]]) for q in asked]
        texts = runner.run(dialogues, [300] * n)
        found = ["".join(re.findall(r"<\|channel\|>analysis<\|message\|>(.*?)<\|end\|>", t, re.S)) for t in texts]
        out[effort] = mean(len(runner.codec.text(f)) for f in found)
    return out


def evaluate(runner: Runner, share: float, show: int) -> list[Row]:
    """Every row of the table; `share` scales the number of prompts."""
    r = random.Random(20_26)

    def n(full: int) -> int:
        return max(10, int(full * share))

    rows = [
        Row("well-formed Harmony turns, temperature 0", n(200), formed(runner, r, n(200), 0.0, show), 100),
        Row("well-formed Harmony turns, temperature 1", n(200), formed(runner, r, n(200), 1.0, show), 98),
    ]
    parts: list[tuple[str, list[Item], float | None]] = [
        ("python call for + - ×, up to four digits", prompts.python_calls(r, n(150)), 97),
        ("the same, wordings written after the first training", prompts.python_calls(r, n(100), "FRESH "), None),
        ("the same, wordings written after the last change to the generator", prompts.python_calls(r, n(100), "LATER "), None),
        ("tool result copied", prompts.copied(r, n(150)), 98),
        ("function call exact, unseen functions and values", prompts.calls(r, n(60), patch=False), None),
        ("function call exact, everyday functions never met, their argument of any name", prompts.everyday_calls(r, n(40)), None),
        ("apply_patch call exact, everyday words never met", prompts.everyday_patches(r, n(40)), None),
        ("apply_patch call exact, unseen values", prompts.calls(r, n(60), patch=True), None),
        ("recall of a fact told two to six turns earlier", prompts.recall(r, n(150)), 90),
        ("the same, wordings written after the first training", prompts.recall(r, n(100), "FRESH "), None),
        ("the same, wordings written after the last change to the generator", prompts.recall(r, n(100), "LATER "), None),
        ("the app: new combinations of known phrases", prompts.app_new(r, n(150)), 90),
        (FREE, prompts.paraphrases("test"), 60),
        ("the app: free paraphrases seen while the recipe was written", prompts.paraphrases("seen"), None),
        ("refuses what is beyond it, in unseen words", prompts.refusals(r, n(60)), None),
        *((f"{name}, unseen values", items, None) for name, items in prompts.small_work(r, n(40)).items()),
    ]
    for name, items, goal in parts:
        if show:
            print(name, flush=True)
        rows.append(Row(name, len(items), score(runner, items, 0 if name == FREE else show), goal))
    lengths = thinking(runner, r, n(30))
    rows += [Row(f"mean analysis tokens, effort {e}", n(30), x, None, "") for e, x in lengths.items()]
    rows.append(Row("decode, one stream, float32 on this CPU", 3, runner.speed(), 150, " tok/s"))
    return rows


def table(rows: list[Row]) -> str:
    """Markdown."""
    lines = ["| what | n | measured | goal |", "| --- | --- | --- | --- |"]
    for row in rows:
        goal = "" if row.goal is None else f"{row.goal:g}{' %' if row.unit == '%' else row.unit}"
        lines.append(f"| {row.what} | {row.n} | {row.score:.1f}{' %' if row.unit == '%' else row.unit} | {goal} |")
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path(__file__).parent.parent)
    parser.add_argument("--quick", action="store_true", help="a fifth of the prompts")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--show", type=int, default=0, help="print this many failures a row")
    args = parser.parse_args()
    start = time.time()
    rows = evaluate(Runner(args.model), 0.15 if args.quick else 1.0, args.show)
    print(table(rows))
    print(f"\n{time.time() - start:.0f} s")
    if args.json:
        args.json.write_text(json.dumps([asdict(r) for r in rows], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
