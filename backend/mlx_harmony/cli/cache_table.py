"""What models keep on disk as a table for people: the tree of prefixes, siblings by their last use. Pure; the clock is given."""

from collections.abc import Iterable, Iterator

from mlx_harmony.cache_records import CacheEntry
from mlx_harmony.cli.models_table import size
from mlx_harmony.shelf.kept import Kept

COLUMNS = ("ID", "TOKENS", "SIZE", "USED", "BEGINS")
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
        yield f"{shelf.identity.model}: {size(shelf.bytes)}"
        if shelf.problem:
            yield shelf.problem
        rows = [COLUMNS, *(_row(entry, depth, now) for entry, depth in in_order(shelf.entries))]
        widths = [max(len(row[at]) for row in rows) for at in range(len(COLUMNS))]
        for row in rows:
            yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
    if empty:
        yield "Nothing is kept on disk."


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


def _row(entry: CacheEntry, depth: int, now: float) -> tuple[str, ...]:
    text = "  " * min(depth, DEEPEST) + " ".join(entry.text.split())
    chats = f" ({len(entry.chats)} {'chat' if len(entry.chats) == 1 else 'chats'})" if entry.chats else ""
    return (
        entry.id[:SHORT_ID],
        f"{entry.start:,}-{entry.end:,}",
        size(entry.disk_bytes),
        f"{_ago(now - entry.used_at)}{' (pinned)' if entry.pinned else ''}",
        (text if len(text) <= WIDEST_TEXT else f"{text[: WIDEST_TEXT - 1]}…") + chats,
    )


def _ago(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit} ago"
    return "just now"
