"""One model as its keeper sees it: asleep, being loaded, or with an engine; how many use it, and since when nobody does."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from mlx_harmony.engine.protocols import Engine, ModelPhase, ModelState
from mlx_harmony.engine.residency import Limits, Resident, ends_at
from mlx_harmony.engine.tally import Tally
from mlx_harmony.errors import EngineCrashed
from mlx_harmony.events import Event, Failed, Finished
from mlx_harmony.records import ModelEntry

DIED = "The model's process ended unexpectedly; the next message starts it again."


class Load:
    """One load under way and how many wait for it. `force`: it is not to be refused for want of memory."""

    task: asyncio.Task[Engine]

    def __init__(self, force: bool = False) -> None:
        self.stage = "Starting"
        self.fraction = 0.0
        self.waiters = 0
        self.force = force
        self.changed = asyncio.Event()

    def progress(self, stage: str, fraction: float) -> None:
        self.stage, self.fraction = stage, max(self.fraction, min(1.0, fraction))
        self.tell()

    def tell(self) -> None:
        """Wake everyone who waits; each then takes the next event."""
        before, self.changed = self.changed, asyncio.Event()
        before.set()


class Slot:
    """One model. `reserved` bytes are what there is room for, None while there is none; `taken` is what it was seen to take.

    `crowded`: its process answered several at once, or had a draft model, so that its peak says nothing of what one answer takes.
    """

    def __init__(self, entry: ModelEntry) -> None:
        self.entry = entry
        self.load: Load | None = None
        self.engine: Engine | None = None
        self.requests = 0
        self.failed: Failed | None = None
        self.used_at = 0.0
        self.loaded_at: float | None = None
        self.reserved: int | None = None
        self.taken = 0
        self.crowded = False
        self.tally = Tally()
        self._users = 0

    @property
    def alive(self) -> bool:
        return self.engine is not None and self.engine.alive

    def awake(self) -> Engine:
        """The engine. Raises EngineCrashed where it went between being asked for and being used."""
        if self.engine is None:
            raise EngineCrashed("The model was unloaded at this moment.", hint="Send the message again.")
        return self.engine

    def wake(self, engine: Engine) -> None:
        """Take in what was loaded."""
        # Who ends a model gives its engine up; one that stands here still has died.
        self.tally.loaded(again=self.engine is not None)
        self.engine, self.loaded_at, self.used_at = engine, time.time(), time.monotonic()
        self.taken, self.crowded = engine.card.peak_bytes, False

    @contextmanager
    def using(self, *, counts: bool = True) -> Iterator[None]:
        """While this lasts the model does not go by itself. `counts`: its idle time begins anew afterwards."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if counts:
                self.used_at = time.monotonic()

    def note(self, event: Event) -> None:
        """Remember a crash, and what an answer took, for whoever looks at the model later."""
        match event:
            case Failed(code=EngineCrashed.code):
                self.failed = event
            case Finished(timings=timings, speculation=speculation):
                self.taken = max(self.taken, timings.peak_bytes)
                self.crowded = self.crowded or bool(speculation and speculation.draft_model)

    def retire(self) -> Engine | None:
        """Give the engine up at once, for the caller to close: nobody gets it any more."""
        engine, self.engine, self.loaded_at, self.failed = self.engine, None, None, None
        self.reserved, self.taken = None, 0
        return engine

    def resident(self) -> Resident | None:
        """What it takes of the room; None where it takes none."""
        if not self.alive and (self.load is None or self.reserved is None):
            return None
        return Resident(
            id=self.entry.id,
            reserved=self.reserved or 0,
            taken=self.taken,
            used_at=self.used_at,
            busy=self._users > 0 or self.load is not None,
        )

    def state(self, limits: Limits) -> ModelState:
        resident, alive = self.resident(), self.alive
        ends = ends_at(resident, limits) if resident is not None else None
        return ModelState(
            id=self.entry.id,
            phase=self._phase(alive),
            fraction=self.load.fraction if self.load is not None else float(alive),
            pid=self.engine.pid if self.engine is not None and alive else None,
            card=self.engine.card if self.engine is not None and alive else None,
            requests=self.requests,
            problem=self.failed.message if self.failed is not None else (DIED if self.engine is not None and not alive else ""),
            hint=self.failed.hint if self.failed is not None else "",
            loaded_at=self.loaded_at if alive else None,
            pinned=self.entry.id in limits.pinned,
            memory_bytes=self.taken if alive else 0,
            unloads_at=None if ends is None else time.time() + ends - time.monotonic(),
            counts=self.tally.counts(),
        )

    def _phase(self, alive: bool) -> ModelPhase:
        if self.load is not None:
            return "loading"
        if alive:
            return "busy" if self.requests else "awake"
        return "crashed" if self.failed is not None or self.engine is not None else "asleep"
