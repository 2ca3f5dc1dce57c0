"""What the prompt cache costs and spares; prints a Markdown table.

Run `python -m benchmarks.cache [MODEL_FOLDER]`. The look-up is timed over a tree as many chats leave it, with 60,000 tokens known in 300
runs; the best of thirty counts. The chat goes twelve turns, with a restart in the middle; what was read is counted, not timed.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from mlx_harmony.models.catalog import starter_folder
from mlx_harmony.records import ChatPrompt, GenerationRequest, LoadOptions, Message, Sampling

TOKENS = 60_000
RUNS = 300
CHATS = 200
REPEATS = 30
TURNS = 12
DISK_BYTES = 10**9


def lookup_ms() -> float:
    """Milliseconds to find a known prompt of 60,000 tokens, from a list of ids as the engine has it."""
    from mlx_harmony.worker.cache.tree import Tree, token_array

    draw, tree = np.random.default_rng(0), Tree()
    known = draw.integers(0, 200_000, TOKENS).astype(np.int32)
    prompts = [known[: TOKENS * (run + 1) // RUNS] for run in range(RUNS)]
    for _ in range(CHATS):
        own = draw.integers(0, 200_000, 500).astype(np.int32)
        prompts.append(np.concatenate([known[: draw.integers(100, TOKENS)], own]))
    for prompt in prompts:
        if (way := tree.walk(prompt)).matched < len(prompt):
            tree.add(way, prompt)
    asked, best = known.tolist(), float("inf")
    for _ in range(REPEATS):
        began = time.perf_counter()
        way = tree.walk(token_array(asked))
        best = min(best, time.perf_counter() - began)
    assert way.matched == TOKENS
    return best * 1000


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
    print(f"| look-up of {TOKENS:,} known tokens in {RUNS + CHATS} runs, ms | {lookup_ms():.1f} |")
    print(f"| tokens of the prompts of a chat of {TURNS} turns | {asked:,} |")
    print(f"| of these read, with a restart in the middle | {read:,} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
