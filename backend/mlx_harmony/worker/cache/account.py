"""What came of each look-up: why no more was reused, counted and remembered. It changes nothing in the tree."""

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from mlx_harmony.records import CacheEntry, CacheRequest, Reuse, ReuseReason
from mlx_harmony.worker.cache.tree import Run, Tokens, Tree, Way

MOST_ENTRIES = 500
REMEMBERED = 50
SHOWN_TOKENS = 16
LEADING_TOKENS = 24
NEAR = 32
"""Fewer tokens than this between what agrees and what could be reused are no loss to speak of."""

Spell = Callable[[list[int]], str]


class Found(NamedTuple):
    """How far a prompt was known and what of it was reused; `trouble` is why a piece that was kept could not be used."""

    way: Way
    length: int
    from_disk: int = 0
    trouble: str = ""


def explain(tokens: Tokens, found: Found, others: Sequence[str]) -> Reuse:
    """The record of one look-up. `others`: in what the things kept for this model folder differ from this model, where there are any."""
    way = found.way
    reason, detail = _reason(tokens, found, others)
    kept, asked = (), ()  # type: tuple[int, ...], tuple[int, ...]
    parted = reason != "whole" and way.kept is not None and way.matched < len(tokens)
    if parted and way.kept is not None:
        at = way.matched - way.kept.start
        kept = tuple(int(token) for token in way.kept.tokens[at : at + SHOWN_TOKENS])
        asked = tuple(int(token) for token in tokens[way.matched : way.matched + SHOWN_TOKENS])
    return Reuse(
        prompt=len(tokens),
        memory=found.length - found.from_disk,
        disk=found.from_disk,
        matched=way.matched,
        reason=reason,
        position=way.matched if parted else None,
        kept=kept,
        asked=asked,
        detail=detail,
    )


def _reason(tokens: Tokens, found: Found, others: Sequence[str]) -> tuple[ReuseReason, str]:
    way, limit = found.way, len(tokens) - 1
    if found.length == limit:
        return "whole", ""
    if found.trouble:
        return "damaged", f"What was kept could not be used: {found.trouble}."
    if not way.runs and way.kept is None:
        return ("other_model", f"What is kept of this model was read before its {others[0]} changed.") if others else ("nothing", "")
    if min(way.matched, limit) - found.length >= NEAR:
        lost = any(not run.here for run in way.runs) or any(
            not state.here and state.end > found.length for run in way.runs for state in run.states.values() if state.end <= way.matched
        )
        return ("evicted", "") if lost else ("boundary", "")
    if way.kept is None or way.matched > limit:
        return "new", ""
    written = way.kept.answer_from
    return ("answer" if written is not None and way.matched >= written else "differs"), ""


class Account:
    """Counts of all look-ups of one model and the latest of them."""

    def __init__(self, spell: Spell) -> None:
        self._spell = spell
        self.requests = 0
        self.hits = 0
        self.asked = 0
        self.memory = 0
        self.disk = 0
        self.misses: Counter[ReuseReason] = Counter()
        self.recent: deque[CacheRequest] = deque(maxlen=REMEMBERED)

    def note(self, reuse: Reuse) -> None:
        self.requests += 1
        self.hits += reuse.reused > 0
        self.asked += reuse.prompt
        self.memory += reuse.memory
        self.disk += reuse.disk
        if reuse.reason not in ("whole", "new"):
            self.misses[reuse.reason] += 1
        kept, asked = (self._spell(list(side)) if side else "" for side in (reuse.kept, reuse.asked))
        self.recent.appendleft(CacheRequest(at=time.time(), reuse=reuse, kept_text=kept, asked_text=asked))

    def opening(self, run: Run) -> str:
        """How a run begins, as text."""
        return self._spell([int(token) for token in run.tokens[:LEADING_TOKENS]])


def entries_of(tree: Tree) -> tuple[CacheEntry, ...]:
    """The runs, the last used first."""
    newest = sorted(tree.runs(), key=lambda run: (-run.used, run.start))[:MOST_ENTRIES]
    return tuple(_entry(run) for run in newest)


def _entry(run: Run) -> CacheEntry:
    held = (run, *run.states.values())
    return CacheEntry(
        id=run.id,
        parent=run.parent.id if run.parent else "",
        start=run.start,
        end=run.end,
        where="memory" if run.contents is not None else "disk" if run.disk_bytes else "evicted",
        memory_bytes=sum(each.bytes for each in held),
        disk_bytes=sum(each.disk_bytes for each in held),
        snapshots=tuple(sorted(end for end, state in run.states.items() if state.here)),
        pinned=run.pinned,
        hits=run.hits,
        used_at=run.used_at,
        text=run.text,
    )
