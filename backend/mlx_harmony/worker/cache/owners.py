"""Whose what is kept is: which chats used which runs, in which one each ends, and what goes when they go. It knows no arrays, no files."""

from collections.abc import Collection, Iterable

from mlx_harmony.shelf.uses import Use, stays_until, users_of
from mlx_harmony.worker.cache.tree import Run


class Owners:
    """The chats of one tree; "" stands for requests that belong to none."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}
        self._runs: dict[str, dict[str, int]] = {}

    def restore(self, uses: Iterable[Use], known: Collection[str]) -> list[str]:
        """Take over what was written down, as far as its runs are still there; the chats of which none is."""
        gone = []
        for use in uses:
            runs = {run: until for run, until in use.runs.items() if run in known}
            if runs:
                self._runs[use.chat] = runs
                self._last[use.chat] = use.last
            else:
                gone.append(use.chat)
        return gone

    def note(self, chat: str, way: list[Run], length: int) -> Use:
        """A chat used the first `length` tokens of this way, and ends there now. Returns all that it used."""
        runs = self._runs.setdefault(chat, {})
        for at, run in enumerate(way):
            until = way[at + 1].start if at + 1 < len(way) else length
            runs[run.id] = max(until, runs.get(run.id, 0))
        self._last[chat] = way[-1].id if chat else ""
        return Use(chat=chat, last=self._last[chat], runs=dict(runs))

    def drop(self, runs: Iterable[Run]) -> None:
        """These runs are no longer there."""
        gone = {run.id for run in runs}
        for used in self._runs.values():
            for run in gone & used.keys():
                del used[run]

    def forget(self, chats: Collection[str]) -> None:
        for chat in chats:
            self._runs.pop(chat, None)
            self._last.pop(chat, None)

    def chats(self) -> dict[str, tuple[str, ...]]:
        """By run: the chats that end in it."""
        ends: dict[str, tuple[str, ...]] = {}
        for chat, run in sorted(self._last.items()):
            if chat:
                ends[run] = (*ends.get(run, ()), chat)
        return ends

    def without(self, chats: Collection[str], runs: Iterable[Run]) -> list[tuple[Run, int]]:
        """The runs that do not stay as they are when these chats go, and up to which token they stay."""
        users = self._users()
        kept = ((run, stays_until(run.start, run.end, users.get(run.id, {}), chats)) for run in runs)
        return [(run, until) for run, until in kept if until < run.end]

    def surplus(self, runs: Iterable[Run], most: int) -> list[Run]:
        """The runs that go so that no more than `most` entries stay, the longest unused entry first; pinned ones stay.

        An entry is all that one chat keeps, in however many versions; of requests without a chat it is each that nothing goes on from.
        """
        leaves = [run for run in runs if run.here and not any(child.here for child in run.children.values())]
        users = self._users()
        entries: dict[str, list[Run]] = {}
        for leaf in leaves:
            entries.setdefault(_whose(leaf, users), []).append(leaf)
        loose = sorted((entry for entry in entries.values() if not any(leaf.pinned for leaf in entry)), key=_used)
        going: dict[str, Run] = {}
        for entry in loose[: max(0, len(entries) - most)]:
            for leaf in entry:
                run: Run | None = leaf
                while run is not None and run.parent is not None and all(not child.here or child.id in going for child in _children(run)):
                    going[run.id] = run
                    run = run.parent
        return list(going.values())

    def _users(self) -> dict[str, dict[str, int]]:
        return users_of(Use(chat=chat, runs=runs) for chat, runs in self._runs.items())


def _whose(leaf: Run, users: dict[str, dict[str, int]]) -> str:
    """The chat that alone uses a leaf, else the leaf itself."""
    chats = [chat for chat in users.get(leaf.id, {}) if chat]
    return chats[0] if len(chats) == 1 else leaf.id


def _used(entry: list[Run]) -> int:
    return max(leaf.used for leaf in entry)


def _children(run: Run) -> Iterable[Run]:
    return run.children.values()
