"""Cleaning up as the service offers it: what lies on the disk, what would go, and the trash. A model that is loaded is unloaded first.

It knows neither pages nor terminals; which files go is `models.removal`'s to say, how they move `models.trash`'s.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Protocol

from mlx_harmony.engine.protocols import ModelState
from mlx_harmony.errors import InvalidRequest
from mlx_harmony.models.catalog import Places
from mlx_harmony.models.holdings import Holding, holdings
from mlx_harmony.models.removal import Removal, Selected, models_in, plan
from mlx_harmony.models.trash import Trash, Trashed
from mlx_harmony.records import ModelEntry, Record

LOADED = ("awake", "busy", "loading")


class Catalogue(Protocol):
    """The models as they are listed: where they are looked for, and how to have them looked for again."""

    @property
    def places(self) -> Places: ...

    def models(self) -> tuple[ModelEntry, ...]: ...

    def rescan(self) -> None: ...


class Removed(Record):
    """What a removal came to: what is in the trash now, and the ids of the models that were unloaded for it."""

    trashed: tuple[Trashed, ...]
    unloaded: tuple[str, ...] = ()


async def recovered(home: str) -> None:
    """Bring to an end what was under way when a program was killed, before anybody looks at the models."""
    await asyncio.to_thread(Trash(home).recover)


class Cleaning:
    """What may be done about the room that models take. `states` tells which are loaded, `unload` ends one and raises while it answers."""

    def __init__(
        self,
        home: str,
        catalogue: Callable[[], Catalogue],
        states: Callable[[], tuple[ModelState, ...]],
        unload: Callable[[str], Awaitable[None]],
    ) -> None:
        self._trash = Trash(home)
        self._catalogue = catalogue
        self._states = states
        self._unload = unload

    async def holdings(self) -> tuple[Holding, ...]:
        """All that takes room, the models first."""
        return await asyncio.to_thread(self._holdings)

    async def plan(self, selection: Iterable[Selected]) -> Removal:
        """What removing these takes away; nothing is touched.

        Raises ModelNotFound, InvalidRequest for what may not go, Unavailable while it is being downloaded, StorageError.
        """
        return plan(await self.holdings(), selection)

    async def remove(self, removal: Removal) -> Removed:
        """Move what was planned into the trash, and unload what is loaded of it first.

        Raises InvalidRequest where the disk is no longer as it was planned, or a model of it is answering or being loaded; what `plan`
        raises; StorageError. In each case nothing was moved.
        """
        await asyncio.to_thread(self._catalogue().rescan)
        if (await self.plan(removal.selection)).items != removal.items:
            raise InvalidRequest("What is on the disk has changed since you looked.", hint="Look again, then delete.", param="id")
        loaded = await asyncio.to_thread(self._loaded_of, removal)
        for state in loaded:
            if state.phase != "awake":
                doing = "being loaded" if state.phase == "loading" else "answering"
                hint = "Stop that first, or wait for it, then delete."
                raise InvalidRequest(f"The model {state.id} is busy: it is {doing}.", hint=hint, param="id")
        for state in loaded:
            await self._unload(state.id)
        trashed = await asyncio.to_thread(self._trash.take, removal)
        await asyncio.to_thread(self._catalogue().rescan)
        return Removed(trashed=trashed, unloaded=tuple(state.id for state in loaded))

    async def trash(self) -> tuple[Trashed, ...]:
        """What is in the trash, the last deleted first."""
        return await asyncio.to_thread(self._trash.items)

    async def trash_bytes(self) -> int:
        """What emptying all of the trash frees."""
        return await asyncio.to_thread(self._trash.bytes)

    async def restore(self, trash_id: str) -> Trashed:
        """Bring something back as it was. Raises InvalidRequest where something is in the way, and StorageError; it stays in the trash."""
        restored = await asyncio.to_thread(self._trash.restore, trash_id)
        await asyncio.to_thread(self._catalogue().rescan)
        return restored

    async def empty(self, ids: Collection[str] | None = None) -> int:
        """Delete these for good, or all; the bytes that are free again. Raises InvalidRequest for an unknown id, and StorageError."""
        return await asyncio.to_thread(self._trash.empty, ids)

    def _holdings(self) -> tuple[Holding, ...]:
        catalogue = self._catalogue()
        return holdings(catalogue.places, catalogue.models())

    def _loaded_of(self, removal: Removal) -> list[ModelState]:
        """The models in memory whose files go, also those that only build on one that goes."""
        going = models_in(removal, self._catalogue().models())
        return [state for state in self._states() if state.id in going and state.phase in LOADED]
