"""`mlx-harmony cache` where a program runs on this home: that is asked, since it knows what is in memory and what came of it.

It knows how to ask and what to show; what lies on disk where no program runs is `cache`'s business.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from mlx_harmony.cache_reasons import explained
from mlx_harmony.cache_records import CacheEntry, CacheKeeper, CacheRequest, CacheStanding, CacheState
from mlx_harmony.cli import presence
from mlx_harmony.cli.cache_table import ago, entry_lines
from mlx_harmony.cli.models_table import aligned, size
from mlx_harmony.cli.terminal import Terminal
from mlx_harmony.errors import HarmonyError

RECENT = 20
"""Prompts listed at once; JSON has all that are remembered."""
ON_DISK = "This is what lies on the disk."
CACHES = "/v1/caches"


def standing_of(home: str, terminal: Terminal) -> tuple[CacheStanding, ...] | None:
    """What the running program says of every model; None, and why is said, where only the disk can be looked at."""
    if presence.running(home) is None:
        terminal.warn(f"{presence.NOBODY}. {ON_DISK}")
        return None
    try:
        told = presence.ask(home, "GET", CACHES)
        return tuple(_standing(each) for each in told.get("data") or ())
    except msgspec.ValidationError:
        terminal.warn(f"The program that runs tells of its caches otherwise than this one understands. {ON_DISK}")
    except HarmonyError as error:
        terminal.warn(f"{error.message} {error.hint}".strip() + f" {ON_DISK}")
    return None


def change(home: str, standing: CacheStanding, action: str, entry: str) -> int:
    """Have the running program do that, and return how many entries it met. Raises Unavailable and what the program refuses."""
    body = {"model": standing.keeper.model, "action": action, "entry": entry}
    told = presence.ask(home, "POST", CACHES, body)
    after = {each.id: each for each in msgspec.convert(told.get("entries") or (), tuple[CacheEntry, ...])}
    met = (before.id not in after or after[before.id].pinned != before.pinned for before in standing.state.entries)
    return sum(met)


def show(found: Sequence[CacheStanding], terminal: Terminal, now: float, *, as_json: bool) -> None:
    """Every model with its figures, its entries and its latest prompts."""
    if as_json:
        terminal.line(json.dumps([_document(each) for each in found], indent=2))
        return
    if not found:
        terminal.line("Nothing is kept.")
    for at, each in enumerate(found):
        for line in (*([""] if at else []), *_lines(each, now)):
            terminal.line(line)


def of_folder(found: Sequence[CacheStanding], folder: str) -> tuple[CacheStanding, ...]:
    """Those of a model's folder; "" for all."""
    return tuple(each for each in found if not folder or str(Path(each.keeper.folder).resolve()) == folder)


def _standing(told: dict[str, Any]) -> CacheStanding:
    keeper = CacheKeeper(
        model=str(told.get("model")),
        folder=str(told.get("folder")),
        disk_bytes=int(told.get("disk_bytes") or 0),
        awake=bool(told.get("loaded")),
    )
    return CacheStanding(keeper=keeper, state=msgspec.convert(told, CacheState))


def _document(standing: CacheStanding) -> dict[str, Any]:
    keeper, state = standing.keeper, standing.state
    told: dict[str, Any] = msgspec.to_builtins(state)
    recent = [one | {"why": explained(request)} for one, request in zip(told["recent"], state.recent, strict=True)]
    own = {"model": keeper.folder, "id": keeper.model, "source": "program", "loaded": keeper.awake, "bytes": state.disk_bytes}
    return own | {"hit_rate": state.hit_rate} | told | {"recent": recent}


def _lines(standing: CacheStanding, now: float) -> Iterator[str]:
    keeper, state = standing.keeper, standing.state
    yield f"{keeper.model}{': loaded' if keeper.awake else ': asleep, so only what lies on the disk is known'}"
    if keeper.awake:
        yield from _figures(state)
    yield _room(state, keeper.awake)
    if state.problem:
        yield state.problem
    if state.entries:
        yield from entry_lines(state.entries, now, live=True)
    if state.recent:
        yield "Latest prompts"
        yield from aligned([["WHEN", "REUSED", "WHY NO MORE"], *(_prompt(each, now) for each in state.recent[:RECENT])])


def _figures(state: CacheState) -> Iterator[str]:
    if state.hit_rate is None:
        yield "No prompt was read yet."
        return
    yield f"Hit rate {state.hit_rate:.0%}: {state.hits:,} of {state.requests:,} {'prompt' if state.requests == 1 else 'prompts'}"
    share = state.tokens_reused / state.tokens_asked if state.tokens_asked else 0.0
    spared = f", about {state.seconds_saved:,.1f} s of reading" if state.seconds_saved >= 0.05 else ""
    yield f"Saved {state.tokens_reused:,} of {state.tokens_asked:,} tokens ({share:.0%}){spared}"


def _room(state: CacheState, awake: bool) -> str:
    disk = f"{size(state.disk_bytes)} of {size(state.disk_budget)} on disk" if state.disk_budget else f"{size(state.disk_bytes)} on disk"
    if not awake:
        return disk[:1].upper() + disk[1:]
    evicted = f"; {state.evictions:,} evicted from memory" if state.evictions else ""
    return f"{size(state.memory_bytes)} of {size(state.memory_budget)} in memory, {disk}{evicted}"


def _prompt(request: CacheRequest, now: float) -> list[str]:
    return [ago(now - request.at), f"{request.reuse.reused:,} of {request.reuse.prompt:,}", explained(request)]
