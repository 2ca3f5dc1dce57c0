"""Answering for an alias: the first of its models that can be loaded and has a place answers, and it is said which and why.

Any other model passes through. Another model is tried only before the first word of an answer, never in the middle of one. It knows no
chat and no HTTP.
"""

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing
from typing import NamedTuple, Protocol

import msgspec

from mlx_harmony.errors import (
    AdapterMismatch,
    EngineCrashed,
    HarmonyError,
    LoadFailed,
    ModelNotFound,
    OutOfMemory,
    QueueFull,
    Unavailable,
    UnsupportedArchitecture,
)
from mlx_harmony.events import Event, Failed, Finished, Loading, Queued, Routed
from mlx_harmony.records import GenerationRequest, ModelEntry
from mlx_harmony.routing.choosing import Rotation, steps
from mlx_harmony.routing.counting import TextCount, measured, nobody_counts
from mlx_harmony.routing.records import Alias, Asked, Step

AGAIN_AFTER_S = 60.0
"""So long a model whose load failed is asked last: its next load would most likely only keep everybody waiting."""
RECENT = 100
NOT_LOADED = frozenset(
    error.code for error in (LoadFailed, UnsupportedArchitecture, AdapterMismatch, OutOfMemory, ModelNotFound, EngineCrashed)
)
"""The failures of a load, which the next one would most likely meet again."""
NOT_NOW = frozenset(error.code for error in (QueueFull, Unavailable))
"""Those of a model that is well but has no place at this moment: too many wait for it, or what is pinned takes its room."""

Prepared = Callable[[ModelEntry, GenerationRequest], GenerationRequest]
"""Fills in what only those know who know the other models. Raises RequestError."""
log = logging.getLogger(__name__)


class Here(Protocol):
    """Who knows the models and aliases of this machine. Both may look at the disk: they are called in threads."""

    def find(self, model_id: str | None) -> ModelEntry:
        """The model or alias of that id. Raises ModelNotFound."""
        ...

    def aliases(self) -> dict[str, Alias]:
        """The aliases that can be used, by name. Raises SettingsError."""
        ...


class Generates(Protocol):
    """Who answers for a single model."""

    def generate(self, entry: ModelEntry, request: GenerationRequest) -> AsyncGenerator[Event, None]: ...


class Taken(NamedTuple):
    """A way that a request went: when, in seconds since the epoch, and what was said of it."""

    at: float
    alias: str
    model: str
    note: str


class Router:
    """Answers for models and for aliases. `recent` are the latest ways that requests to aliases went, `answered` how many per alias."""

    def __init__(
        self,
        here: Callable[[], Here],
        models: Generates,
        prepared: Prepared,
        rotation: Rotation | None = None,
        text_count: TextCount = nobody_counts,
    ) -> None:
        self._here = here
        self._models = models
        self._prepared = prepared
        self._text_count = text_count
        self._rotation = rotation or Rotation()
        self._failed: dict[str, tuple[float, Failed]] = {}
        self.recent: deque[Taken] = deque(maxlen=RECENT)
        self.answered: dict[str, Counter[str]] = {}

    async def generate(self, entry: ModelEntry, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        """The request's events, with one Routed before the first word where an alias was asked."""
        answers = self._routed(entry, request) if entry.source == "alias" else self._plain(entry, request)
        async with aclosing(answers) as events:
            async for event in events:
                yield event

    async def _plain(self, entry: ModelEntry, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        try:
            async with aclosing(self._models.generate(entry, self._prepared(entry, request))) as events:
                async for event in events:
                    yield event
        except HarmonyError as error:
            yield Failed.of(error)

    async def _routed(self, alias: ModelEntry, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        missed: dict[str, Failed] = {}
        reached = 0.0
        aliases = await asyncio.to_thread(self._here().aliases)
        asked = await self.measured(alias.id, aliases, request)
        for step in self._later_what_failed(steps(alias.id, aliases, asked, self._rotation.take), missed):
            found = await asyncio.to_thread(self._found, step.model)
            if isinstance(found, Failed):
                missed[step.model] = found
                continue
            said: Routed | None = None
            async with aclosing(self._plain(found, request)) as events:
                async for event in events:
                    match event:
                        case Failed() if said is None and _next_may_answer(event):
                            missed[found.id] = event
                            if event.code in NOT_LOADED:
                                self._failed[found.id] = time.monotonic(), event
                            break
                        case Loading():
                            reached = max(reached, event.fraction)
                            yield msgspec.structs.replace(event, fraction=reached)
                            continue
                        case Failed() | Queued():
                            pass
                        case _ if said is None:
                            said = self._told(alias.id, step, found.id, missed)
                            yield said
                    yield _noted(event, said)
                else:
                    return
        yield _none_of(alias.id, missed)

    async def measured(self, alias: str, aliases: Mapping[str, Alias], request: GenerationRequest) -> Asked:
        """What the alias's rules look at."""

        async def count(model: str, text: str) -> int | None:
            found = await asyncio.to_thread(self._found, model)
            return await self._tokens(found, text) if isinstance(found, ModelEntry) else None

        return await measured(alias, aliases, request, count)

    async def _tokens(self, entry: ModelEntry, text: str) -> int | None:
        """How many tokens a text has for a model; None where nobody can tell."""
        return await self._text_count(entry, text)

    def _later_what_failed(self, wanted: Iterator[Step], missed: dict[str, Failed]) -> Iterator[Step]:
        """The same models, those last that could not be loaded a moment ago; `missed` grows by what was wrong with them."""
        late: list[Step] = []
        for step in wanted:
            at, failed = self._failed.get(step.model, (-AGAIN_AFTER_S, None))
            if failed is not None and time.monotonic() - at < AGAIN_AFTER_S:
                missed[step.model] = failed
                late.append(step)
            else:
                yield step
        yield from late

    def _found(self, model_id: str) -> ModelEntry | Failed:
        """The model, or why it cannot be asked at all."""
        try:
            entry = self._here().find(model_id)
        except HarmonyError as error:
            return Failed.of(error)
        if entry.problem or entry.source == "alias":
            return Failed.of(
                LoadFailed(entry.problem or "It is an alias.", hint="Choose another model, or repair its folder.", param="model")
            )
        return entry

    def _told(self, alias: str, step: Step, model: str, missed: dict[str, Failed]) -> Routed:
        self._failed.pop(model, None)
        missed.pop(model, None)
        note = f"{model} answered for {alias}" + (f": {step.why}." if step.why else ".")
        note = " ".join((note, *(f"{name} could not be used: {failed.message}" for name, failed in missed.items())))
        log.info("%s", note)
        self.recent.append(Taken(time.time(), alias, model, note))
        self.answered.setdefault(alias, Counter())[model] += 1
        return Routed(alias=alias, model=model, note=note)


def _next_may_answer(failed: Failed) -> bool:
    """Whether another model is asked after this failure, as long as nothing was said. A draft model is the request's own choice."""
    return failed.code in NOT_LOADED | NOT_NOW and failed.param != "draft_model"


def _noted(event: Event, said: Routed | None) -> Event:
    """The event, at the end with what is to be said of the way the request went."""
    if isinstance(event, Finished) and said is not None:
        return msgspec.structs.replace(event, note=f"{said.note} {event.note}".strip())
    return event


def _none_of(alias: str, missed: dict[str, Failed]) -> Failed:
    """The end where no model could be used: the first one's failure, with what was wrong with each."""
    if not missed:
        return Failed.of(ModelNotFound(f"The alias {alias} names no model.", hint="mlx-harmony models alias list", param="model"))
    first = next(iter(missed.values()))
    each = " ".join(f"{name}: {failed.message}" for name, failed in missed.items())
    return msgspec.structs.replace(first, message=f"No model of the alias {alias} could be used. {each}")
