"""Forty steps in the life of a chat, over HTTP: what our server reads of each prompt, beside mlx_lm.server; prints a Markdown table.

Run `python -m benchmarks.life [MODEL_FOLDER] [--lines N]`. Both servers get the same requests, step after step, and both are ended and
started anew where the script says so. A third server, ours without any cache, says what each answer has to be. What is read is counted
by the servers themselves: prompt tokens less those their usage calls cached. Nothing here is timed.

Our server gets so little memory for what it read that other chats push the first one out of it: how much went is printed. What went from
memory lies on the disk, from where it comes back; nothing that a step needs may have to be read again for it.

The chat and its fork begin with a pasted text of so many lines, as chats about a file do; a second run goes without it. How much a
cache can spare depends on that: what is new has to be read by everybody. The model gets a longer context than it was trained for, so
that the text has room: what it says then makes little sense, but the same sense everywhere. Where a model's chat template leaves tools
out, as the Starter's does, mlx_lm.server, which renders by it, has shorter prompts in the steps with tools; ours tells the model of them.
"""

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

from mlx_harmony.api.chat_request import generation_request, read_body
from mlx_harmony.bench.client import Streamed, streamed
from mlx_harmony.bench.ending import ended_in_order
from mlx_harmony.bench.servers import Server, our_server, stock_server
from mlx_harmony.bench.sides import Unmeasured
from mlx_harmony.models.catalog import starter_folder
from tests.fixtures.life import LIFE, SLACK, Step, new

TOKENS = 16
LINES = 380
CONTEXT = 16384
HEALTH_S = 30.0
PASTED = {"first", "fork"}
"""The chats that begin with the pasted text: a fork has its chat's beginning."""
QUARTER = 0.25
MEMORY_MB = 32
"""Less than the first chat takes with its text, of a model of the Starter's size; without the text a quarter of it."""


class Done(NamedTuple):
    """One step: what its prompt had that was new, what each side read, whether our answer is the one without a cache."""

    step: Step
    prompt: int
    new: int
    ours: int
    theirs: int | None
    equal: bool
    problem: str = ""


class Restartable:
    """A server that can be ended and started anew on the same home; which one, `server` says."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = str(folder)
        self.home = home
        self._stack = AsyncExitStack()
        self._port = 0

    def server(self) -> AbstractAsyncContextManager[Server]:
        raise NotImplementedError

    async def start(self) -> None:
        self._port = (await self._stack.enter_async_context(self.server())).port

    async def end(self) -> None:
        await self._stack.aclose()

    async def ask(self, step: Step) -> Streamed:
        return await streamed(self._port, step.body(max_tokens=TOKENS))


class OurServer(Restartable):
    """Ours with so much memory for what it read; `evictions` are those of all its lives."""

    def __init__(self, folder: Path, home: Path, memory_mb: int) -> None:
        super().__init__(folder, home)
        self._memory_mb = memory_mb
        self.evictions = 0

    def server(self) -> AbstractAsyncContextManager[Server]:
        return our_server(self.folder, self.home, cache_memory_mb=self._memory_mb)

    async def end(self) -> None:
        if self._port:
            self.evictions += await asyncio.to_thread(evictions, self._port)
        self._port = 0
        await super().end()


class Uncached(Restartable):
    """Ours without any cache."""

    def server(self) -> AbstractAsyncContextManager[Server]:
        return our_server(self.folder, self.home, cache_memory_mb=0, cache_disk_mb=0)


class StockServer(Restartable):
    def server(self) -> AbstractAsyncContextManager[Server]:
        return stock_server(self.folder, self.home, fitted=True)


def evictions(port: int) -> int:
    """What went from the memory of a server's caches since its models were loaded."""
    connection = HTTPConnection("127.0.0.1", port, timeout=HEALTH_S)
    try:
        connection.request("GET", "/v1/health")
        told = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return sum(int(cache["evictions"]) for cache in told["cache"].values())


def pasted(step: Step, lines: int) -> Step:
    """The step with a text in its chat's first question."""
    if step.chat not in PASTED or not lines:
        return step
    text = "\n".join(f"{line}: price {line * 37 % 1000}, count {line * 91 % 1000}, sold in {2000 + line % 27}" for line in range(lines))
    system, question, *rest = step.messages
    return step._replace(messages=(system, {**question, "content": f"{text}\n\n{question['content']}"}, *rest))


def with_room(folder: Path, home: Path) -> Path:
    """A copy of the model whose context is long enough."""
    home.mkdir()
    for file in folder.iterdir():
        if file.is_file():
            shutil.copy(file, home)
    config = json.loads((home / "config.json").read_text("utf-8"))
    (home / "config.json").write_text(json.dumps({**config, "max_position_embeddings": CONTEXT}), "utf-8")
    return home


def new_tokens(folder: Path, steps: list[Step]) -> list[int]:
    """How many tokens of each step's prompt no earlier prompt began with."""
    from mlx_harmony.worker.detect import choose_format
    from mlx_harmony.worker.folder import check_folder
    from mlx_harmony.worker.load import open_tokenizer

    spoken = choose_format(folder, open_tokenizer(check_folder(str(folder))))
    prompts = [spoken.render(generation_request(read_body(step.body())).prompt).tokens for step in steps]
    return [new(prompt, prompts[:at]) for at, prompt in enumerate(prompts)]


async def live(folder: Path, home: Path, lines: int, memory_mb: int) -> tuple[list[Done], int]:
    """All steps on all three servers, and how much went from our memory."""
    steps = [pasted(step, lines) for step in LIFE]
    ours, theirs, without = (
        OurServer(folder, home / "ours", memory_mb),
        StockServer(folder, home / "stock"),
        Uncached(folder, home / "plain"),
    )
    servers: tuple[Restartable, ...] = (ours, theirs, without)
    done: list[Done] = []
    fresh = await asyncio.to_thread(new_tokens, folder, steps)
    try:
        for server in servers:
            await server.start()
        for step, added in zip(steps, fresh, strict=True):
            if step.restart:
                for server in (ours, theirs):
                    await server.end()
                    await server.start()
            done.append(await one(step, added, servers))
            print(step.name, file=sys.stderr)
    finally:
        for server in servers:
            await server.end()
    return done, ours.evictions


async def one(step: Step, added: int, servers: tuple[Restartable, ...]) -> Done:
    ours, theirs, without = servers
    mine, plain = await ours.ask(step), await without.ask(step)
    problem, read = "", None
    try:
        answer = await theirs.ask(step)
        read = answer.prompt_tokens - answer.cached_tokens
    except Unmeasured as error:
        problem = str(error)
    return Done(step, mine.prompt_tokens, added, mine.prompt_tokens - mine.cached_tokens, read, mine.text == plain.text, problem)


def table(done: list[Done], name: str) -> str:
    """A row for each step, and the sums."""
    rows = [
        f"{len(done)} steps, answers of up to {TOKENS} tokens, {name}.\n",
        "| step | prompt | new | read by us | read by mlx_lm.server | as without a cache |\n|---|---:|---:|---:|---:|---|",
    ]
    for each in done:
        theirs = "failed" if each.theirs is None else f"{each.theirs:,}"
        equal = "yes" if each.equal else "**no**"
        rows.append(f"| {each.step.name} | {each.prompt:,} | {each.new:,} | {each.ours:,} | {theirs} | {equal} |")
    sums = [sum(column) for column in zip(*((each.prompt, each.new, each.ours, each.theirs or 0) for each in done), strict=True)]
    figures = " | ".join(f"{value:,}" for value in sums)
    return "\n".join([*rows, f"| **together** | {figures} | {sum(each.equal for each in done)} of {len(done)} |"])


def pressed(gone: int, memory_mb: int) -> str:
    """How hard memory was pressed on."""
    return f"With {memory_mb} MB of memory for what it read, our server let go of {gone:,} pieces; the disk keeps them."


def summary(done: list[Done]) -> str:
    """The goals, met or missed, and what failed."""
    both = [each for each in done if each.theirs is not None]
    ours, theirs, fresh = (sum(column) for column in zip(*((each.ours, each.theirs or 0, each.new) for each in both), strict=True))
    over = [each.step.name for each in done if each.ours > each.new + SLACK]
    told = [
        f"We read {ours:,} tokens, {ours / theirs:.0%} of the {theirs:,} that mlx_lm.server reads (the goal: {QUARTER:.0%});"
        f" {fresh:,} are new and have to be read.",
        f"Steps of ours with more than the new tokens and {SLACK}: {', '.join(over) or 'none'}."
        f" Answers as without a cache: {sum(each.equal for each in done)} of {len(done)}.",
    ]
    return "\n".join([*told, *(f"mlx_lm.server failed at {each.step.name!r}: {each.problem}" for each in done if each.problem)])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.life", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=None, help="a gpt_oss model with a chat template (default: the Starter)")
    parser.add_argument("--lines", type=int, default=LINES, help=f"of the text the chat begins with (default: {LINES})")
    parser.add_argument("--memory-mb", type=int, default=MEMORY_MB, help=f"of ours for what it read (default: {MEMORY_MB})")
    args = parser.parse_args()
    given = args.folder or starter_folder()
    with ended_in_order(), tempfile.TemporaryDirectory() as home:
        folder = with_room(given, Path(home, given.name))
        done, gone = asyncio.run(live(folder, Path(home, "pasted"), args.lines, args.memory_mb))
        print(f"{table(done, folder.name)}\n\n{summary(done)}\n{pressed(gone, args.memory_mb)}", flush=True)
        less = max(1, args.memory_mb // 4)
        plain, gone = asyncio.run(live(folder, Path(home, "plain"), 0, less))
        print(f"\nThe same life without the pasted text: {summary(plain)}\n{pressed(gone, less)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
