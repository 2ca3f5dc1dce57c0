"""What a run was started with, profile and prompt config, and what follows for its settings and its new chats. Reads files, keeps none."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from mlx_harmony.prompting.loading import LoadedConfig, load_prompt_config
from mlx_harmony.prompting.profiles import Profile, Profiles, find_prompt_config
from mlx_harmony.prompting.records import Chosen
from mlx_harmony.prompting.resolve import resolve
from mlx_harmony.settings import Settings, absolute


class Given(NamedTuple):
    """The files' part of a choice, read and checked; either may be missing. A config of its own replaces the profile's."""

    profile: Profile | None = None
    config: LoadedConfig | None = None

    def chosen(self, settings: Settings, choices: Mapping[str, Any] | None = None) -> Chosen:
        """All of it together with explicit choices, over the settings as defaults."""
        defaults: dict[str, Any] = {"effort": settings.effort, "instructions": settings.instructions}
        # 0 is what is anyway: a chat that is told nothing is told no 0 either.
        kv = {"kv_bits": settings.kv_bits, "max_kv_size": settings.max_kv_size}
        return resolve(self.profile, self.config, choices or {}, defaults | {name: value for name, value in kv.items() if value})


def profiles_of(settings: Settings) -> Profiles:
    """The profiles this run knows. Raises SettingsError for a file that cannot be read."""
    return Profiles.read(settings.home, settings.profiles_file)


def given_by(settings: Settings) -> Given:
    """What the settings name. Raises SettingsError where it is not there or not usable."""
    profile = profiles_of(settings).resolve(settings.profile) if settings.profile else None
    config = load_prompt_config(find_prompt_config(settings.prompt_config, settings.home)) if settings.prompt_config else None
    return Given(profile, config)


def settled(settings: Settings, given: Given) -> Settings:
    """The settings with the model and the folder of models that were given, where no flag says otherwise."""
    chosen = given.chosen(settings)
    if chosen.model and settings.source("model") != "flag":
        settings = msgspec.structs.replace(settings, model=chosen.model, sources=settings.sources | {"model": "flag"})
    if chosen.draft_model is not None and settings.source("draft_model") != "flag":
        settings = msgspec.structs.replace(settings, draft_model=chosen.draft_model, sources=settings.sources | {"draft_model": "flag"})
    if chosen.models_dir:
        folder = str(absolute(str(Path(chosen.setup.prompt_config).parent / Path(chosen.models_dir).expanduser())))
        settings = msgspec.structs.replace(settings, models_dirs=(*settings.models_dirs, folder))
    return msgspec.structs.replace(settings, notices=(*settings.notices, *chosen.notices))
