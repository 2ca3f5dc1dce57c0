"""`mlx-harmony cache save` and `cache load`: an entry into a file and back. Saving loads no model; loading does, to see whose it is."""

import asyncio
import json
from pathlib import Path

import msgspec

from mlx_harmony.cache_records import CacheState, SavedCache
from mlx_harmony.cli.models_table import size
from mlx_harmony.cli.terminal import Terminal
from mlx_harmony.errors import InvalidRequest
from mlx_harmony.records import LoadOptions, ModelEntry
from mlx_harmony.settings import Settings, absolute
from mlx_harmony.shelf.bundle import read_bundle
from mlx_harmony.shelf.kept import FOLDER, save_entry

MEGABYTE = 1_000_000


def save(settings: Settings, entry: str, file: str, *, force: bool) -> SavedCache:
    """Write an entry of what is on disk to a file. Raises InvalidRequest and StorageError."""
    return save_entry(Path(settings.home, FOLDER), entry, named(file), replace=force)


def load(settings: Settings, model: str | None, file: str, terminal: Terminal) -> SavedCache:
    """Put what a file holds on the disk of the model that wrote it, or of the one named.

    Raises InvalidRequest, with the reason, where it is refused, and the errors of loading a model.
    """
    path = named(file)
    bundle = read_bundle(path)
    if not settings.cache_disk_mb:
        raise InvalidRequest("Nothing is kept on disk here.", hint="Set cache_disk_mb to more than 0.", param="file")
    entry = model_of(settings, model or bundle.identity.model)
    options = LoadOptions(
        path=entry.path,
        adapter=entry.adapter,
        cache_folder=str(Path(settings.home, FOLDER)),
        cache_disk_bytes=settings.cache_disk_mb * MEGABYTE,
        cache_entries=settings.cache_entries,
    )
    asyncio.run(_taken_in(entry, options, path, terminal))
    return SavedCache(path=str(path), tokens=bundle.tokens, bytes=path.stat().st_size, model=entry.folder)


def shown(done: str, saved: SavedCache, terminal: Terminal, *, as_json: bool) -> None:
    """Say what came of it."""
    if as_json:
        terminal.line(json.dumps(msgspec.to_builtins(saved)))
    else:
        terminal.line(f"{done} {saved.tokens:,} tokens ({size(saved.bytes)}): {saved.path}")


def named(file: str) -> Path:
    """The file a person named. Raises InvalidRequest where none was."""
    if not file:
        raise InvalidRequest(
            "No file is named.", hint="Give a file: mlx-harmony cache save ID FILE, mlx-harmony cache load FILE.", param="file"
        )
    return absolute(file)


def model_of(settings: Settings, model: str) -> ModelEntry:
    """The model of an id or a folder. Raises ModelNotFound."""
    from mlx_harmony.models.catalog import Catalog, Places

    return Catalog(Places.of(msgspec.structs.replace(settings, model=model))).find_chosen(model)


async def _taken_in(entry: ModelEntry, options: LoadOptions, path: Path, terminal: Terminal) -> CacheState:
    from mlx_harmony.worker.inprocess import start_in_process

    engine = await start_in_process(entry, lambda stage, fraction: terminal.hint(f"Loading: {stage}") if not fraction else None, options)
    try:
        return await engine.load_cache(str(path))
    finally:
        await engine.close()
