"""The models of this machine as the service asks for them: by id, folder, alias or profile. It owns the catalogue, and loads nothing.

It knows no chats; whether a model is loaded is the provider's to say.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from mlx_harmony.conversation.beginning import options_of
from mlx_harmony.conversation.records import TurnOptions
from mlx_harmony.errors import HarmonyError, InvalidRequest, LoadFailed, ModelNotFound, SettingsError
from mlx_harmony.models.catalog import Catalog, Places
from mlx_harmony.models.info import Known, ModelInfo, infos_of
from mlx_harmony.models.used import Used
from mlx_harmony.prompting.choosing import Given, profiles_of
from mlx_harmony.prompting.records import ProfileRow
from mlx_harmony.records import ChatUses, ModelEntry
from mlx_harmony.routing.aliases import Aliases, reached
from mlx_harmony.routing.records import Alias, AliasRow
from mlx_harmony.settings import Settings, absolute


class Library:
    """The models and profiles that these settings lead to. One whose settings change is replaced by another."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.places = _places(settings)
        self._catalog = Catalog(self.places)
        self._used = Used(settings.home)
        self._aliases = Aliases(settings.home)

    @property
    def settings(self) -> Settings:
        """The settings it was made from."""
        return self._settings

    def models(self) -> tuple[ModelEntry, ...]:
        """Every model on this machine, also those with a `problem`."""
        return self._catalog.entries()

    def rescan(self) -> None:
        """Look again at once, as after something was deleted."""
        self._catalog.rescan()

    def find(self, model_id: str | None) -> ModelEntry:
        """The model or alias of that id, or the default one. Raises ModelNotFound, which names the known ids."""
        named = self._settings.model if model_id is None else model_id
        if not Path(named).is_absolute() and (found := self._alias(named)) is not None:
            return found
        try:
            return self._catalog.find_chosen(self._settings.model) if model_id is None else self._catalog.find(model_id)
        except ModelNotFound as error:
            names = ", ".join(self._alias_names())
            hint = f"{error.hint} Aliases: {names}." if names else error.hint
            if model_id is None:
                hint = f"Choose another default model: `mlx-harmony models use ID`. {hint}"
            raise ModelNotFound(error.message, hint=hint, param=error.param) from error

    def adapted(self, model_id: str | None, adapter: str) -> ModelEntry:
        """The model that LoRA weights, named by their id or folder, make of the one they are for. Only those in the catalogue are known.

        Raises ModelNotFound, and InvalidRequest where they are for another model than the one named.
        """
        folder = str(absolute(adapter))
        here = [entry for entry in self.models() if entry.adapter]
        found = next((entry for entry in here if entry.id == adapter or entry.adapter == folder), None)
        if found is None:
            known = ", ".join(entry.id for entry in here) or "none"
            raise ModelNotFound(f"No adapter {adapter[:100]!r} on this machine.", hint=f"Known: {known}.", param="adapter")
        if model_id is not None and self.find(model_id).id not in (found.base, found.id):
            hint = "Name that model, or leave the model out."
            raise InvalidRequest(f"The adapter {found.id} is for {found.base}, not for {model_id}.", hint=hint, param="adapter")
        return found

    def aliases(self) -> dict[str, Alias]:
        """The aliases that can be used, by name. Raises SettingsError for a file that cannot be read."""
        return {name: alias for name, alias in self._aliases.all(self._ids()).items() if not alias.problem}

    def alias_rows(self) -> tuple[AliasRow, ...]:
        """Every alias, with its models that are not on this machine. Raises SettingsError for a file that cannot be read."""
        ids = self._ids()
        aliases = self._aliases.all(ids)
        rows = []
        for alias in aliases.values():
            names = reached(alias, aliases, ids)
            missing = tuple(name for name in names if name not in ids)
            rows.append(AliasRow(alias=alias, entry=_standing_for(alias, names, ids), missing=missing))
        return tuple(rows)

    def save_alias(self, alias: Alias) -> Alias:
        """Keep an alias, in place of one that has its name. Raises InvalidRequest for one that could not be used, and StorageError."""
        return self._aliases.save(alias, self._ids())

    def remove_alias(self, name: str) -> Alias:
        """Delete an alias and return what it was. Raises InvalidRequest for one that is not there."""
        return self._aliases.remove(name)

    def _alias_names(self) -> tuple[str, ...]:
        """The aliases that can be used; none where their file cannot be read."""
        try:
            return tuple(self.aliases())
        except SettingsError:
            return ()

    def _ids(self) -> dict[str, ModelEntry]:
        return {entry.id: entry for entry in self.models()}

    def _alias(self, name: str) -> ModelEntry | None:
        """An alias as the model that it stands for; None for a model's own name, and for what is no alias."""
        ids = self._ids()
        aliases = {} if name in ids else self._aliases.all(ids)
        alias = aliases.get(name)
        return None if alias is None else _standing_for(alias, reached(alias, aliases, ids), ids)

    def usable(self, model_id: str | None) -> ModelEntry:
        """The same, but a model known to be broken raises LoadFailed and starts no process. May scan folders: called in threads."""
        entry = self.find(model_id)
        if entry.problem:
            hint = "Choose another model, or repair its folder."
            raise LoadFailed(f"The model {entry.id} cannot be loaded. {entry.problem}", hint=hint, param="model")
        return entry

    def infos(self, chats: Mapping[str, ChatUses]) -> tuple[ModelInfo, ...]:
        """Every model with all that is known of it; `chats` are those in which each answered, by its id. Reads files: called in threads."""
        return infos_of(self.models(), Known(used=self._used.times(), profiles=self._named(), chats=chats))

    def _named(self) -> dict[str, tuple[str, ...]]:
        """The profiles that name each model, by its id. Where their file cannot be read, none does."""
        try:
            named = profiles_of(self._settings).named()
        except SettingsError:
            return {}
        names: dict[str, tuple[str, ...]] = {}
        for name, model in named.items():
            if found := self.here(model):
                names[found] = (*names.get(found, ()), name)
        return names

    def here(self, model: str) -> str | None:
        """The id of a model named by its id or its folder, or an alias; None where it is not on this machine."""
        folder = str(absolute(model))
        found = next((entry.id for entry in self.models() if model == entry.id or folder == entry.folder), None)
        return found or (model if model in self._alias_names() else None)

    def profiles(self) -> tuple[ProfileRow, ...]:
        """The profiles on file, each with what is wrong with it. Raises SettingsError for a file that cannot be read."""
        return tuple(self._with_model_problem(row) for row in profiles_of(self._settings).rows())

    def profile(self, name: str | None) -> TurnOptions | None:
        """The options of the profile of that name; None for a model's or alias's own name, and for what is no profile.

        Raises SettingsError for a profile that cannot be used, and ModelNotFound.
        """
        if name is None or name in self._ids() or name not in self._free_profiles():
            return None
        return self.apply_profile(name)

    def profile_rows(self) -> tuple[ProfileRow, ...]:
        """The profiles that can be asked for like a model: those whose name is no model's and no alias's. None where the file is broken."""
        free = self._free_profiles()
        return tuple(row for row in self.profiles() if row.name in free) if free else ()

    def _free_profiles(self) -> frozenset[str]:
        try:
            names = frozenset(profiles_of(self._settings).names)
            return names - self._ids().keys() - self._aliases.all(()).keys() if names else names
        except SettingsError:
            return frozenset()

    def apply_profile(self, name: str) -> TurnOptions:
        """The options of a new chat with that profile. Raises SettingsError, naming the known profiles, and ModelNotFound."""
        options = options_of(Given(profiles_of(self._settings).resolve(name)).chosen(self._settings))
        model = options.model or ""
        if self.here(model) is None:
            # A profile may point to a folder that was written into its file since.
            self.places = _places(self._settings)
            self._catalog = Catalog(self.places)
        return msgspec.structs.replace(options, model=self.here(model) or self.find(model).id)

    def _with_model_problem(self, row: ProfileRow) -> ProfileRow:
        if not row.problem:
            try:
                self.apply_profile(row.name)
            except HarmonyError as error:
                return msgspec.structs.replace(row, problem=error.message)
        return row


def _standing_for(alias: Alias, names: Iterable[str], ids: Mapping[str, ModelEntry]) -> ModelEntry:
    """An alias in the form of a model: of the format and context of the first one that is here."""
    first = next((ids[name] for name in names if name in ids), None)
    return ModelEntry(
        id=alias.name,
        path="",
        bytes=0,
        architecture="",
        format=first.format if first else "raw",
        source="alias",
        context_length=first.context_length if first else None,
        problem=alias.problem,
    )


def _places(settings: Settings) -> Places:
    """Where this run looks for models: in the settings' places, and where a profile points to one."""
    places = Places.of(settings)
    try:
        return msgspec.structs.replace(places, folders=(*places.folders, *profiles_of(settings).folders()))
    except SettingsError:
        return places
