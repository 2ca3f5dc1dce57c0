"""The prompt caches of one model, each of its own form of KV, as one for those who look at them. Pure records in and out."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import msgspec

from mlx_harmony.cache_records import CacheEntry, CacheState

RANKS: tuple[Literal["memory", "disk", "evicted"], ...] = ("memory", "disk", "evicted")
RECENT = 100
AS_COMPUTED = "as computed"
SUMS = ("memory_bytes", "disk_bytes", "evictions", "requests", "hits", "tokens_asked", "tokens_reused", "tokens_from_disk", "seconds_saved")


def merged(states: Sequence[CacheState]) -> CacheState:
    """All of it together. Budgets are the first one's, since all share them; so is the history, which is the plain form's."""
    if len(states) < 2:
        return states[0] if states else CacheState()
    counted = {name: sum(getattr(state, name) for state in states) for name in SUMS}
    misses = sum((Counter(state.misses) for state in states), Counter())
    recent = sorted((request for state in states for request in state.recent), key=lambda request: request.at, reverse=True)
    return msgspec.structs.replace(
        states[0],
        **counted,
        misses=dict(misses),
        entries=_entries(states),
        recent=tuple(recent[:RECENT]),
        problem=next((state.problem for state in states if state.problem), ""),
    )


def _entries(states: Sequence[CacheState]) -> tuple[CacheEntry, ...]:
    """Every entry once: the same tokens in two forms have the same id, their bytes add up, and both forms are named."""
    found: dict[str, CacheEntry] = {}
    for entry in (entry for state in states for entry in state.entries):
        found[entry.id] = _together(found[entry.id], entry) if entry.id in found else entry
    return tuple(found.values())


def _together(one: CacheEntry, other: CacheEntry) -> CacheEntry:
    return msgspec.structs.replace(
        one,
        where=min(one.where, other.where, key=RANKS.index),
        memory_bytes=one.memory_bytes + other.memory_bytes,
        disk_bytes=one.disk_bytes + other.disk_bytes,
        snapshots=tuple(sorted({*one.snapshots, *other.snapshots})),
        pinned=one.pinned or other.pinned,
        hits=one.hits + other.hits,
        used_at=max(one.used_at, other.used_at),
        chats=tuple(dict.fromkeys((*one.chats, *other.chats))),
        kv=one.kv if one.kv == other.kv else f"{one.kv or AS_COMPUTED} and {other.kv or AS_COMPUTED}",
    )
