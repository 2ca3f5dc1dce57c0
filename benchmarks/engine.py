"""How fast the engine reads and writes, beside mlx-lm's own loop on the same model; prints a Markdown table.

Run `python -m benchmarks.engine [MODEL_FOLDER] [--tokens N]`. Each way is measured in a process of its own, so that none warms
another. All are greedy, without penalties and guesses; the best of three runs counts. mlx-lm as it comes is many times slower on a CPU,
so it gets a prompt and an answer of a sixteenth of the length, once.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from mlx_harmony.engine.process import WorkerHome
from mlx_harmony.engine.supervisor import start_worker
from mlx_harmony.events import Event, Finished
from mlx_harmony.models.catalog import starter_folder
from mlx_harmony.records import GenerationRequest, LoadOptions, Sampling, TokenPrompt

PROMPT_TOKENS = 512
REPEATS = 3
SHORTER = 16

Speed = tuple[float, float]
"""Tokens a second, reading and writing."""


def request(number: int, tokens: int, length: int = PROMPT_TOKENS) -> GenerationRequest:
    """A prompt of its own for each run, so that no cache helps."""
    prompt = tuple((number * 7 + at * 13) % 2000 + 50 for at in range(length))
    sampling = Sampling(temperature=0.0, repetition_penalty=1.0)
    prompted = TokenPrompt(tokens=prompt)
    return GenerationRequest(id=str(number), prompt=prompted, sampling=sampling, max_tokens=tokens, loop_detection="off", speculation="off")


def best(runs: Iterator[Speed]) -> Speed:
    reading, writing = zip(*runs, strict=True)
    return max(reading), max(writing)


def speed_of(finished: Event) -> Speed:
    assert isinstance(finished, Finished), finished
    timings = finished.timings
    return timings.prompt_n / timings.prompt_ms * 1000, timings.predicted_per_second


def stepped(model: Any, tokens: int, length: int = PROMPT_TOKENS, repeats: int = REPEATS) -> Speed:
    """mlx-lm's generate_step over a loaded model."""
    import mlx.core as mx
    from mlx_lm.generate import generate_step

    def run(number: int) -> Speed:
        prompt = request(number, tokens, length).prompt
        assert isinstance(prompt, TokenPrompt)
        began = time.perf_counter()
        steps = generate_step(mx.array(prompt.tokens), model, max_tokens=tokens)
        next(steps)
        first = time.perf_counter()
        written = sum(1 for _ in steps)
        return length / (first - began), written / (time.perf_counter() - first)

    return best(run(number) for number in range(repeats))


def stock(folder: Path, tokens: int) -> Speed:
    """mlx-lm as it comes: its own load, its own loop, its own BLAS."""
    from mlx_lm import load

    return stepped(load(str(folder))[0], max(4, tokens // SHORTER), PROMPT_TOKENS // SHORTER, repeats=1)


def step_on_ours(folder: Path, tokens: int) -> Speed:
    """mlx-lm's loop over the model as our device policy loads it."""
    from mlx_harmony.worker.device import prepare

    device = prepare()
    from mlx_harmony.worker.load import load

    return stepped(load(LoadOptions(path=str(folder)), device, lambda _stage, _fraction: None).model, tokens)


def in_process(folder: Path, tokens: int) -> Speed:
    """Our loop, no transport."""
    from mlx_harmony.worker.device import prepare

    device = prepare()
    from mlx_harmony.worker.generation import Desk, Generation
    from mlx_harmony.worker.load import load
    from mlx_harmony.worker.pace import Pace
    from mlx_harmony.worker.prompt_cache import PromptCache

    desk = Desk(load(LoadOptions(path=str(folder)), device, lambda _stage, _fraction: None), PromptCache(0), Pace())

    def run(number: int) -> Speed:
        return speed_of(list(Generation(desk, request(number, tokens), lambda: False, time.perf_counter()).run())[-1])

    return best(run(number) for number in range(REPEATS))


def over_the_wire(folder: Path, tokens: int) -> Speed:
    """Our loop in a worker process, events over the socket, as the app runs it."""

    async def run() -> list[Speed]:
        with tempfile.TemporaryDirectory() as home:
            engine = await start_worker("bench", LoadOptions(path=str(folder)), WorkerHome.of(home), lambda _stage, _fraction: None)
            speeds = []
            for number in range(REPEATS):
                async with aclosing(engine.generate(request(number, tokens))) as events:
                    speeds.append(speed_of([event async for event in events][-1]))
            await engine.close()
            return speeds

    return best(iter(asyncio.run(run())))


WAYS: dict[str, Callable[[Path, int], Speed]] = {
    "mlx-lm as it comes": stock,
    "mlx-lm's loop, our device policy": step_on_ours,
    "our loop in one process": in_process,
    "our worker over its socket": over_the_wire,
}


def measured(way: str, folder: Path, tokens: int) -> Speed:
    command = [sys.executable, "-m", "benchmarks.engine", str(folder), "--tokens", str(tokens), "--only", way]
    # A session of its own, as a worker has: Linux shares its cores out by session, which matters on a busy machine.
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, start_new_session=True)
    reading, writing = json.loads(done.stdout.splitlines()[-1])
    return reading, writing


def main(arguments: list[str] | None = None) -> None:
    """Measure every way and print the table, or one way as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=None)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--only", choices=list(WAYS))
    options = parser.parse_args(arguments)
    folder = options.folder or starter_folder()
    if options.only:
        print(json.dumps(WAYS[options.only](folder, options.tokens)))
        return
    speeds = {way: measured(way, folder, options.tokens) for way in WAYS}
    base = speeds["mlx-lm's loop, our device policy"]
    print(f"\n{PROMPT_TOKENS} prompt tokens, {options.tokens} new ones, {folder.name}, float32 on CPU; ratios against mlx-lm's loop.\n")
    print("| | reading tok/s | ratio | writing tok/s | ratio |\n|---|---:|---:|---:|---:|")
    for way, (reading, writing) in speeds.items():
        print(f"| {way} | {reading:.0f} | {reading / base[0]:.2f} | {writing:.0f} | {writing / base[1]:.2f} |")


if __name__ == "__main__":
    main()
