"""What tests of KV forms share: asking with a form, and the caches that outlive a request."""

import time
from typing import Any

from mlx_harmony.events import Finished, MessageEnded
from mlx_harmony.records import KvOptions
from mlx_harmony.worker.generation import Desk, Generation
from mlx_harmony.worker.kv_caches import KvCaches
from mlx_harmony.worker.load import LoadedModel
from mlx_harmony.worker.pace import Pace
from mlx_harmony.worker.prompt_cache import PromptCache
from tests.worker.company import ask, end

BITS8 = KvOptions(kv_bits=8, kv_group_size=32)
BITS4 = KvOptions(kv_bits=4, kv_group_size=32)


def desk_of(loaded: LoadedModel, budget_bytes: int = 2**30) -> Desk:
    """A desk with caches of its own, for every form."""
    cache = PromptCache(budget_bytes)
    return Desk(loaded, cache, Pace(), caches=KvCaches(loaded.model, cache))


def written(desk: Desk, **asked: Any) -> tuple[list[int], Finished]:
    """The tokens of a greedy answer and how it ended."""
    request = ask("a", **asked)
    events = list(Generation(desk, request, lambda: False, time.perf_counter()).run())
    ids = [token for event in events if isinstance(event, MessageEnded) for token in event.ids]
    assert ids
    return ids, end(events)


def fresh(loaded: LoadedModel, **asked: Any) -> tuple[list[int], Finished]:
    """The same with nothing read before."""
    return written(desk_of(loaded, 0), **asked)
