"""What clients get over HTTP, beside mlx_lm.server and the bare loops, in many short rounds; prints a Markdown table.

Run `python -m benchmarks.served [KIND] [--tokens N] [--clients N] [--rounds N]`; KIND is one of `benchmarks.models` or `starter`. A machine
is faster in one minute than in the next: the sides take turns within each round, and the middle one of the rounds' ratios counts.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

from benchmarks.against import build
from benchmarks.models import KINDS
from mlx_harmony.bench.ending import ended_in_order
from mlx_harmony.bench.figures import Bare, Http
from mlx_harmony.bench.over_http import BareRounds, Rounds
from mlx_harmony.bench.servers import environment, our_server, stock_server
from mlx_harmony.bench.stock import start_stock
from mlx_harmony.bench.work import Work

PROMPT_TOKENS = 64


class Round(NamedTuple):
    """What one round of each side came to, in tokens a second."""

    ours: Http
    server: Http
    bare: Bare


class Pair(NamedTuple):
    """One line of the table: both sides' rates, round by round."""

    words: str
    ours: list[float]
    theirs: list[float]

    def line(self) -> str:
        """Both sides' middle rates, the middle ratio with the least and the greatest, and that of the best rounds."""
        ratios = [mine / other for mine, other in zip(self.ours, self.theirs, strict=True)]
        rates = f"{statistics.median(self.ours):.0f} | {statistics.median(self.theirs):.0f}"
        best = max(self.ours) / max(self.theirs)
        return f"| {self.words} | {rates} | {statistics.median(ratios):.2f} | {min(ratios):.2f} to {max(ratios):.2f} | {best:.2f} |"


async def measured(folder: Path, work: Work) -> list[Round]:
    """The rounds, the first one left out. Raises Unmeasured where a side does not start or breaks off."""
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ours = await stack.enter_async_context(our_server(str(folder), home / "ours"))
        server = await stack.enter_async_context(stock_server(str(folder), home / "stock", fitted=True))
        loops = await start_stock(str(folder), True, environment(home))
        stack.push_async_callback(loops.close)
        found: list[Round] = []
        for number in range(work.rounds + 1):
            mine, theirs, bare = Rounds(ours.port, work), Rounds(server.port, work), BareRounds(loops, work)
            await mine.run(number)
            await bare.run(number, mine.prompt_tokens)
            await theirs.run(number)
            found.append(Round(mine.figures(), theirs.figures(), bare.figures()))
            print(f"Round {number} of {work.rounds}", file=sys.stderr)
    return found[1:]


def table(name: str, rounds: Sequence[Round], work: Work) -> str:
    """What the rounds say."""
    one, many = [each.ours.one_client_per_second for each in rounds], [each.ours.tokens_per_second for each in rounds]
    pairs = [
        Pair("one client, the bare loop", one, [each.bare.one_per_second for each in rounds]),
        Pair("one client, one of mlx_lm.server", one, [each.server.one_client_per_second for each in rounds]),
        Pair(f"{work.clients} clients, the bare BatchGenerator", many, [each.bare.many_per_second for each in rounds]),
        Pair(f"{work.clients} clients, as many of mlx_lm.server", many, [each.server.tokens_per_second for each in rounds]),
    ]
    length, count = rounds[0].bare.prompt_tokens, len(rounds)
    return "\n".join(
        (
            f"{name}: prompts of {length} tokens, answers of {work.tokens}, greedy, {count} rounds; mlx-lm with our weights and BLAS.",
            "",
            "| ours, theirs | ours, tok/s | theirs, tok/s | middle ratio | all rounds | best to best |",
            "|---|---:|---:|---:|---:|---:|",
            *(pair.line() for pair in pairs),
        )
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.served", description=__doc__)
    parser.add_argument("kind", nargs="?", default="gauge", choices=[*KINDS, "starter"])
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=10)
    args = parser.parse_args()
    work = Work(prompt_tokens=PROMPT_TOKENS, tokens=args.tokens, rounds=args.rounds, clients=args.clients)
    with ended_in_order(), tempfile.TemporaryDirectory() as home:
        rounds = asyncio.run(measured(build(args.kind, Path(home)), work))
    print("\n" + table(args.kind, rounds, work))
    return 0


if __name__ == "__main__":
    sys.exit(main())
