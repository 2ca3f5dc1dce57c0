"""Many clients for a long time against a real server on the Starter: nothing may fail that should work, nothing may work that should fail.

Run `python -m benchmarks.soak --clients 64 --minutes 10`. Each client goes on asking: short and long questions, streamed and not, chats
that go on, bad requests, and clients that hang up at some moment. What counts as an error: a status of 500 or more, a refusal of what
is right, an answer to what is wrong, a stream that breaks off, a worker that was started anew. Prints a Markdown table; exit code 1
where there is any.
"""

import argparse
import asyncio
import itertools
import random
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx

from mlx_harmony.bench.ending import ended_in_order
from mlx_harmony.bench.memory import peak_memory_bytes
from mlx_harmony.bench.servers import our_server
from mlx_harmony.models.catalog import starter_folder

PATH = "/v1/chat/completions"
FULL = 429
BUSY_PAUSE_S = 0.5
LATEST_S = 300.0
TOLD = 20
SYSTEM = {"role": "system", "content": "You are a patient assistant. You answer in one or two short sentences. " * 3}
BAD: list[dict[str, Any]] = [
    {"temperature": -1},
    {"top_k": 10**9},
    {"xtc_threshold": 0.9},
    {"logit_bias": {"99999999": 1}},
    {"stop": 5},
    {"messages": []},
    {"messages": [{"role": "user", "content": ""}]},
    {"messages": [{"role": "user", "content": "word " * 50_000}]},
    {"max_tokens": 0},
    {"tools": [{"type": "shell"}]},
]


class Soak:
    """What all clients did, and what went wrong."""

    def __init__(self, client: httpx.AsyncClient, seed: int) -> None:
        self.done: Counter[str] = Counter()
        self.errors: list[str] = []
        self.waits: defaultdict[str, list[float]] = defaultdict(list)
        self.tokens = 0
        self._client = client
        self._seed = seed

    async def run(self, number: int, until: float) -> None:
        """One client, which asks one thing after the other."""
        dice = random.Random(self._seed * 1000 + number)  # noqa: S311
        acts: list[tuple[str, Callable[[random.Random], Awaitable[str]]]] = [
            ("streamed", self._streamed),
            ("whole", self._whole),
            ("chat", self._chat),
            ("long prompt", self._long),
            ("bad", self._bad),
            ("hung up", self._hang_up),
        ]
        while time.monotonic() < until:
            name, act = dice.choices(acts, weights=(6, 4, 3, 1, 3, 3))[0]
            began = time.monotonic()
            try:
                problem = await act(dice)
            except httpx.HTTPError as error:
                problem = f"{type(error).__name__}: {error}"
            if problem == "full":
                self.done["refused because the queue was full"] += 1
                await asyncio.sleep(BUSY_PAUSE_S)
                continue
            self.done[name] += 1
            if name != "chat":
                self.waits[name].append(time.monotonic() - began)
            if problem:
                self.errors.append(f"{name}: {problem}")

    async def _streamed(self, dice: random.Random) -> str:
        asked = self._asked(dice) | {"stream": True, "temperature": dice.choice([0, 0.8]), "logprobs": dice.random() < 0.2}
        last = ""
        async with self._client.stream("POST", PATH, json=asked) as stream:
            if stream.status_code != 200:
                return "full" if stream.status_code == FULL else f"status {stream.status_code}: {(await stream.aread())[:200]!r}"
            async for line in stream.aiter_lines():
                if '"error"' in line[:20]:
                    return line[:200]
                last = line or last
        return "" if last == "data: [DONE]" else f"the stream broke off after {last[:100]!r}"

    async def _whole(self, dice: random.Random) -> str:
        return await self.answered(self._asked(dice) | {"seed": dice.randrange(1000), "temperature": 0.7, "top_p": 0.9})

    async def _chat(self, dice: random.Random) -> str:
        messages = [SYSTEM]
        for turn in range(dice.randint(2, 4)):
            messages.append({"role": "user", "content": f"Point {turn}: what is {dice.randrange(90)} and {dice.randrange(90)}?"})
            began = time.monotonic()
            if problem := await self.answered({"messages": messages, "max_tokens": 24, "temperature": 0}):
                return problem
            self.waits["turn of a chat"].append(time.monotonic() - began)
            messages.append({"role": "assistant", "content": f"That is point {turn}."})
        return ""

    async def _long(self, dice: random.Random) -> str:
        words = " ".join(str(dice.randrange(1000)) for _ in range(dice.randint(200, 700)))
        return await self.answered({"messages": [SYSTEM, {"role": "user", "content": f"Sort: {words}"}], "max_tokens": 8, "temperature": 0})

    async def _bad(self, dice: random.Random) -> str:
        answer = await self._client.post(PATH, json=self._asked(dice) | dice.choice(BAD))
        if answer.status_code == FULL:
            return "full"
        return "" if 400 <= answer.status_code < 500 else f"a bad request got {answer.status_code}: {answer.text[:200]}"

    async def _hang_up(self, dice: random.Random) -> str:
        asked = self._asked(dice) | {"stream": True, "max_tokens": 400}
        async with self._client.stream("POST", PATH, json=asked) as stream:
            if stream.status_code != 200:
                return "full" if stream.status_code == FULL else f"status {stream.status_code}"
            async for _ in beginning(stream, dice.randrange(12)):
                pass
        return ""

    async def answered(self, body: dict[str, Any]) -> str:
        answer = await self._client.post(PATH, json=body)
        if answer.status_code != 200:
            return "full" if answer.status_code == FULL else f"status {answer.status_code}: {answer.text[:200]}"
        told = answer.json()
        self.tokens += told["usage"]["completion_tokens"]
        return "" if told["choices"][0]["finish_reason"] else "no finish reason"

    def _asked(self, dice: random.Random) -> dict[str, Any]:
        question = f"What is {dice.randrange(1000)} and {dice.randrange(1000)}? " + "Please. " * dice.randrange(30)
        system = [SYSTEM] if dice.random() < 0.5 else []
        return {"messages": [*system, {"role": "user", "content": question}], "max_tokens": dice.choice([1, 8, 40])}


async def beginning(stream: httpx.Response, lines: int) -> Any:
    """The first so many lines."""
    counter = itertools.count()
    async for line in stream.aiter_lines():
        if next(counter) >= lines:
            return
        yield line


async def workers(client: httpx.AsyncClient) -> float:
    """When the model was loaded: another moment means another worker."""
    return float((await client.get("/v1/health")).json()["loaded_at_unix"] or 0)


async def soak(clients: int, minutes: float, seed: int) -> int:
    with tempfile.TemporaryDirectory() as home:
        async with our_server(str(starter_folder()), Path(home)) as server:
            limits = httpx.Limits(max_connections=clients + 4)
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", timeout=LATEST_S, limits=limits) as client:
                loaded_at = await workers(client)
                run = Soak(client, seed)
                until = time.monotonic() + 60 * minutes
                await asyncio.gather(*(run.run(number, until) for number in range(clients)))
                if await workers(client) != loaded_at:
                    run.errors.append("the worker ended and was started anew")
                if problem := await run.answered({"messages": [{"role": "user", "content": "Good morning."}], "max_tokens": 4}):
                    run.errors.append(f"afterwards: {problem}")
                tell(run, clients, minutes, peak_memory_bytes(server.pid))
                return 1 if run.errors else 0


def tell(run: Soak, clients: int, minutes: float, memory: int | None) -> None:
    """The table, and the first errors below it."""
    print(f"{clients} clients for {minutes:g} minutes on the Starter.\n")
    print("| what | |\n|---|---:|")
    for name, count in sorted(run.done.items()):
        print(f"| {name} | {count:,} |")
    print(f"| errors | {len(run.errors):,} |")
    for name, waits in sorted(run.waits.items()):
        print(f"| {name}: half took up to, s | {statistics.median(waits):.1f} |\n| {name}: the longest, s | {max(waits):.1f} |")
    if memory is not None:
        print(f"| most memory of the server's process, MB | {memory / 1e6:.0f} |")
    for error in run.errors[:TOLD]:
        print(f"\n- {error}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with ended_in_order():
        return asyncio.run(soak(args.clients, args.minutes, args.seed))


if __name__ == "__main__":
    sys.exit(main())
