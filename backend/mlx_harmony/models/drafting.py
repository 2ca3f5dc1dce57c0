"""Which models may guess for another: the one that a request or the settings name, or all that are smaller. Opens none of them.

Whether one has the same tokens is told where models are opened: in the process of the model that answers.
"""

from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from mlx_harmony.errors import ModelNotFound
from mlx_harmony.models.catalog import Catalog
from mlx_harmony.records import AUTO_DRAFT, DraftChoice, GenerationRequest, ModelEntry
from mlx_harmony.settings import Settings

MOST_NAMED = 10


class Models(Protocol):
    """Who knows the models of this machine, and what the settings say."""

    @property
    def settings(self) -> Settings: ...

    def models(self) -> tuple[ModelEntry, ...]: ...


class Listed(NamedTuple):
    """Those of a catalogue."""

    settings: Settings
    catalog: Catalog

    def models(self) -> tuple[ModelEntry, ...]:
        return self.catalog.entries()


def with_drafts(here: Models, entry: ModelEntry, request: GenerationRequest) -> GenerationRequest:
    """The request with the draft model that is meant and the folders it may be, the largest first.

    Raises ModelNotFound where the request itself names a model that is not there; one that the settings name is only missed.
    """
    if request.speculation in ("off", "lookup"):
        return request
    named, told = request.draft_model, here.settings.draft_model
    wanted = (told or None) if named is None else named
    drafts = _choices(here.models(), entry, wanted, told) if wanted else ()
    if named and named != AUTO_DRAFT and not drafts:
        known = ", ".join(each.id for each in here.models()[:MOST_NAMED])
        hint = f"Known models are {known}. Use auto for any that fits."
        raise ModelNotFound(f"There is no draft model {named!r}.", hint=hint, param="draft_model")
    return msgspec.structs.replace(request, draft_model=wanted, drafts=drafts)


def _choices(models: tuple[ModelEntry, ...], entry: ModelEntry, wanted: str, told: str) -> tuple[DraftChoice, ...]:
    # LoRA weights never guess, and what they lie over is as large as it was.
    models, base = tuple(each for each in models if not each.adapter), next((each for each in models if each.id == entry.base), entry)
    if wanted == AUTO_DRAFT:
        smaller = (each for each in models if each.bytes < base.bytes and not each.problem and each.path != entry.path)
        return tuple(_choice(each) for each in sorted(smaller, key=lambda each: each.bytes, reverse=True))
    listed = tuple(_choice(each) for each in models if wanted in (each.id, each.path))
    # A folder that is in no list is opened for the owner of this machine alone, who wrote the settings.
    own = (DraftChoice(id=Path(told).name, path=told),) if wanted == told and Path(told).is_absolute() and Path(told).is_dir() else ()
    return (*listed, *own)[:1]


def _choice(entry: ModelEntry) -> DraftChoice:
    return DraftChoice(id=entry.id, path=entry.path)
