"""`mlx-harmony bench --against mlx-lm` over models that are built for it; prints its Markdown tables.

Run `python -m benchmarks.against [KIND ...] [--quick]`; the kinds are those of `benchmarks.models`, and `starter`.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from benchmarks.models import KINDS
from mlx_harmony.bench.ending import ended_in_order
from mlx_harmony.bench.report import table
from mlx_harmony.bench.running import measure
from mlx_harmony.bench.work import Work
from mlx_harmony.models.catalog import starter_folder
from mlx_harmony.records import ModelEntry

WORKS: dict[str, Work] = {
    "gauge": Work(prompt_tokens=64, tokens=512, rounds=3, clients=8, turns=8),
    "qwen2": Work(prompt_tokens=256, tokens=64, rounds=2, streams=(1, 4), clients=0, turns=0),
    "starter": Work(),
}
"""Qwen2's random weights write no text, so no client would see its tokens."""


def entry(name: str, folder: Path) -> ModelEntry:
    return ModelEntry(id=name, path=str(folder), bytes=0, architecture="", format="template", source="folder")


def smaller(work: Work) -> Work:
    return msgspec.structs.replace(work, rounds=1, tokens=min(64, work.tokens), turns=min(3, work.turns))


def build(kind: str, home: Path) -> Path:
    """The folder of a model of that kind, built in `home` where it does not come with the program."""
    if kind not in KINDS:
        return starter_folder()
    # In a process of its own: mlx stays out of the one that measures.
    folder = home / kind
    subprocess.run([sys.executable, "-m", "benchmarks.models", kind, str(folder)], check=True, stdout=subprocess.DEVNULL)
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.against", description=__doc__)
    parser.add_argument("kinds", nargs="*", default=list(WORKS), metavar="KIND", help=f"of {', '.join(WORKS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="one round of less")
    args = parser.parse_args()
    if unknown := set(args.kinds) - set(WORKS):
        parser.error(f"there is no kind {', '.join(sorted(unknown))}")
    with ended_in_order(), tempfile.TemporaryDirectory() as home:
        for kind in args.kinds:
            folder = build(kind, Path(home))
            work = smaller(WORKS[kind]) if args.quick else WORKS[kind]
            report = asyncio.run(measure(entry(kind, folder), work, against=True, tell=lambda words: print(words, file=sys.stderr)))
            print("\n".join(("", *table(report))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
