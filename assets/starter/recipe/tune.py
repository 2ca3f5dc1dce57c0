"""A short pass of AdamW on a CPU over a few skills, mixed with everything else.

Owns what the last change to the generator needed and the long training had not seen: functions whose argument
names must be read from the schema, patches of everyday words, hyphenated names.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path

import torch

import dialogue as mixture
import skills_calls
import skills_memory
from render import Dialogue, Settings, render
from tokenizer import Codec
from train import load, save


def focused(r: random.Random) -> Dialogue:
    """One dialogue of the skills in question."""
    ctx = mixture.context(r, 0.0)
    s = ctx.settings
    p = r.random()
    if p < 0.2:
        ctx.settings = Settings(effort=s.effort, date=s.date)
        return Dialogue(ctx.settings, [skills_memory.tell_name(ctx), skills_memory.ask(ctx)])
    tools = [skills_calls.PATCH] if p < 0.5 or r.random() < 0.2 else []
    if p >= 0.5:
        tools += [skills_calls.natural_tool(r) if r.random() < 0.75 else skills_calls.random_tool(r) for _ in range(r.choice([1, 1, 2]))]
        r.shuffle(tools)
    ctx.settings = Settings(
        s.identity, s.effort, s.date, s.cutoff, False, False, s.instructions, tuple({t.name: t for t in tools}.values())
    )
    return Dialogue(ctx.settings, [(skills_calls.patch if p < 0.5 else skills_calls.function)(ctx)])


def batch(r: random.Random, codec: Codec, size: int, focus: float) -> tuple[torch.Tensor, ...]:
    """Tokens, targets, document numbers and positions of whole short documents, about `size` tokens."""
    ids: list[int] = []
    targets: list[int] = []
    docs: list[int] = []
    pos: list[int] = []
    while len(ids) < size - 150:
        made = focused(r) if r.random() < focus else mixture.compose(r, max_turns=4)
        a, t = codec.encode(list(render(made)))
        if len(ids) + len(a) > size:
            continue
        docs += [docs[-1] + 1 if docs else 0] * len(a)
        ids, targets, pos = ids + a, [*targets, *t[1:], -1], [*pos, *range(len(a))]
    return torch.tensor(ids), torch.tensor(targets), torch.tensor(docs), torch.tensor(pos)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--init", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, default=Path(__file__).parent.parent / "tokenizer.json")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--tokens", type=int, default=1536)
    parser.add_argument("--focus", type=float, default=0.55)
    parser.add_argument("--lr", type=float, default=2e-4)
    args = parser.parse_args()
    torch.manual_seed(3)
    r, codec, model = random.Random(41), Codec(args.tokenizer), load(args.init)
    optimiser = torch.optim.AdamW(model.parameters(), lr=args.lr, betas=(0.9, 0.99), weight_decay=0.0)
    start, step, mean = time.time(), 0, 0.0
    while (progress := (time.time() - start) / args.seconds) < 1:
        for group in optimiser.param_groups:
            group["lr"] = args.lr * min(1.0, (step + 1) / 20) * (1 - progress)
        loss, balance = model.loss(*batch(r, codec, args.tokens, args.focus))
        (loss + 0.01 * balance).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        mean += (loss.item() - mean) / min(step + 1, 50)
        step += 1
        if step % 25 == 0:
            print(f"step {step} {progress:.2f} loss {mean:.4f}", flush=True)
    save(model, args.out)


if __name__ == "__main__":
    main()
