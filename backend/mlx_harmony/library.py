"""The models of this machine as the service asks for them: by id, by folder or by profile. It owns the catalogue, and loads nothing.

It knows no chats; whether a model is loaded is the provider's to say.
"""

from collections.abc import Mapping

import msgspec

from mlx_harmony.conversation.beginning import options_of
from mlx_harmony.conversation.records import TurnOptions
from mlx_harmony.errors import HarmonyError, InvalidRequest, LoadFailed, ModelNotFound, SettingsError
from mlx_harmony.models.catalog import Catalog, Places
from mlx_harmony.models.info import Known, ModelInfo, infos_of
from mlx_harmony.models.used import Used
from mlx_harmony.prompting.choosing import Given, profiles_of
from mlx_harmony.prompting.records import ProfileRow
from mlx_harmony.records import ModelEntry
from mlx_harmony.settings import Settings, absolute


class Library:
    """The models and profiles that these settings lead to. One whose settings change is replaced by another."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.places = _places(settings)
        self._catalog = Catalog(self.places)
        self._used = Used(settings.home)

    @property
    def home(self) -> str:
        """The app's home."""
        return self._settings.home

    def models(self) -> tuple[ModelEntry, ...]:
        """Every model on this machine, also those with a `problem`."""
        return self._catalog.entries()

    def rescan(self) -> None:
        """Look again at once, as after something was deleted."""
        self._catalog.rescan()

    def find(self, model_id: str | None) -> ModelEntry:
        """The model of that id, or the default one. Raises ModelNotFound, which names the known ids."""
        return self._catalog.find_chosen(self._settings.model) if model_id is None else self._catalog.find(model_id)

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

    def usable(self, model_id: str | None) -> ModelEntry:
        """The same, but a model known to be broken raises LoadFailed and starts no process. May scan folders: called in threads."""
        entry = self.find(model_id)
        if entry.problem:
            hint = "Choose another model, or repair its folder."
            raise LoadFailed(f"The model {entry.id} cannot be loaded. {entry.problem}", hint=hint, param="model")
        return entry

    def infos(self, chats: Mapping[str, int]) -> tuple[ModelInfo, ...]:
        """Every model with all that is known of it; `chats` is in how many each answered, by its id. Reads files: called in threads."""
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
        """The id of a model named by its id or its folder; None where it is not on this machine."""
        folder = str(absolute(model))
        return next((entry.id for entry in self.models() if model == entry.id or folder == entry.folder), None)

    def profiles(self) -> tuple[ProfileRow, ...]:
        """The profiles on file, each with what is wrong with it. Raises SettingsError for a file that cannot be read."""
        return tuple(self._with_model_problem(row) for row in profiles_of(self._settings).rows())

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


def _places(settings: Settings) -> Places:
    """Where this run looks for models: in the settings' places, and where a profile points to one."""
    places = Places.of(settings)
    try:
        return msgspec.structs.replace(places, folders=(*places.folders, *profiles_of(settings).folders()))
    except SettingsError:
        return places
