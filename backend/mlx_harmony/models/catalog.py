"""What models are on this machine: the bundled Starter, the person's folders, LoRA weights among them, and the Hugging Face cache.

Scanning only looks: it opens no weights, runs nothing and follows no path that a model names. Ids are looked up here and never
joined to paths. It does not know which models are loaded.
"""

import time
from collections.abc import Callable, Iterator
from os.path import realpath
from pathlib import Path

import msgspec

from mlx_harmony.errors import ModelNotFound
from mlx_harmony.models.adapters import CONFIG as ADAPTER_CONFIG
from mlx_harmony.models.adapters import described, over_their_bases
from mlx_harmony.models.hub_cache import hub_cache_folder, hub_models
from mlx_harmony.records import ModelEntry, Record
from mlx_harmony.settings import Settings, absolute

STARTER = "starter"
FRESH_S = 2.0


def starter_folder() -> Path:
    """The bundled model: inside the installed package, else in the checkout beside it."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "assets" / "starter"
    checkout = package.parents[1] / "assets" / "starter"
    return checkout if checkout.is_dir() and not installed.is_dir() else installed


class Places(Record):
    """Where models are looked for, in the order in which they claim their ids."""

    starter: Path
    chosen: Path | None = None
    folders: tuple[Path, ...] = ()
    hub_cache: Path | None = None

    @classmethod
    def of(cls, settings: Settings) -> "Places":
        chosen = absolute(settings.model)
        return cls(
            starter=starter_folder(),
            chosen=chosen if settings.model != STARTER and chosen.is_dir() else None,
            folders=tuple(absolute(folder) for folder in settings.models_dirs),
            hub_cache=hub_cache_folder(),
        )


def scan(places: Places) -> tuple[ModelEntry, ...]:
    """Every model of these places. The same folder is listed once; a second model of the same id gets `-2` and so on."""
    entries: dict[str, ModelEntry] = {}
    seen: set[str] = set()
    for entry in _found(places):
        real = realpath(entry.folder)
        if real not in seen:
            seen.add(real)
            free = _free_id(entry.id, entries)
            entries[free] = entry if free == entry.id else msgspec.structs.replace(entry, id=free)
    return over_their_bases(tuple(entries.values()))


def _found(places: Places) -> Iterator[ModelEntry]:
    yield described(STARTER, places.starter, "bundled")
    if places.chosen is not None:
        chosen = Path(realpath(places.chosen))
        yield described(chosen.name, chosen, "folder")
    for folder in places.folders:
        yield from _folder_models(folder.absolute())
    if places.hub_cache is not None:
        yield from hub_models(places.hub_cache)


def _folder_models(folder: Path) -> Iterator[ModelEntry]:
    """The folder itself where it is a model, else its sub-folders that are."""
    if looks_like_model(folder):
        yield described(folder.name, folder, "folder")
        return
    try:
        names = sorted(folder.iterdir())
    except OSError:
        return
    for child in names:
        if not child.name.startswith(".") and child.name.isprintable() and looks_like_model(child):
            yield described(child.name, child, "folder")


def looks_like_model(folder: Path) -> bool:
    """Whether a folder holds a model, LoRA weights for one, or the damaged remains of either."""
    try:
        known = any((folder / name).exists() for name in ("config.json", ADAPTER_CONFIG))
        return folder.is_dir() and (known or any(folder.glob("*.safetensors")))
    except OSError:
        return False


def _free_id(wanted: str, taken: dict[str, ModelEntry]) -> str:
    free, number = wanted, 1
    while free in taken:
        number += 1
        free = f"{wanted}-{number}"
    return free


class Catalog:
    """The last scan, repeated when it is older than two seconds or does not hold what is asked for."""

    def __init__(self, places: Places, look: Callable[[Places], tuple[ModelEntry, ...]] = scan) -> None:
        self._places = places
        self._look = look
        self._entries: tuple[ModelEntry, ...] = ()
        self._scanned_at = -FRESH_S

    def entries(self) -> tuple[ModelEntry, ...]:
        if time.monotonic() - self._scanned_at > FRESH_S:
            self.rescan()
        return self._entries

    def rescan(self) -> None:
        self._entries = self._look(self._places)
        self._scanned_at = time.monotonic()

    def find(self, model_id: str) -> ModelEntry:
        """The model of that id. Raises ModelNotFound, which names the known ids."""
        known = {entry.id: entry for entry in self.entries()}
        if model_id not in known or known[model_id].problem:
            # It may have come, or its download may have ended, a moment ago.
            self.rescan()
            known = {entry.id: entry for entry in self._entries}
        if model_id not in known:
            shown = model_id if len(model_id) <= 100 else model_id[:100] + "…"
            raise ModelNotFound(f"No model {shown!r} on this machine.", hint=f"Known: {', '.join(known)}.", param="model")
        return known[model_id]

    def find_chosen(self, model: str) -> ModelEntry:
        """The model of a setting or flag, which may be an id or a folder."""
        known = {entry.id for entry in self.entries()}
        chosen = self._places.chosen
        if model not in known and chosen is not None:
            real = realpath(chosen)
            for entry in self._entries:
                if realpath(entry.folder) == real:
                    return entry
        return self.find(model)
