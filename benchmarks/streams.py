"""How much a model writes for several streams at once, beside mlx-lm's own BatchGenerator; prints a Markdown table.

Run `python -m benchmarks.streams [MODEL_FOLDER] [--tokens N]`. Ours and mlx-lm's take turns in one process on one loaded model, greedy
and without penalties, so that a busy machine slows both; the best of the rounds counts. Reading the prompts is part of the time.
"""

import argparse
import time
from pathlib import Path
from typing import Any

from mlx_harmony.events import Event, Failed, Finished
from mlx_harmony.models.catalog import starter_folder
from mlx_harmony.records import GenerationRequest, LoadOptions, Sampling, TokenPrompt

STREAMS = (1, 4, 8)
ROUNDS = 4
PROMPT_TOKENS = 64


def prompts(count: int, number: int) -> list[list[int]]:
    """Prompts of their own for each round, so that no cache helps."""
    return [[(number * 37 + stream * 101 + at * 13) % 2000 + 50 for at in range(PROMPT_TOKENS + stream)] for stream in range(count)]


def request(name: str, prompt: list[int], tokens: int) -> GenerationRequest:
    sampling = Sampling(temperature=0.0, repetition_penalty=1.0)
    asked = TokenPrompt(tokens=tuple(prompt))
    return GenerationRequest(id=name, prompt=asked, sampling=sampling, max_tokens=tokens, loop_detection="off", speculation="off")


def ours(loaded: Any, asked: list[list[int]], tokens: int) -> float:
    """Tokens a second of our loop, from the first request put to the last one ended; two short ones come before, as in a server's life."""
    from mlx_harmony.worker.inbox import Inbox
    from mlx_harmony.worker.loop import Loop

    ended: list[float] = []

    def emit(_request_id: str, event: Event) -> None:
        assert not isinstance(event, Failed), event
        if not isinstance(event, Finished):
            return
        ended.append(time.perf_counter())
        if len(ended) == 2:
            for number, prompt in enumerate(asked):
                inbox.put(request(str(number), prompt, tokens))
        elif len(ended) == 2 + len(asked):
            inbox.close()

    inbox = Inbox(emit)
    for name, prompt in zip(("a", "b"), prompts(2, 99), strict=True):
        inbox.put(request(name, prompt, 4))
    Loop(loaded, inbox).run()
    return len(asked) * tokens / (ended[-1] - ended[1])


def raw(loaded: Any, asked: list[list[int]], tokens: int) -> float:
    """Tokens a second of mlx-lm's BatchGenerator, token ids only."""
    from mlx_lm.generate import BatchGenerator

    generator = BatchGenerator(loaded.model)
    began = time.perf_counter()
    generator.insert(asked, [tokens] * len(asked))
    while generator.next_generated():
        pass
    generator.close()
    return len(asked) * tokens / (time.perf_counter() - began)


def endless(loaded: Any) -> Any:
    """The model with a format whose answers only their length ends, as the BatchGenerator's do."""

    class Endless:
        stop_tokens: frozenset[int] = frozenset()

        def __getattr__(self, name: str) -> Any:
            return getattr(loaded.format, name)

    return loaded._replace(format=Endless())


def table(folder: Path, tokens: int, rounds: int = ROUNDS) -> str:
    """Measure and write the table."""
    from mlx_harmony.worker.device import prepare

    device = prepare()
    from mlx_harmony.worker.load import load

    loaded = endless(load(LoadOptions(path=str(folder)), device, lambda _stage, _fraction: None))
    rows = [
        f"{PROMPT_TOKENS} prompt tokens and {tokens} new ones each, {folder.name}, float32 on CPU; prompts included.\n",
        "| streams | BatchGenerator tok/s | our loop tok/s | ratio |\n|---:|---:|---:|---:|",
    ]
    for streams in STREAMS:
        pairs = [(raw(loaded, asked, tokens), ours(loaded, asked, tokens)) for asked in (prompts(streams, at) for at in range(rounds))]
        theirs, mine = (max(column) for column in zip(*pairs, strict=True))
        rows.append(f"| {streams} | {theirs:.0f} | {mine:.0f} | {mine / theirs:.2f} |")
    return "\n".join(rows)


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=None)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args(arguments)
    print("\n" + table(options.folder or starter_folder(), options.tokens, options.rounds))


if __name__ == "__main__":
    main()
