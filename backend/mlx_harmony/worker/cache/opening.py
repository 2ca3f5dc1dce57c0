"""Opens the prompt cache of a loaded model: its memory, its shelf. A disk that cannot be used costs the disk tier only."""

import logging
from pathlib import Path

import msgspec

from mlx_harmony.models.memory import available_bytes
from mlx_harmony.records import LoadOptions
from mlx_harmony.shelf.shelf import Shelf
from mlx_harmony.worker.cache.identity import identity_of
from mlx_harmony.worker.kv import PLAIN, KvForm
from mlx_harmony.worker.kv_caches import KvCaches
from mlx_harmony.worker.load import LoadedModel
from mlx_harmony.worker.prompt_cache import DEFAULT_BYTES, PromptCache

MEMORY_SHARE = 8
"""At most one part in so many of the memory that is free once the model is loaded, unless told otherwise."""

log = logging.getLogger(__name__)


def open_caches(loaded: LoadedModel, options: LoadOptions) -> KvCaches:
    """The prompt caches of a model that was loaded with these options: the plain one, and those of other forms when they are asked for."""
    return KvCaches(loaded.model, open_cache(loaded, options), lambda form: open_cache(loaded, options, form))


def open_cache(loaded: LoadedModel, options: LoadOptions, form: KvForm = PLAIN) -> PromptCache:
    """The prompt cache of what is kept in one form."""
    cache = PromptCache(memory_budget(options), loaded.format.tokens.text_of, options.cache_entries)
    layers = form._replace(start=0).fresh(loaded.model)
    cache.know_shapes(layers)
    try:
        identity = identity_of(options.path, loaded.model, layers, loaded.format.name, options.adapter)
        cache.identity = identity if form.plain else msgspec.structs.replace(identity, kv=f"{identity.kv} {form.words}")
        if options.cache_folder and options.cache_disk_bytes:
            cache.open_disk(Shelf(Path(options.cache_folder), cache.identity, options.cache_disk_bytes), layers)
    except OSError:
        log.exception("what was read cannot be kept on disk")
    return cache


def memory_budget(options: LoadOptions) -> int:
    """Bytes of memory for what was read before."""
    if options.cache_bytes is not None:
        return options.cache_bytes
    return min(DEFAULT_BYTES, available_bytes() // MEMORY_SHARE)
