"""Answering in this very process: the model, or the one of an alias that can be loaded, lives until its answer ends. Keeps nothing."""

import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial

from mlx_harmony.cli.begun import Beginning
from mlx_harmony.conversation.records import TurnOptions
from mlx_harmony.engine.counting import TextCounts
from mlx_harmony.errors import LoadFailed, ModelNotFound
from mlx_harmony.events import Event, Loading
from mlx_harmony.library import Library
from mlx_harmony.models.drafting import with_drafts
from mlx_harmony.models.used import Used
from mlx_harmony.records import GenerationRequest, ModelEntry
from mlx_harmony.routing.answering import Router
from mlx_harmony.routing.choosing import Rotation, steps
from mlx_harmony.routing.records import Asked
from mlx_harmony.settings import Settings

Show = Callable[[Event], None]


class Here:
    """One answer at a time. Of an alias whose models take turns anyone may begin: this process knows nothing of earlier ones."""

    def __init__(self, settings: Settings, beginning: Beginning) -> None:
        self._library = Library(settings)
        self._beginning = beginning

    def find(self, model_id: str | None) -> ModelEntry:
        """The model or alias of that id, or the one of the settings. Raises ModelNotFound."""
        return self._library.find(model_id)

    def profile(self, name: str | None) -> TurnOptions | None:
        """What the profile of that name says; None where it is none. Raises SettingsError and ModelNotFound."""
        return self._library.profile(name)

    async def first(self, entry: ModelEntry, request: GenerationRequest) -> ModelEntry:
        """The model itself; of an alias the first one that would answer this request. Raises LoadFailed where none is there."""
        if entry.source != "alias":
            return entry
        aliases = self._library.aliases()
        asked = await self._router().measured(entry.id, aliases, request) if entry.id in aliases else Asked()
        for step in steps(entry.id, aliases, asked, Rotation().look) if entry.id in aliases else ():
            try:
                return self._library.usable(step.model)
            except (ModelNotFound, LoadFailed):
                continue
        raise LoadFailed(f"No model of the alias {entry.id} can be used. {entry.problem}".strip(), param="model")

    async def generate(self, entry: ModelEntry, request: GenerationRequest, show: Show) -> AsyncGenerator[Event, None]:
        """The answer's events; how far a model is loaded goes to `show`. A failure is the last event."""
        if entry.source == "alias" and entry.problem:
            raise LoadFailed(entry.problem, hint="mlx-harmony models alias list", param="model")
        async with aclosing(self._router(show).generate(entry, request)) as events:
            async for event in events:
                yield event

    def _router(self, show: Show = lambda _event: None) -> Router:
        home = self._library.settings.home
        models = _OneByOne(home, self._beginning, show)
        prepared = partial(with_drafts, self._library)
        return Router(lambda: self._library, models, prepared, Rotation(random.randrange), TextCounts(home))


class _OneByOne:
    """Loads a model for a request, and lets it go after that."""

    def __init__(self, home: str, beginning: Beginning, show: Show) -> None:
        self._used = Used(home)
        self._beginning = beginning
        self._show = show

    async def generate(self, entry: ModelEntry, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        from mlx_harmony.worker.inprocess import start_in_process

        engine = await start_in_process(entry, lambda stage, fraction: self._show(Loading(stage=stage, fraction=fraction)))
        try:
            await self._beginning.take(engine.load_cache)
            async with aclosing(engine.generate(request)) as events:
                async for event in events:
                    yield event
                    self._beginning.note(event)
        finally:
            await engine.close()
            self._used.note(entry.folder)
