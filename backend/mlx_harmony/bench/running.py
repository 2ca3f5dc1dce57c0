"""One run of the bench from its start to its report: which sides there are, and in which order they are measured.

Owns the processes it starts and a home of its own for them. A side that is not ours may fail; that is reported, not hidden.
"""

import os
import platform
import tempfile
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

import msgspec

from mlx_harmony.bench.figures import Gain, Side
from mlx_harmony.bench.measuring import Measured
from mlx_harmony.bench.ours import Ours, start_ours
from mlx_harmony.bench.over_http import BareRounds, Rounds
from mlx_harmony.bench.report import FITTED, OURS, STOCK, Machine, Report, ratios
from mlx_harmony.bench.servers import environment, our_server, stock_server
from mlx_harmony.bench.sides import Unmeasured
from mlx_harmony.bench.stock import Stock, start_stock
from mlx_harmony.bench.work import Work, repeating
from mlx_harmony.records import ModelCard, ModelEntry, Speculation

Tell = Callable[[str], None]
"""Called with what is being done, in words."""

USUAL_WAITING = 64
"""The server's own limit; more clients than that are given room to wait."""

SMALLER = 16
"""On a CPU mlx-lm as it comes is many times slower: its sample is a sixteenth."""


async def measure(entry: ModelEntry, work: Work, *, against: bool, tell: Tell) -> Report:
    """Measure a model, and mlx-lm beside it. Raises the errors of loading and of our own engine and server."""
    with tempfile.TemporaryDirectory(prefix="mlx-harmony-bench-") as folder:
        run = _Run(entry, work, Path(folder), tell)
        card = await run.loops(against)
        if work.clients or work.turns:
            await run.servers(against)
    return Report(
        version=version("mlx-harmony"),
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=this_machine(),
        model=entry.id,
        path=entry.path,
        card=card,
        work=work,
        sides=run.sides,
        ratios=ratios(work, run.sides),
    )


def this_machine() -> Machine:
    return Machine(
        system=f"{platform.system()} {platform.machine()}",
        cores=os.cpu_count() or 1,
        python=platform.python_version(),
        mlx=version("mlx"),
        mlx_lm=version("mlx-lm"),
    )


class _Run:
    """The sides as they fill."""

    def __init__(self, entry: ModelEntry, work: Work, home: Path, tell: Tell) -> None:
        self._entry = entry
        self._work = work
        self._home = home
        self._tell = tell
        self._on_cpu = False
        self.sides = {OURS: Side()}

    async def loops(self, against: bool) -> ModelCard:
        """Engine and bare loops, in turns."""
        self._tell(f"Loading {self._entry.id}")
        async with AsyncExitStack() as stack:
            ours: Ours = await start_ours(self._entry, self._home, lambda _stage, _fraction: None)
            stack.push_async_callback(ours.close)
            self._on_cpu = ours.card.device == "cpu"
            ways = {OURS: Measured(ours, self._work)}
            for name, fitted in self._stock_ways() if against else ():
                stock = await self._started(stack, name, fitted=fitted)
                if stock is not None:
                    ways[name] = Measured(stock, self._work, SMALLER if self._on_cpu and not fitted else 1)
            await self._each(ways, Measured.warm_up)
            for number in range(self._work.rounds):
                self._tell(f"Round {number + 1} of {self._work.rounds}")
                await self._each(ways, partial(Measured.run, number=number))
            for name, way in ways.items():
                speeds = await way.finish()
                if name == OURS:
                    self._tell("A text again, guessed ahead")
                    speeds = msgspec.structs.replace(speeds, speculation=await self._speculation(ours))
                self._note(name, speeds=speeds)
            return ours.card

    async def servers(self, against: bool) -> None:
        """Our server and mlx_lm.server under the same clients, in turns, and the bare loops with prompts as long."""
        self._tell("Starting the servers")
        async with AsyncExitStack() as stack:
            most = max(USUAL_WAITING, self._work.clients)
            server = await stack.enter_async_context(our_server(self._entry.path, self._home / "ours", max_waiting=most))
            mine = Rounds(server.port, self._work)
            theirs = await self._rival(stack) if against else None
            for number in range(self._work.rounds if self._work.clients else 0):
                self._tell(f"Clients, round {number + 1} of {self._work.rounds}")
                await mine.run(number)
                if theirs is not None:
                    await theirs.run(number, mine.prompt_tokens)
            self._tell("A chat")
            await mine.talk()
            self._note(OURS, http=mine.figures())
            if theirs is not None:
                await theirs.talk()
                self._note(self._beside, **theirs.found())

    async def _rival(self, stack: AsyncExitStack) -> "_Rival | None":
        """mlx_lm.server and the bare loops, both with our weights and BLAS on a CPU; None where they do not start."""
        try:
            server = await stack.enter_async_context(stock_server(self._entry.path, self._home / "stock", fitted=self._on_cpu))
        except Unmeasured as error:
            self._note(self._beside, problem=str(error))
            return None
        loops = await self._started(stack, self._beside, fitted=self._on_cpu) if self._work.clients else None
        return _Rival(Rounds(server.port, self._work), BareRounds(loops, self._work) if loops is not None else None)

    async def _speculation(self, ours: Ours) -> Gain:
        """What guessing ahead brings where an answer repeats its prompt, with and without it in turns; the best of each."""
        rates: dict[Speculation, list[float]] = {"off": [], "lookup": []}
        for _ in range(self._work.rounds):
            for kind, found in rates.items():
                found.append(await ours.repeating(repeating(), self._work.tokens, kind))
        plain, guessed = max(rates["off"]), max(rates["lookup"])
        return Gain(without=plain, with_it=guessed, gain=guessed / plain if plain else 0.0)

    def _stock_ways(self) -> list[tuple[str, bool]]:
        """The ways of running mlx-lm, and whether each gets our weights and BLAS; off the CPU both would be the same."""
        return [(STOCK, False), (FITTED, True)] if self._on_cpu else [(STOCK, False)]

    async def _started(self, stack: AsyncExitStack, name: str, *, fitted: bool) -> Stock | None:
        self._tell(f"Loading {name}")
        try:
            stock = await start_stock(self._entry.path, fitted, environment(self._home))
        except Unmeasured as error:
            self._note(name, problem=str(error))
            return None
        stack.push_async_callback(stock.close)
        self.sides.setdefault(name, Side())
        return stock

    async def _each(self, ways: dict[str, Measured], act: Callable[[Measured], Awaitable[None]]) -> None:
        """Do it with every side; one that fails is left out from there on."""
        for name, way in list(ways.items()):
            try:
                await act(way)
            except Unmeasured as error:
                self._note(name, problem=str(error))
                del ways[name]

    @property
    def _beside(self) -> str:
        """The way of running mlx-lm that its server is measured in."""
        return FITTED if self._on_cpu else STOCK

    def _note(self, name: str, **found: object) -> None:
        self.sides[name] = msgspec.structs.replace(self.sides.get(name, Side()), **found)


class _Rival:
    """mlx_lm.server and the bare loops; the first failure ends their part and is kept."""

    def __init__(self, rounds: Rounds, bare: BareRounds | None) -> None:
        self._rounds = rounds
        self._bare = bare
        self._problem = ""

    async def run(self, number: int, prompt_tokens: int) -> None:
        await self._try(self._rounds.run(number))
        if self._bare is not None:
            await self._try(self._bare.run(number, prompt_tokens))

    async def talk(self) -> None:
        await self._try(self._rounds.talk())

    def found(self) -> dict[str, object]:
        """What goes into its side."""
        if self._problem:
            return {"problem": self._problem}
        return {"http": self._rounds.figures(), "bare": self._bare.figures() if self._bare is not None else None}

    async def _try(self, step: Coroutine[None, None, None]) -> None:
        if self._problem:
            step.close()
            return
        try:
            await step
        except Unmeasured as error:
            self._problem = str(error)
