"""How fast the engine reads and writes, beside mlx-lm's own loop on the same model; prints a Markdown table.

Run `python -m benchmarks.engine [MODEL_FOLDER] [--tokens N] [--rounds N]`; without a folder it is the gauge of `benchmarks.models`, whose
answers nothing but their length ends. Each way has a process of its own, so that none warms another; they take turns, so that a busy
machine slows all alike, and the best of the rounds counts. All are greedy, without penalties and guesses. Writing is timed from the first
token to the last, where they arrive. mlx-lm as it comes is many times slower on a CPU, so it gets a prompt and an answer of a sixteenth
of the length, once.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, aclosing, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.models import build_gauge
from mlx_harmony.engine.process import WorkerHome
from mlx_harmony.engine.supervisor import start_worker
from mlx_harmony.events import Event, Finished, TextDelta
from mlx_harmony.records import GenerationRequest, LoadOptions, Sampling, TokenPrompt

PROMPT_TOKENS = 512
ROUNDS = 9
SHORTER = 16
WARMING = 999
BASE = "mlx-lm's loop, our weights and BLAS"
STOCK = "mlx-lm as it comes"

Speed = tuple[float, float]
"""Tokens a second, reading and writing."""

Run = Callable[[int, int], Speed]
"""One answer to the prompt of that number, so many tokens of it."""

Way = Callable[[Path], AbstractContextManager[Run]]


def request(number: int, tokens: int, length: int = PROMPT_TOKENS) -> GenerationRequest:
    """A prompt of its own for each run, so that no cache helps."""
    prompt = tuple((number * 7 + at * 13) % 2000 + 50 for at in range(length))
    sampling = Sampling(temperature=0.0, repetition_penalty=1.0)
    prompted = TokenPrompt(tokens=prompt)
    return GenerationRequest(id=str(number), prompt=prompted, sampling=sampling, max_tokens=tokens, loop_detection="off", speculation="off")


class Heard:
    """An answer as it arrives."""

    def __init__(self, tokens: int) -> None:
        self._tokens = tokens
        self._first_at = self._last_at = 0.0
        self._end: Event | None = None

    def take(self, event: Event) -> None:
        self._end = event
        if isinstance(event, TextDelta):
            self._last_at = time.perf_counter()
            self._first_at = self._first_at or self._last_at

    def speed(self) -> Speed:
        """Raises where it failed, or was shorter than it was to be: what its end takes would count for too much."""
        if not isinstance(self._end, Finished) or self._end.usage.completion_tokens < self._tokens:
            raise SystemExit(f"The answer did not come to its {self._tokens} tokens: {self._end}")
        timings = self._end.timings
        return timings.prompt_n / timings.prompt_ms * 1000, (self._tokens - 1) / (self._last_at - self._first_at)


def stepped(model: Any, number: int, tokens: int, length: int = PROMPT_TOKENS) -> Speed:
    """mlx-lm's generate_step over a loaded model."""
    import mlx.core as mx
    from mlx_lm.generate import generate_step

    prompt = request(number, tokens, length).prompt
    assert isinstance(prompt, TokenPrompt)
    began = time.perf_counter()
    steps = generate_step(mx.array(prompt.tokens), model, max_tokens=tokens)
    next(steps)
    first = time.perf_counter()
    written = sum(1 for _ in steps)
    return length / (first - began), written / (time.perf_counter() - first)


@contextmanager
def stock(folder: Path) -> Iterator[Run]:
    """mlx-lm as it comes: its own load, its own loop, its own BLAS."""
    from mlx_lm import load

    model = load(str(folder))[0]
    yield lambda number, tokens: stepped(model, number, max(4, tokens // SHORTER), PROMPT_TOKENS // SHORTER)


@contextmanager
def step_on_ours(folder: Path) -> Iterator[Run]:
    """mlx-lm's loop over the model as our device policy loads it."""
    from mlx_harmony.worker.device import prepare

    device = prepare()
    from mlx_harmony.worker.load import load

    model = load(LoadOptions(path=str(folder)), device, lambda _stage, _fraction: None).model
    yield lambda number, tokens: stepped(model, number, tokens)


@contextmanager
def in_process(folder: Path) -> Iterator[Run]:
    """Our loop, no transport."""
    from mlx_harmony.worker.device import prepare

    device = prepare()
    from mlx_harmony.worker.generation import Desk, Generation
    from mlx_harmony.worker.load import load
    from mlx_harmony.worker.pace import Pace
    from mlx_harmony.worker.prompt_cache import PromptCache

    desk = Desk(load(LoadOptions(path=str(folder)), device, lambda _stage, _fraction: None), PromptCache(0), Pace())

    def answer(number: int, tokens: int) -> Speed:
        heard = Heard(tokens)
        for event in Generation(desk, request(number, tokens), lambda: False, time.perf_counter()).run():
            heard.take(event)
        return heard.speed()

    yield answer


@contextmanager
def over_the_wire(folder: Path) -> Iterator[Run]:
    """Our loop in a worker process, events over the socket, as the app runs it."""
    with tempfile.TemporaryDirectory() as home, asyncio.Runner() as runner:
        engine = runner.run(start_worker("bench", LoadOptions(path=str(folder)), WorkerHome.of(home), lambda _stage, _fraction: None))

        async def answer(number: int, tokens: int) -> Speed:
            heard = Heard(tokens)
            async with aclosing(engine.generate(request(number, tokens))) as events:
                async for event in events:
                    heard.take(event)
            return heard.speed()

        yield lambda number, tokens: runner.run(answer(number, tokens))
        runner.run(engine.close())


WAYS: dict[str, Way] = {
    STOCK: stock,
    BASE: step_on_ours,
    "our loop in one process": in_process,
    "our worker over its socket": over_the_wire,
}


def obey(way: str, folder: Path) -> None:
    """The process of one way: a line on stdin says which prompt and how many tokens, a line on stdout how fast that was."""
    with WAYS[way](folder) as run:
        print("ready", flush=True)
        for line in sys.stdin:
            print(json.dumps(run(*json.loads(line))), flush=True)


class Side:
    """One way in its process."""

    def __init__(self, way: str, folder: Path) -> None:
        # A session of its own, as a worker has: Linux shares its cores out by session, which matters on a busy machine.
        command = [sys.executable, "-m", "benchmarks.engine", str(folder), "--obey", way]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
        self.speeds: list[Speed] = []
        self._said()

    def run(self, number: int, tokens: int) -> Speed:
        """One answer. Raises where the process has ended."""
        assert self._process.stdin is not None
        print(json.dumps([number, tokens]), file=self._process.stdin, flush=True)
        reading, writing = json.loads(self._said())
        return reading, writing

    def measure(self, number: int, tokens: int) -> None:
        self.speeds.append(self.run(number, tokens))

    @property
    def best(self) -> Speed:
        reading, writing = zip(*self.speeds, strict=True)
        return max(reading), max(writing)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _said(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process ended with code {self._process.wait()}")
        return line


def measured(folder: Path, tokens: int, rounds: int) -> dict[str, Side]:
    """Every way, in turns; the order is another in each round."""
    with ExitStack() as stack:
        sides = {}
        for way in WAYS:
            sides[way] = Side(way, folder)
            stack.callback(sides[way].close)
        sides[STOCK].measure(0, tokens)
        rivals = [side for way, side in sides.items() if way != STOCK]
        for side in rivals:
            side.run(WARMING, 8)
        for number in range(rounds):
            for at in range(len(rivals)):
                rivals[(number + at) % len(rivals)].measure(number, tokens)
        return sides


def table(sides: dict[str, Side]) -> Iterator[str]:
    """A row for each way. *Each round*: the median of the ratios of turns that followed one another."""
    base = sides[BASE]
    yield "| | reading tok/s | ratio | writing tok/s | ratio | each round |\n|---|---:|---:|---:|---:|---:|"
    for way, side in sides.items():
        reading, writing = side.best
        each = statistics.median(mine / theirs for (_, mine), (_, theirs) in zip(side.speeds, base.speeds, strict=False))
        row = (way, f"{reading:.0f}", f"{reading / base.best[0]:.2f}", f"{writing:.0f}", f"{writing / base.best[1]:.2f}", f"{each:.2f}")
        yield f"| {' | '.join(row)} |"


def main(arguments: list[str] | None = None) -> None:
    """Measure every way and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=None)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--obey", choices=list(WAYS), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.obey:
        obey(options.obey, options.folder)
        return
    with tempfile.TemporaryDirectory() as home:
        folder = options.folder or build_gauge(Path(home) / "gauge")
        sides = measured(folder, options.tokens, options.rounds)
    print(f"\n{PROMPT_TOKENS} prompt tokens, {options.tokens} new ones, {folder.name}, float32 on CPU.")
    print(f"The ways take turns; the best of {options.rounds} rounds counts.")
    print("Ratios against mlx-lm's loop; *each round*: the median of the rounds' own ratios in writing.\n")
    print("\n".join(table(sides)))


if __name__ == "__main__":
    main()
