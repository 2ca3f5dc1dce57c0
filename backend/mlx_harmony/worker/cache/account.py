"""What came of each look-up: why no more was reused, what that spared, counted and remembered. It changes nothing in the tree."""

import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

import msgspec

from mlx_harmony.cache_records import CacheEntry, CacheRequest, Reuse, ReuseReason
from mlx_harmony.worker.cache.tree import Run, Tokens, Tree, Way
from mlx_harmony.worker.formats import unknown_place

MOST_ENTRIES = 500
REMEMBERED = 50
SHOWN_TOKENS = 16
LEADING_TOKENS = 24
ANSWER = "an answer of the model"
NEAR = 32
"""Fewer tokens than this between what agrees and what could be reused are no loss to speak of."""

Spell = Callable[[list[int]], str]


class Asker(NamedTuple):
    """Who asks: the chat, "" for none; and in which part of the prompt a token stands, in words."""

    chat: str = ""
    place: Callable[[int], str] = unknown_place


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
    """Counts of all look-ups of one model and the latest of them. `token_s`: what reading one token takes, 0 where not known yet."""

    def __init__(self, spell: Spell) -> None:
        self._spell = spell
        self._unpriced = 0
        self._saved_s = 0.0
        self.token_s = 0.0
        self.requests = 0
        self.hits = 0
        self.asked = 0
        self.memory = 0
        self.disk = 0
        self.misses: Counter[ReuseReason] = Counter()
        self.recent: deque[CacheRequest] = deque(maxlen=REMEMBERED)

    @property
    def seconds_saved(self) -> float:
        return self._saved_s + self._unpriced * self.token_s

    def learn(self, token_s: float) -> None:
        """Take note of how fast this model reads; what was reused before that was known is counted at this pace."""
        if not self.token_s:
            self._saved_s, self._unpriced = self._unpriced * token_s, 0
        self.token_s = token_s

    def note(self, reuse: Reuse, asker: Asker) -> None:
        self.requests += 1
        self.hits += reuse.reused > 0
        self.asked += reuse.prompt
        self.memory += reuse.memory
        self.disk += reuse.disk
        if self.token_s:
            self._saved_s += reuse.reused * self.token_s
        else:
            self._unpriced += reuse.reused
        if reuse.reason not in ("whole", "new"):
            self.misses[reuse.reason] += 1
        kept, asked = (self._spell(list(side)) if side else "" for side in (reuse.kept, reuse.asked))
        seconds = reuse.reused * self.token_s
        self.recent.appendleft(
            CacheRequest(
                at=time.time(),
                reuse=reuse,
                kept_text=kept,
                asked_text=asked,
                chat=asker.chat,
                place=_place(reuse, asker),
                seconds=seconds,
            )
        )

    def forget(self, chats: Collection[str]) -> None:
        """Remember no request of these chats, and of the others no text of what was kept, which may be theirs."""
        left = [each for each in self.recent if each.chat not in chats]
        self.recent = deque((msgspec.structs.replace(each, kept_text="") for each in left), maxlen=REMEMBERED)

    def opening(self, run: Run) -> str:
        """How a run begins, as text."""
        return self._spell([int(token) for token in run.tokens[:LEADING_TOKENS]])


def _place(reuse: Reuse, asker: Asker) -> str:
    """Where the first difference lies. In an answer it is none of the person's making, and where exactly matters to nobody."""
    if reuse.position is None:
        return ""
    return ANSWER if reuse.reason == "answer" else asker.place(reuse.position)


def entries_of(tree: Tree, chats: Mapping[str, tuple[str, ...]], kv_form: str = "") -> tuple[CacheEntry, ...]:
    """The runs, the last used first. `chats`: by run, which end in it; `kv_form`: in what form all of them are kept."""
    newest = sorted(tree.runs(), key=lambda run: (-run.used, run.start))[:MOST_ENTRIES]
    return tuple(_entry(run, chats.get(run.id, ()), kv_form) for run in newest)


def _entry(run: Run, chats: tuple[str, ...], kv_form: str) -> CacheEntry:
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
        chats=chats,
        kv=kv_form,
    )
