"""What a model gains on a CPU by our ways of attention, experts and few rows, beside mlx's own; prints Markdown tables.

Run `python -m benchmarks.cpu [KIND ...]`; the kinds are those of `benchmarks.models`, and `starter`. Both ways take turns on one loaded
model, in its float32 form and with its BLAS; the best of the rounds counts.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.against import build

KINDS = ("gauge", "starter", "qwen2")
STEPS = ((1, 64), (1, 1024), (4, 256), (8, 256), (8, 1024))
"""Answers written at once, and how much each holds."""
CHUNKS = (12, 28, 92, 512, 1024)
ROUNDS = 4
AT_LEAST_S = 3.0
PIECE = 128


class Ways:
    """A loaded model that computes mlx's way or ours."""

    def __init__(self, folder: Path) -> None:
        from mlx_harmony.worker.device import prepare

        device = prepare()
        from mlx_harmony.records import LoadOptions
        from mlx_harmony.worker.load import load

        self.model = load(LoadOptions(path=str(folder)), device, lambda _stage, _fraction: None).model
        import mlx.core as mx

        from mlx_harmony.worker.cpu import quicken

        theirs = mx.fast.scaled_dot_product_attention, self._kinds()
        quicken(self.model, device)
        self._ways = theirs, (mx.fast.scaled_dot_product_attention, self._kinds())

    def timed(self, work: Callable[[], Any]) -> tuple[float, float]:
        """Milliseconds that the work takes mlx's way and ours: the best of many rounds, of which each way begins every other one."""
        best, until, rounds = [float("inf"), float("inf")], time.perf_counter() + AT_LEAST_S, 0
        while rounds < ROUNDS or time.perf_counter() < until:
            for at in (0, 1) if rounds % 2 else (1, 0):
                self._turn_to(at)
                began = time.perf_counter()
                work()
                best[at] = min(best[at], (time.perf_counter() - began) * 1000)
            rounds += 1
        return best[0], best[1]

    def _kinds(self) -> list[tuple[Any, type]]:
        return [(layer, type(layer)) for layer in self.model.modules()]

    def _turn_to(self, at: int) -> None:
        import mlx.core as mx

        mx.fast.scaled_dot_product_attention, kinds = self._ways[at]
        for layer, kind in kinds:
            layer.__class__ = kind

    def step(self, answers: int, held: int) -> tuple[float, float]:
        """One token of each answer."""
        import mlx.core as mx

        single = self._read(held)
        cache = [layer.merge([layer] * answers) for layer in single] if answers > 1 else single
        tokens = mx.zeros((answers, 1), mx.int32)
        return self.timed(lambda: mx.eval(mx.argmax(self.model(tokens, cache=cache)[:, -1], axis=-1)))

    def chunk(self, length: int) -> tuple[float, float]:
        """A prompt of so many tokens, read at once."""
        return self.timed(lambda: self._read(length, length))

    def _read(self, length: int, piece: int = PIECE) -> list[Any]:
        import mlx.core as mx
        from mlx_lm.models.cache import make_prompt_cache

        cache: list[Any] = make_prompt_cache(self.model)
        for start in range(0, length, piece):
            tokens = mx.arange(start, min(start + piece, length)) % 300 + 20
            self.model(tokens[None], cache=cache)
            mx.eval([layer.state for layer in cache])
        return cache


def table(kind: str, folder: Path) -> str:
    """The steps and chunks of one model."""
    ways = Ways(folder)
    timed = {f"a token of {count} at {held}": ways.step(count, held) for count, held in STEPS}
    timed |= {f"a prompt of {length}": ways.chunk(length) for length in CHUNKS}
    rows = [f"| {words} | {mlx:.1f} | {ours:.1f} | {mlx / ours:.2f} |" for words, (mlx, ours) in timed.items()]
    return "\n".join((f"{kind}, float32:", "", "| | mlx, ms | ours, ms | times as fast |", "|---|---:|---:|---:|", *rows))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cpu", description=__doc__)
    parser.add_argument("kinds", nargs="*", default=list(KINDS), metavar="KIND", help=f"of {', '.join(KINDS)} (default: all)")
    args = parser.parse_args()
    if len(args.kinds) > 1:
        # Each in a process of its own: how many threads the BLAS has goes by the first model that is loaded.
        for kind in args.kinds:
            subprocess.run([sys.executable, "-m", "benchmarks.cpu", kind], check=True)
        return
    with tempfile.TemporaryDirectory() as home:
        print("\n" + table(args.kinds[0], build(args.kinds[0], Path(home))), flush=True)


if __name__ == "__main__":
    main()
