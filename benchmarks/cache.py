"""What the prompt cache costs and spares; prints a Markdown table.

Run `python -m benchmarks.cache [MODEL_FOLDER]`. The whole look-up (`PromptCache.lookup`, record and all) is timed over what a thousand
entries leave of a model of 24 layers: 60,000 tokens known in 300 runs, and 700 chats that part from them anywhere, half of them where the
first run ends. Two prompts are looked up: the 60,000 tokens with one more, and as many that part where those chats do. The best of thirty
counts. The chat goes twelve turns, with a restart in the middle; what was read is counted, not timed.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mlx_harmony.models.catalog import starter_folder
from mlx_harmony.records import ChatPrompt, GenerationRequest, LoadOptions, Message, Sampling

TOKENS = 60_000
LAYERS = 24
RUNS = 300
CHATS = 700
REPEATS = 30
TURNS = 12
DISK_BYTES = 10**9


class Costs(NamedTuple):
    """Milliseconds of one look-up of each kind, of making live caches of what was found, not evaluated; and among how many entries."""

    known: float
    parting: float
    made: float
    entries: int


def lookup_ms() -> Costs:
    """What looking up a prompt of 60,000 ids takes, known as a whole or only its beginning."""
    from mlx_harmony.worker.device import prepare

    prepare()
    import mlx.core as mx
    from mlx_lm.models.cache import KVCache

    from mlx_harmony.worker.prompt_cache import PromptCache

    def caches(length: int) -> list[KVCache]:
        made = [KVCache() for _ in range(LAYERS)]
        for layer in made:
            layer.update_and_fetch(mx.zeros((1, 1, length, 1)), mx.zeros((1, 1, length, 1)))
        return made

    draw, cache = np.random.default_rng(0), PromptCache(10**10)
    known, first = draw.integers(0, 200_000, TOKENS).tolist(), TOKENS // RUNS
    for run in range(RUNS):
        cache.put(known[: TOKENS * (run + 1) // RUNS], caches(TOKENS * (run + 1) // RUNS))
    for chat in range(CHATS):
        parts_at = first if chat % 2 else int(draw.integers(100, TOKENS))
        prompt = [*known[:parts_at], *draw.integers(0, 200_000, 500).tolist()]
        cache.put(prompt, caches(len(prompt)))
    other = [*known[:first], *draw.integers(0, 200_000, TOKENS - first).tolist()]
    found = parting = made = float("inf")
    for _ in range(REPEATS):
        began = time.perf_counter()
        taken = cache.lookup([*known, 5])
        looked = time.perf_counter()
        assert taken.length == TOKENS and taken.layers is not None
        found, made = min(found, looked - began), min(made, time.perf_counter() - looked)
        began = time.perf_counter()
        assert cache.lookup(other).length == first
        parting = min(parting, time.perf_counter() - began)
    return Costs(found * 1000, parting * 1000, made * 1000, len(cache))


def chat_tokens(folder: Path, home: Path) -> tuple[int, int]:
    """Tokens that a chat's prompts have, and how many of them were read."""
    from mlx_harmony.worker.device import prepare

    device = prepare()
    from mlx_harmony.worker.cache.opening import open_cache
    from mlx_harmony.worker.load import load

    options = LoadOptions(path=str(folder), cache_folder=str(home), cache_disk_bytes=DISK_BYTES)
    loaded = load(options, device, lambda _stage, _fraction: None)
    asked = read = 0
    cache, messages = open_cache(loaded, options), [Message(role="system", content="You answer in one short sentence. " * 10)]
    for turn in range(TURNS):
        if turn == TURNS // 2:
            cache.flush()
            cache = open_cache(loaded, options)
        messages.append(Message(role="user", content=f"Question {turn}: what is {turn} and {turn}?"))
        prompt, count = one_turn(loaded, cache, tuple(messages))
        asked, read = asked + prompt, read + count
        messages.append(Message(role="assistant", content=f"{turn} and {turn} is {2 * turn}."))
    cache.flush()
    return asked, read


def one_turn(loaded: object, cache: object, messages: tuple[Message, ...]) -> tuple[int, int]:
    """One answer: how long its prompt was and how much of it was read."""
    from mlx_harmony.events import Finished
    from mlx_harmony.worker.generation import Desk, Generation
    from mlx_harmony.worker.pace import Pace

    request = GenerationRequest(
        id="b", prompt=ChatPrompt(messages=messages, start_date="2026-11-22"), max_tokens=8, sampling=Sampling(temperature=0.0)
    )
    desk = Desk(loaded, cache, Pace())  # type: ignore[arg-type]
    end = list(Generation(desk, request, lambda: False, time.perf_counter()).run())[-1]
    assert isinstance(end, Finished)
    return end.usage.prompt_tokens, end.timings.prompt_n


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cache", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=None, help="a model's folder (default: the Starter's)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        asked, read = chat_tokens(args.folder or Path(starter_folder()), Path(home))
    print("| what | |\n|---|---:|")
    costs = lookup_ms()
    print(
        f"| whole look-up of {TOKENS:,} known tokens among {costs.entries:,} entries of {LAYERS} layers, ms (goal: 5) | {costs.known:.1f} |"
    )
    print(f"| of as many that part after the first {TOKENS // RUNS:,}, where {CHATS // 2} chats do, ms | {costs.parting:.1f} |")
    print(f"| making live caches of what is known, nothing copied yet, ms | {costs.made:.1f} |")
    print(f"| tokens of the prompts of a chat of {TURNS} turns | {asked:,} |")
    print(f"| of these read, with a restart in the middle | {read:,} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
