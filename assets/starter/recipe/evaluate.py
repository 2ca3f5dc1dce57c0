"""Evaluates a Starter on the CPU with mlx, on wordings the generator never emits, and prints a Markdown table.

Owns decoding, the goals and the table. Rows with a goal ask the frozen prompts, those of the wider generator what it says today.
float32 weights, as the app runs it.
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

import eval_frozen
import eval_prompts as prompts
from eval_checks import Item
from render import START, Dialogue, Segment, render
from runtime import open_model
from tokenizer import Codec

SEED = 20_27
FREE = "the app: free paraphrases"
DECODE = "decode, one stream, float32 on this CPU"
GOALS: dict[str, float] = {
    prompts.FORMED: 100,
    prompts.FORMED_WARM: 98,
    prompts.SUMS: 97,
    prompts.COPIED: 98,
    prompts.RECALL: 90,
    prompts.APP: 90,
    FREE: 60,
}


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    n: int
    score: float
    goal: float | None = None
    unit: str = "%"


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


def score(runner: Runner, items: list[Item], show: int = 0, temperature: float = 0.0) -> float:
    """Percent of items whose answer passes; prints up to `show` failures."""
    texts = runner.run([i.dialogue for i in items], [i.max_tokens for i in items], temperature)
    good = [i.passes(t) for i, t in zip(items, texts, strict=True)]
    failures = [(i, t) for i, t, g in zip(items, texts, good, strict=True) if not g]
    for item, text in failures[:show]:
        print(f"  - {item.dialogue.turns[-1][0].text!r} -> {text[-260:]!r}", flush=True)
    return 100 * mean(good)


def thinking(runner: Runner, items: list[Item]) -> float:
    """Mean tokens of analysis."""
    texts = runner.run([i.dialogue for i in items], [i.max_tokens for i in items])
    found = ["".join(re.findall(r"<\|channel\|>analysis<\|message\|>(.*?)<\|end\|>", t, re.S)) for t in texts]
    return mean(len(runner.codec.text(f)) for f in found)


def asked() -> dict[str, list[Item]]:
    """Every row's prompts, in the table's order: the frozen ones, the paraphrases, and those of the generator as it stands."""
    frozen = eval_frozen.load()
    last = list(frozen).index(prompts.APP) + 1
    before, after = list(frozen.items())[:last], list(frozen.items())[last:]
    free = {FREE: prompts.paraphrases("test"), "the app: free paraphrases seen while the recipe was written": prompts.paraphrases("seen")}
    return {**dict(before), **free, **dict(after), **prompts.wider(random.Random(SEED))}


def evaluate(runner: Runner, share: float, show: int, only: str = "") -> list[Row]:
    """Every row of the table whose name holds `only`; `share` scales the number of prompts, except of the paraphrases."""
    rows = []
    for name, items in asked().items():
        if only not in name:
            continue
        if "paraphrases" not in name:
            items = items[: max(10, int(len(items) * share))]
        if show:
            print(name, flush=True)
        if name.startswith(prompts.THINKING):
            rows.append(Row(name, len(items), thinking(runner, items), None, ""))
            continue
        measured = score(runner, items, 0 if name == FREE else show, 1.0 if name == prompts.FORMED_WARM else 0.0)
        rows.append(Row(name, len(items), measured, GOALS.get(name)))
    if only in DECODE:
        rows.append(Row(DECODE, 3, runner.speed(), 150, " tok/s"))
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
    parser.add_argument("--only", default="", help="the rows whose name holds this text")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--show", type=int, default=0, help="print this many failures a row")
    args = parser.parse_args()
    start = time.time()
    rows = evaluate(Runner(args.model), 0.15 if args.quick else 1.0, args.show, args.only)
    print(table(rows))
    print(f"\n{time.time() - start:.0f} s")
    if args.json:
        args.json.write_text(json.dumps([asdict(r) for r in rows], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
