"""How a prompt cache stands, as one record: put together from its tiers, its account and its owners, none of which it changes."""

import time
from typing import NamedTuple

from mlx_harmony.cache_records import CachePoint, CacheState
from mlx_harmony.worker.cache.account import Account, entries_of
from mlx_harmony.worker.cache.disk import Disk
from mlx_harmony.worker.cache.history import History
from mlx_harmony.worker.cache.memory import Memory
from mlx_harmony.worker.cache.owners import Owners
from mlx_harmony.worker.cache.tree import Tree


class Parts(NamedTuple):
    """What a prompt cache is made of. `most_entries` 0 for any number."""

    tree: Tree
    memory: Memory
    account: Account
    owners: Owners
    history: History
    most_entries: int = 0


def state_of(parts: Parts, disk: Disk | None, kv_form: str = "") -> CacheState:
    """All of it, with the newest entries and requests; in which form of KV, in words, "" for the model's own."""
    memory, account = parts.memory, parts.account
    now = point_of(parts, disk, time.time())
    return CacheState(
        memory_bytes=memory.bytes,
        memory_budget=memory.budget_bytes,
        disk_bytes=now.disk_bytes,
        disk_budget=disk.shelf.budget_bytes if disk else 0,
        evictions=memory.evictions,
        requests=account.requests,
        hits=account.hits,
        tokens_asked=account.asked,
        tokens_reused=account.memory + account.disk,
        tokens_from_disk=account.disk,
        misses=dict(account.misses),
        entries=entries_of(parts.tree, parts.owners.chats(), kv_form),
        recent=tuple(account.recent),
        problem=disk.problem if disk else "",
        seconds_saved=account.seconds_saved,
        history=parts.history.points(),
        most_entries=parts.most_entries,
    )


def point_of(parts: Parts, disk: Disk | None, at: float) -> CachePoint:
    """The figures of one moment."""
    account = parts.account
    return CachePoint(
        at=at,
        memory_bytes=parts.memory.bytes,
        disk_bytes=disk.bytes if disk else 0,
        tokens_asked=account.asked,
        tokens_reused=account.memory + account.disk,
        seconds_saved=account.seconds_saved,
        requests=account.requests,
        hits=account.hits,
    )
