"""The caches of several forms of KV, told of as one."""

import msgspec

from mlx_harmony.cache_records import CacheEntry, CacheState
from mlx_harmony.worker.cache.merging import merged

PLAIN = CacheEntry(id="a", parent="", start=0, end=60, where="disk", disk_bytes=5)
PACKED = msgspec.structs.replace(PLAIN, where="memory", memory_bytes=2, disk_bytes=0, kv="8 bits in groups of 64 from 0")


def test_the_same_tokens_in_two_forms_are_one_entry_that_names_both() -> None:
    alone = msgspec.structs.replace(PACKED, id="b")
    first, second = merged([CacheState(entries=(PLAIN,)), CacheState(entries=(PACKED, alone))]).entries
    assert (first.kv, first.where, first.memory_bytes, first.disk_bytes) == (
        "as computed and 8 bits in groups of 64 from 0",
        "memory",
        2,
        5,
    )
    assert (second.id, second.kv) == ("b", "8 bits in groups of 64 from 0")
