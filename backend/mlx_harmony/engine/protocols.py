"""The seams of the engine: what a loaded model and the keeper of loaded models can do. No mlx, no sockets here."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Literal, Protocol

from mlx_harmony.cache_records import CacheAction, CacheState, SavedCache
from mlx_harmony.engine.residency import Limits, Plan
from mlx_harmony.engine.tally import Counts
from mlx_harmony.events import Counted, Event, Failed
from mlx_harmony.records import GenerationRequest, MemoryNeed, ModelCard, ModelEntry, PromptCount, Record, Timings

ModelPhase = Literal["asleep", "loading", "awake", "busy", "crashed"]


class ModelState(Record):
    """Where a model stands right now. `fraction` is the load's progress; `problem` says why it crashed or would not load, `hint`
    what to do about that.

    `loaded_at` in seconds since the epoch, None while it is not loaded; at `unloads_at` its idle time is over, None where that does not
    run. `memory_bytes` is what it was seen to take. `pinned`: it goes only when somebody unloads it. `counts` are of all its requests.
    """

    id: str
    phase: ModelPhase
    fraction: float = 0.0
    pid: int | None = None
    card: ModelCard | None = None
    requests: int = 0
    problem: str = ""
    hint: str = ""
    loaded_at: float | None = None
    pinned: bool = False
    memory_bytes: int = 0
    unloads_at: float | None = None
    counts: Counts = Counts()

    @property
    def trouble(self) -> str:
        """What is wrong with it and what to do, in one paragraph; "" for nothing."""
        return f"{self.problem} {self.hint}".strip()


class Engine(Protocol):
    """One loaded model, wherever it lives.

    `generate` yields events and ends in exactly one Finished or Failed; it raises nothing for a request's own failure. Closing the
    iterator cancels. `count` tells how long a request's prompt is, and raises what is wrong with it. `cache` does something to what it
    keeps of what it read and tells how that stands then, also while it answers; `save_cache` and `load_cache` bring an entry to a file and
    back, and raise why they cannot; `forget_chats` drops what only those chats used. `alive` turns False for good when its process died.
    """

    @property
    def card(self) -> ModelCard: ...

    @property
    def alive(self) -> bool: ...

    @property
    def pid(self) -> int | None: ...

    def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]: ...

    async def count(self, request: GenerationRequest) -> PromptCount: ...

    async def cache(self, action: CacheAction = "look", entry: str = "") -> CacheState: ...

    async def save_cache(self, entry: str, path: str, *, replace: bool = False) -> SavedCache: ...

    async def load_cache(self, path: str) -> CacheState: ...

    async def forget_chats(self, chats: tuple[str, ...]) -> None: ...

    async def close(self) -> None: ...


Progress = Callable[[str, float], None]
"""Called with (stage, fraction 0 to 1) while a model loads."""


class StartEngine(Protocol):
    """Starts an engine for a model; raises LoadFailed and its siblings. Cancelling the awaiting task ends the half-started process.

    `force`: it is not refused for want of memory.
    """

    def __call__(self, entry: ModelEntry, progress: Progress, *, force: bool = False) -> Awaitable[Engine]: ...


class MemoryWatch(Protocol):
    """Who knows what models take of the memory. Its methods read and write small files: they are called in threads."""

    def need(self, entry: ModelEntry) -> MemoryNeed | None:
        """What loading it takes, and what there is at this moment; None where its files do not tell."""
        ...

    def observe(self, entry: ModelEntry, card: ModelCard, timings: Timings | None, *, grew: bool = True) -> None:
        """Take notice of what it took for an answer, whose peak it is where it `grew`, and that it is in use.

        Without `timings` it was loaded, or answered in a way that tells nothing of what one answer takes.
        """
        ...


async def counted(next_event: Callable[[], Awaitable[Event]]) -> PromptCount:
    """The count that ends a question for a prompt's length. Raises the error that ends it instead."""
    while True:
        match await next_event():
            case Counted(count=count):
                return count
            case Failed() as failed:
                raise failed.error()
            case _:
                continue


class Answers(Protocol):
    """Who answers requests for models. `count` gives None while the model is asleep or loading: it neither loads one nor waits."""

    def generate(self, entry: ModelEntry, request: GenerationRequest) -> AsyncGenerator[Event, None]: ...

    async def count(self, entry: ModelEntry, request: GenerationRequest) -> PromptCount | None: ...

    def states(self) -> tuple[ModelState, ...]: ...


class Provider(Answers, Protocol):
    """Keeps the loaded models: one load per model however many ask at once, restart after a crash, unload; within limits.

    `cache` and `save_cache` give None while the model is asleep or loading, as `count` does; `load_cache` loads the model.
    """

    async def cache(self, model_id: str, action: CacheAction = "look", entry: str = "") -> CacheState | None: ...

    async def save_cache(self, model_id: str, entry: str, path: str, *, replace: bool = False) -> SavedCache | None: ...

    async def load_cache(self, entry: ModelEntry, path: str) -> CacheState: ...

    async def forget_chats(self, chats: tuple[str, ...]) -> None: ...

    async def load(self, entry: ModelEntry, *, force: bool = False) -> ModelCard: ...

    async def unload(self, model_id: str) -> None: ...

    def limit(self, limits: Limits) -> None: ...

    async def room_for(self, entry: ModelEntry) -> Plan: ...

    async def close(self) -> None: ...
