"""Whether a model answers in a batch as it does alone: told by its caches, then tried out. Knows nothing of who asks.

mlx-lm's batch caches stand in for the plain ones in most architectures, but not in all of them: some take no padding, some count their
positions themselves. Two short made-up prompts of different lengths are read and continued, each alone and then both together.
"""

from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.cache import ArraysCache, CacheList, KVCache, RotatingKVCache, make_prompt_cache

from mlx_harmony.errors import GenerationFailed
from mlx_harmony.worker.guard import guarded
from mlx_harmony.worker.prompt_cache import Layers

TRIED = ((1, 2, 3, 4, 5, 6, 7), (3, 1, 2))
STEPS = 2
TOLERANCE = 0.1
"""How far logits may differ, relative to their size: rounding is far below it, wrong positions and padding far above."""


def mergeable(model: nn.Module) -> bool:
    """Whether every cache of the model is of a kind that can be batched."""
    return all(_mergeable(layer) for layer in make_prompt_cache(model))


def agrees(model: nn.Module) -> bool:
    """Whether the model, tried out, gives in a batch what it gives alone. Costs a few short forward passes."""
    agreeing: list[bool] = []
    guarded(lambda: agreeing.append(_tried(model)), GenerationFailed)
    return agreeing == [True]


def _mergeable(layer: Any) -> bool:
    if type(layer) is CacheList:
        return all(_mergeable(part) for part in layer.caches)
    if type(layer) is RotatingKVCache:
        return bool(layer.keep == 0)
    return type(layer) in (KVCache, ArraysCache)


def _tried(model: nn.Module) -> bool:
    alone = [_read(model, prompt) for prompt in TRIED]
    together: Layers = [column[0].merge(list(column)) for column in zip(*(_read(model, prompt) for prompt in TRIED), strict=True)]
    for step in range(STEPS):
        singles = mx.concatenate([model(mx.array([[token]]), cache=layers)[:, -1] for token, layers in zip(_fed(step), alone, strict=True)])
        batched = model(mx.array(_fed(step))[:, None], cache=together)[:, -1]
        off = mx.linalg.norm((batched - singles).astype(mx.float32), axis=-1) / mx.linalg.norm(singles.astype(mx.float32), axis=-1)
        if not float(mx.max(off)) < TOLERANCE:
            return False
    return True


def _read(model: nn.Module, prompt: tuple[int, ...]) -> Layers:
    layers: Layers = list(make_prompt_cache(model))
    mx.eval(model(mx.array(prompt)[None], cache=layers))
    return layers


def _fed(step: int) -> list[int]:
    return [(3 * at + step + 1) % 8 for at in range(len(TRIED))]
