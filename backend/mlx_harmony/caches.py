"""What models keep of what they read: looked at, changed, saved to files and loaded, wherever it is. It knows neither mlx nor pages.

A model that is loaded is asked itself; of one that is asleep what lies on disk is looked at.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import aclosing, suppress
from pathlib import Path
from typing import TypeVar

from mlx_harmony.cache_records import CacheAction, CacheKeeper, CacheStanding, CacheState, SavedCache
from mlx_harmony.engine.protocols import Provider
from mlx_harmony.errors import EngineCrashed, ModelNotFound
from mlx_harmony.events import Event
from mlx_harmony.reading import PromptRead, prompt_file, read_prompt
from mlx_harmony.records import GenerationRequest, ModelEntry
from mlx_harmony.shelf.kept import Shelves

AWAKE = ("awake", "busy")

Told = TypeVar("Told", CacheState, SavedCache)


class Caches:
    """The prompt caches of all models. `find` gives a model by its id and raises ModelNotFound; `models` are all on this machine.

    Where a model is named, the folder of one that is no longer here will do too, as `kept` tells it.
    """

    def __init__(
        self, shelves: Shelves, provider: Provider, find: Callable[[str], ModelEntry], models: Callable[[], tuple[ModelEntry, ...]]
    ) -> None:
        self._shelves = shelves
        self._provider = provider
        self._find = find
        self._models = models

    async def look(self, model_id: str) -> CacheState:
        """How a model's prompt cache stands; of one that is asleep what is on disk. Raises ModelNotFound and EngineCrashed."""
        return await self.act(model_id, "look")

    async def act(self, model_id: str, action: CacheAction, entry: str = "") -> CacheState:
        """The same, after that was done to an entry or to all of it. Raises ModelNotFound and EngineCrashed."""
        folder = await asyncio.to_thread(self._folder, model_id)
        if (state := await self._provider.cache(model_id, action, entry)) is not None:
            return state
        return await asyncio.to_thread(self._shelves.state_of, folder, action, entry)

    async def save(self, model_id: str, entry: str, path: Path, *, replace: bool = False) -> SavedCache:
        """Write an entry with all that it goes on from to a file that `load` takes.

        Raises InvalidRequest for an entry that is gone or a file that is there already, StorageError, ModelNotFound and EngineCrashed.
        """
        folder = await asyncio.to_thread(self._folder, model_id)
        saved = await self._provider.save_cache(model_id, entry, str(path), replace=replace)
        if saved is not None:
            return saved
        return await asyncio.to_thread(lambda: self._shelves.save(folder, entry, path, replace=replace))

    async def load(self, model_id: str, path: Path) -> CacheState:
        """Take in what a file holds, for which the model is loaded; how its cache stands then.

        Raises InvalidRequest, with the reason, for a file of another model, template or KV format, or one that is damaged; ModelNotFound
        and the errors of loading.
        """
        return await self._provider.load_cache(self._find(model_id), str(path))

    async def read(
        self, model_id: str, request: GenerationRequest, name: str, *, replace: bool = False
    ) -> AsyncGenerator[Event | PromptRead, None]:
        """Have a model read a prompt into a file of that name in the app's home: how far it is, then what came of it. Leaving cancels.

        Raises InvalidRequest for an empty prompt, a name that is none or is taken, ModelNotFound, StorageError, and the errors of loading.
        """
        entry = await asyncio.to_thread(self._find, model_id)
        path = await asyncio.to_thread(prompt_file, self._shelves.home, name)
        async with aclosing(read_prompt(_Reader(self._provider, entry), request, path, replace=replace)) as steps:
            async for step in steps:
                yield step

    async def awake(self, within_s: float) -> dict[str, CacheState]:
        """How the caches of all loaded models stand, by model; one that does not tell in time is left out."""
        states: dict[str, CacheState] = {}
        for model in [state.id for state in self._provider.states() if state.phase in AWAKE]:
            with suppress(TimeoutError, EngineCrashed):
                state = await asyncio.wait_for(self._provider.cache(model), within_s)
                if state is not None:
                    states[model] = state
        return states

    async def forget(self, chats: Collection[str]) -> None:
        """Drop what only these chats used, from every model's memory and from the disk. Raises StorageError where files stay."""
        if not chats:
            return
        await self._provider.forget_chats(tuple(chats))
        await asyncio.to_thread(self._shelves.forget, chats)

    async def kept(self) -> tuple[CacheKeeper, ...]:
        """The models that are loaded or keep something on disk, in the order of the catalogue; those no longer here come last."""
        here, sizes = await asyncio.to_thread(lambda: (self._here(), self._shelves.sizes()))
        awake = {state.id for state in self._provider.states() if state.phase in AWAKE}
        known = [
            CacheKeeper(model=model, folder=folder, disk_bytes=sizes.get(folder, 0), awake=model in awake)
            for folder, model in here.items()
            if folder in sizes or model in awake
        ]
        gone = [CacheKeeper(model=folder, folder=folder, disk_bytes=size) for folder, size in sizes.items() if folder not in here]
        return (*known, *gone)

    async def standing(self) -> tuple[CacheStanding, ...]:
        """How the caches of all those stand; a model that dies meanwhile is left out."""
        found = []
        for keeper in await self.kept():
            with suppress(EngineCrashed, ModelNotFound):
                found.append(CacheStanding(keeper=keeper, state=await self.look(keeper.model)))
        return tuple(found)

    def _here(self) -> dict[str, str]:
        """The ids of the models on this machine by their folders."""
        return {str(Path(entry.folder).resolve()): entry.id for entry in self._models()}

    def _folder(self, model_id: str) -> str:
        """Where a model lies, or lay."""
        try:
            return self._find(model_id).folder
        except ModelNotFound:
            if model_id in self._shelves.sizes():
                return model_id
            raise


class _Reader:
    """A model of the provider, as one that reads a prompt into a file."""

    def __init__(self, provider: Provider, entry: ModelEntry) -> None:
        self._provider = provider
        self._entry = entry

    def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        return self._provider.generate(self._entry, request)

    async def cache(self) -> CacheState:
        return self._awake(await self._provider.cache(self._entry.id))

    async def save(self, entry: str, path: Path, *, replace: bool) -> SavedCache:
        return self._awake(await self._provider.save_cache(self._entry.id, entry, str(path), replace=replace))

    def _awake(self, told: Told | None) -> Told:
        if told is None:
            raise EngineCrashed(f"{self._entry.id} was unloaded before the prompt was saved.", hint="Read it again.")
        return told
