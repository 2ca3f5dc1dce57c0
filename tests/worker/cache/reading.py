"""What tests of the cache share: prompts, reading them, and a shelf that belongs to nobody."""

from collections.abc import Sequence
from pathlib import Path

import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import make_prompt_cache

from mlx_harmony.shelf.shelf import Identity, Shelf
from mlx_harmony.worker.load import LoadedModel
from mlx_harmony.worker.prompt_cache import Layers, PromptCache

PLENTY = 2**30


def tokens(length: int, seed: int = 0) -> list[int]:
    return [int(token) for token in np.random.default_rng(seed).integers(10, 380, length)]


def read(loaded: LoadedModel, prompt: Sequence[int], layers: Layers | None = None) -> tuple[Layers, mx.array]:
    """Read a prompt into caches; the last logits say whether the caches were right."""
    layers = layers if layers is not None else make_prompt_cache(loaded.model)
    logits = loaded.model(mx.array([list(prompt)]), cache=layers)
    mx.eval(logits)
    return layers, logits[0, -1]


def close(first: mx.array, second: mx.array) -> bool:
    return bool(mx.allclose(first, second, rtol=1e-3, atol=1e-3).item())


def shelf_at(root: Path, budget_bytes: int = PLENTY, weights: str = "w", **parts: str) -> Shelf:
    told = {"model": "/models/tiny", "format": "f", "kv": "k", "numerics": "n", **parts}
    return Shelf(root, Identity(weights=weights, **told), budget_bytes)


def cache_on(shelf: Shelf, loaded: LoadedModel, budget_bytes: int = PLENTY) -> PromptCache:
    """A cache that keeps on that shelf what this model reads."""
    cache = PromptCache(budget_bytes)
    cache.open_disk(shelf, make_prompt_cache(loaded.model))
    return cache
