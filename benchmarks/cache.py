"""What the prompt cache costs and spares; prints a Markdown table.

Run `python -m benchmarks.cache [MODEL_FOLDER]`. The whole look-up is timed over what many chats leave of a model of 24 layers, with 60,000
tokens known in 300 runs; the best of thirty counts. The chat goes twelve turns, with a restart in the middle; what was read is counted,
not timed.
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
LAYERS = 24
RUNS = 300
CHATS = 200
REPEATS = 30
TURNS = 12
DISK_BYTES = 10**9


def lookup_ms() -> tuple[float, float]:
    """Milliseconds to look up a known prompt of 60,000 ids, the whole call, and to make live caches of what it found, not evaluated."""
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
    known = draw.integers(0, 200_000, TOKENS).tolist()
    prompts = [known[: TOKENS * (run + 1) // RUNS] for run in range(RUNS)]
    prompts += [[*known[: draw.integers(100, TOKENS)], *draw.integers(0, 200_000, 500).tolist()] for _ in range(CHATS)]
    for prompt in prompts:
        cache.put(prompt, caches(len(prompt)))
    found = made = float("inf")
    for _ in range(REPEATS):
        began = time.perf_counter()
        taken = cache.lookup([*known, 5])
        looked = time.perf_counter()
        assert taken.length == TOKENS and taken.layers is not None
        found, made = min(found, looked - began), min(made, time.perf_counter() - looked)
    return found * 1000, made * 1000


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
    found, made = lookup_ms()
    print(f"| look-up of {TOKENS:,} known tokens in {RUNS + CHATS} runs of {LAYERS} layers, ms | {found:.1f} |")
    print(f"| making live caches of them, nothing copied yet, ms | {made:.1f} |")
    print(f"| tokens of the prompts of a chat of {TURNS} turns | {asked:,} |")
    print(f"| of these read, with a restart in the middle | {read:,} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
