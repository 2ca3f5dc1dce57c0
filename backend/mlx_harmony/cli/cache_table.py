"""What models keep as a table for people: the tree of prefixes, siblings by their last use. Pure; the clock is given."""

from collections.abc import Iterable, Iterator

from mlx_harmony.cache_records import CacheEntry
from mlx_harmony.cli.models_table import aligned, size
from mlx_harmony.shelf.kept import Kept

COLUMNS = ("ID", "TOKENS", "SIZE", "USED", "BEGINS")
LIVE_COLUMNS = ("ID", "TOKENS", "SIZE", "KEPT", "USED", "BEGINS")
SHORT_ID = 10
WIDEST_TEXT = 60
DEEPEST = 8


def cache_lines(found: Iterable[Kept], now: float) -> Iterator[str]:
    """A table for each model, or one line that says there is nothing."""
    empty = True
    for shelf in found:
        if not empty:
            yield ""
        empty = False
        form = shelf.identity.kv_form
        yield f"{shelf.identity.model}{f', KV {form}' if form else ''}: {size(shelf.bytes)}"
        if shelf.problem:
            yield shelf.problem
        yield from entry_lines(shelf.entries, now)
    if empty:
        yield "Nothing is kept on disk."


def entry_lines(entries: tuple[CacheEntry, ...], now: float, *, live: bool = False) -> Iterator[str]:
    """The tree of one model. `live`: what is in memory is told of too, and in which form where that is another than the model's own."""
    rows = [_row(entry, depth, now, live=live) for entry, depth in in_order(entries)]
    yield from aligned([list(LIVE_COLUMNS if live else COLUMNS), *rows])


def in_order(entries: tuple[CacheEntry, ...]) -> Iterator[tuple[CacheEntry, int]]:
    """Each entry below what it goes on from, with how many times the tree parted on the way to it."""
    known = {entry.id for entry in entries}
    under: dict[str, list[CacheEntry]] = {}
    for entry in sorted(entries, key=lambda entry: (entry.used_at, -entry.start, entry.id)):
        under.setdefault(entry.parent if entry.parent in known else "", []).append(entry)
    waiting = [(entry, 0) for entry in under.get("", ())]
    while waiting:
        entry, depth = waiting.pop()
        yield entry, depth
        below = under.get(entry.id, [])
        waiting += [(each, depth + (len(below) > 1)) for each in below]


def _row(entry: CacheEntry, depth: int, now: float, *, live: bool) -> list[str]:
    text = "  " * min(depth, DEEPEST) + " ".join(entry.text.split())
    chats = f" ({len(entry.chats)} {'chat' if len(entry.chats) == 1 else 'chats'})" if entry.chats else ""
    form = f"[KV {entry.kv}] " if live and entry.kv else ""
    return [
        entry.id[:SHORT_ID],
        f"{entry.start:,}-{entry.end:,}",
        size(max(entry.memory_bytes, entry.disk_bytes) if live else entry.disk_bytes),
        *((entry.where,) if live else ()),
        f"{ago(now - entry.used_at)}{' (pinned)' if entry.pinned else ''}",
        form + (text if len(text) <= WIDEST_TEXT else f"{text[: WIDEST_TEXT - 1]}…") + chats,
    ]


def ago(seconds: float) -> str:
    """How long that is past, as coarse as people say it."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit} ago"
    return "just now"
