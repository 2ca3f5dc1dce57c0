"""The trash of models as shown. Pure; the clock is given."""

from collections.abc import Sequence

from mlx_harmony.models.trash import Trashed
from mlx_harmony.records import Record
from mlx_harmony_ui import words


class DiscardedRow(Record):
    """One thing in the trash; `problem` says why it cannot be brought back as things stand."""

    id: str
    name: str
    what: str
    size: str
    when: str
    exact: str
    path: str
    problem: str


class Discarded(Record):
    """All of the trash, and what emptying it frees."""

    rows: tuple[DiscardedRow, ...]
    size: str
    count: str
    names: tuple[str, ...]
    more: int = 0


NAMED = 8


def discarded_of(items: Sequence[Trashed], whole_bytes: int, now_s: float) -> Discarded:
    """What lies in the trash, the last deleted first. `whole_bytes`: files that several of it share are counted once."""
    rows = tuple(_row(each, now_s) for each in items)
    return Discarded(
        rows=rows,
        size=words.size(whole_bytes),
        count=words.several(len(rows), "thing"),
        names=tuple(f"{row.name}, {row.what}" for row in rows[:NAMED]),
        more=max(0, len(rows) - NAMED),
    )


def _row(item: Trashed, now_s: float) -> DiscardedRow:
    return DiscardedRow(
        id=item.id,
        name=item.model,
        what=_what(item),
        size=words.size(item.bytes),
        when=words.ago(item.removed_at, now_s),
        exact=words.exact(item.removed_at),
        path=item.path,
        problem=item.problem,
    )


def _what(item: Trashed) -> str:
    if item.whole:
        return "all of it"
    if not item.revisions:
        return "half downloads"
    return f"revision {item.revisions[0][:8]}" if len(item.revisions) == 1 else words.several(len(item.revisions), "revision")
