"""Trains the Starter for a given number of seconds and writes float shards.

Owns the schedule: warm-up, a flat stretch, a linear fall to zero by the clock, and the curriculum's share of copying.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from data import Source
from model import Config, Starter
from muon import Optimiser

SHARD_BYTES = 14_500_000


def rate(progress: float, step: int, cooldown: float) -> float:
    """The learning rate's factor at `progress` of the time."""
    return min(1.0, (step + 1) / 100) * min(1.0, max(0.0, (1 - progress) / cooldown))


def save(model: Starter, folder: Path) -> None:
    """Half-precision shards of at most 15 MB and the sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    shards: list[dict[str, torch.Tensor]] = [{}]
    used = 0
    for name, p in model.state_dict().items():
        tensor = p.detach().to("cpu", torch.float16).contiguous()
        if used + tensor.nbytes > SHARD_BYTES:
            shards.append({})
            used = 0
        shards[-1][name] = tensor
        used += tensor.nbytes
    for i, shard in enumerate(shards):
        save_file(shard, folder / f"float-{i}.safetensors")
    (folder / "sizes.json").write_text(json.dumps(model.sizes()), encoding="utf-8")


def load(folder: Path) -> Starter:
    """The model from its shards."""
    sizes = json.loads((folder / "sizes.json").read_text(encoding="utf-8"))
    sizes["full"] = tuple(sizes["full"])
    model = Starter(Config(**sizes))
    state = {k: v.float() for f in sorted(folder.glob("float-*.safetensors")) for k, v in load_file(f).items()}
    model.load_state_dict(state)
    return model


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, default=Path(__file__).parent.parent / "tokenizer.json")
    parser.add_argument("--seconds", type=float, default=1000)
    parser.add_argument("--tokens", type=int, default=131072)
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    parser.add_argument("--init", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lr", type=float, default=0.012)
    parser.add_argument("--lr-rest", type=float, default=0.003)
    parser.add_argument("--cooldown", type=float, default=0.6)
    parser.add_argument("--copying", type=float, default=0.25, help="share of the time in which copying dialogues are mixed in strongly")
    parser.add_argument("--tiny", action="store_true", help="a very small model, to try the code on a CPU")
    args = parser.parse_args()
    source = Source(args.tokenizer, args.tokens, args.workers, args.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(args.seed)
    torch.set_float32_matmul_precision("high")
    config = Config(hidden=128, heads=4, experts=4, inner=64) if args.tiny else Config()
    model = (load(args.init) if args.init else Starter(config)).to(device)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters on {device}", flush=True)
    fit(model, source, args, device)
    source.close()
    save(model, args.out)
    print("saved", flush=True)


def fit(model: Starter, source: Source, args: argparse.Namespace, device: str) -> None:
    """The loop. The clock starts after the first step, so that compiling does not count."""
    optimiser = Optimiser(model, args.lr, args.lr_rest, 0.05)
    loss_of = torch.compile(model.loss) if device == "cuda" else model.loss
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))  # a time limit's TERM still saves
    start = wait = 0.0
    step, total, saved = 0, torch.zeros((), device=device), time.time()
    while True:
        t = time.time()
        batch = [torch.from_numpy(a).to(device, non_blocking=True) for a in source.next()]
        tokens, targets, docs, pos = batch[0].to(torch.int64), batch[1].to(torch.int64), batch[2], batch[3].to(torch.int32)
        wait += time.time() - t
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            loss, balance = loss_of(tokens, targets, docs, pos)
        (loss + 0.01 * balance).backward()
        progress = (time.time() - start) / args.seconds if start else 0.0
        optimiser.step(rate(progress, step, args.cooldown), 0.85 + 0.1 * min(1.0, step / 300))
        model.zero_grad(set_to_none=True)
        source.copying.value = 0.7 if progress < args.copying and not args.init else 0.12
        total += loss.detach()
        step += 1
        if step in (1, 3):
            torch.cuda.synchronize() if device == "cuda" else None
            start = time.time()
        if step % 50 == 0 or step < 5:
            mean = total.item() / (50 if step % 50 == 0 else 1)
            total.zero_()
            speed = (step - 3) * args.tokens / max(time.time() - start, 1e-3)
            pace = f"{speed / 1e3:.0f}k tok/s, waited {wait:.1f} s"
            print(f"step {step} {progress:.3f} loss {mean:.4f} balance {balance.item():.3f} {pace}", flush=True)
        if time.time() - saved > 120:
            save(model, args.out)
            saved = time.time()
        if progress >= 1 or stopped:
            break


if __name__ == "__main__":
    main()
