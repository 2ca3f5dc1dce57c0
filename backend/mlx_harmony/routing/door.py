"""Aliases as the service offers them: answered for, counted for and listed, and profiles that are asked for like models. Loads nothing."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol
from uuid import uuid4

import msgspec

from mlx_harmony.conversation.records import TurnOptions
from mlx_harmony.engine.protocols import Answers, ModelState
from mlx_harmony.errors import HarmonyError, InvalidRequest, SettingsError
from mlx_harmony.prompting.records import ProfileRow
from mlx_harmony.records import GenerationRequest, ModelEntry, PromptCount, TextPrompt
from mlx_harmony.routing.answering import Here, Prepared, Router, Taken
from mlx_harmony.routing.choosing import steps
from mlx_harmony.routing.counting import TextCount, nobody_counts
from mlx_harmony.routing.records import Alias, AliasRow


class Listing(Here, Protocol):
    """Who also lists the aliases, those too that cannot be used, and the profiles whose names are no model's."""

    def alias_rows(self) -> tuple[AliasRow, ...]:
        """Raises SettingsError."""
        ...

    def save_alias(self, alias: Alias) -> Alias:
        """Raises InvalidRequest, SettingsError and StorageError."""
        ...

    def remove_alias(self, name: str) -> Alias:
        """Raises InvalidRequest, SettingsError and StorageError."""
        ...

    def profile_rows(self) -> tuple[ProfileRow, ...]: ...

    def profile(self, name: str | None) -> TurnOptions | None:
        """Raises SettingsError and ModelNotFound."""
        ...


class Routing(Router):
    """What of models may also be asked of aliases; for the rest `real` refuses them."""

    def __init__(self, here: Callable[[], Listing], models: Answers, prepared: Prepared, text_count: TextCount = nobody_counts) -> None:
        super().__init__(here, models, prepared, text_count=text_count)
        self._listing = here
        self._awake = models

    def rows(self) -> tuple[AliasRow, ...]:
        """Every alias, and how often each model answered for it. Raises SettingsError. Reads files."""
        counts = self.answered
        return tuple(msgspec.structs.replace(row, answered=dict(counts.get(row.entry.id, {}))) for row in self._listing().alias_rows())

    async def save(self, alias: Alias, *, new: bool = False) -> Alias:
        """Keep an alias, in place of one that has its name; a `new` one takes nobody's place.

        Raises SettingsError, StorageError, and InvalidRequest with the field at fault in `param`.
        """
        if new and any(row.alias.name == " ".join(alias.name.split()) for row in await asyncio.to_thread(self._listing().alias_rows)):
            raise InvalidRequest("There is an alias of that name already.", hint="Change that one, or take another name.", param="name")
        return await asyncio.to_thread(self._listing().save_alias, alias)

    async def remove(self, name: str) -> Alias:
        """Delete an alias and return what it was. Raises InvalidRequest for one that is not there, SettingsError and StorageError."""
        return await asyncio.to_thread(self._listing().remove_alias, name)

    def entries(self) -> tuple[ModelEntry, ...]:
        """The aliases as models; none where their file cannot be read. Reads files."""
        try:
            return tuple(row.entry for row in self._listing().alias_rows())
        except SettingsError:
            return ()

    def profile_rows(self) -> tuple[ProfileRow, ...]:
        """The profiles that can be asked for by name, each with what is wrong with it. Reads files."""
        return self._listing().profile_rows()

    def profile(self, name: str | None) -> TurnOptions | None:
        """What the profile of that name says; None where it is a model's or an alias's name, or nobody's. Reads files.

        Raises SettingsError for a profile that cannot be used, and ModelNotFound.
        """
        return self._listing().profile(name)

    def routes(self, alias: str) -> tuple[Taken, ...]:
        """The latest ways that requests to an alias went in this program, the last one first."""
        return tuple(each for each in reversed(self.recent) if each.alias == alias)

    async def count(self, entry: ModelEntry, request: GenerationRequest) -> PromptCount | None:
        """How long a prompt is: for the first model of an alias that is awake; None where none is."""
        if entry.source != "alias":
            return await self._awake.count(entry, request)
        aliases = await asyncio.to_thread(self._here().aliases)
        for step in steps(entry.id, aliases, await self.measured(entry.id, aliases, request), self._rotation.look):
            found = await asyncio.to_thread(self._found, step.model)
            if isinstance(found, ModelEntry) and (count := await self._awake.count(found, request)) is not None:
                return count
        return None

    async def _tokens(self, entry: ModelEntry, text: str) -> int | None:
        """Counted by the model itself while it is awake, else by its tokenizer's file."""
        with suppress(HarmonyError):
            if count := await self._awake.count(entry, GenerationRequest(id=uuid4().hex, prompt=TextPrompt(text=text))):
                return count.total
        return await super()._tokens(entry, text)

    def states(self) -> tuple[ModelState, ...]:
        """Where the models stand."""
        return self._awake.states()


def real(entry: ModelEntry) -> ModelEntry:
    """The model. Raises InvalidRequest for an alias: what is asked for is of single models."""
    if entry.source == "alias":
        hint = "Name one of its models; `mlx-harmony models alias list` shows them."
        raise InvalidRequest(f"{entry.id} is an alias, not a model.", hint=hint, param="model")
    return entry
