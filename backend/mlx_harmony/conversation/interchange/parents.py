"""Which message hangs on which, mended where a file's parent ids lead nowhere or in circles. Pure; works on plain ids."""

from collections.abc import Callable, Sequence

Note = Callable[[str], None]

NO_PARENT = -1


def resolve(links: Sequence[tuple[str, str | None]], note: Note) -> list[int]:
    """For each (id, parent id), in the file's order, the place of its parent, -1 for none.

    Of messages with the same id the nearest earlier one is meant. What has a parent that is not there follows the message before it.
    """
    places: dict[str, list[int]] = {}
    for at, (name, _) in enumerate(links):
        places.setdefault(name, []).append(at)
    for name, found in places.items():
        if name and len(found) > 1:
            note("messages share one id")
    parents = [_parent(links, places, at, note) for at in range(len(links))]
    _cut_circles(parents, note)
    return parents


def _parent(links: Sequence[tuple[str, str | None]], places: dict[str, list[int]], at: int, note: Note) -> int:
    wanted = links[at][1]
    if wanted is None:
        return NO_PARENT
    found = [place for place in places.get(wanted, ()) if place != at]
    if not found or not wanted:
        note("a message hung on one that is not there")
        return at - 1
    return max((place for place in found if place < at), default=found[0])


def _cut_circles(parents: list[int], note: Note) -> None:
    """Cut each circle at its first message in the file."""
    settled = [False] * len(parents)
    for start in range(len(parents)):
        walked: list[int] = []
        at, on_walk = start, set[int]()
        while at != NO_PARENT and not settled[at] and at not in on_walk:
            walked.append(at)
            on_walk.add(at)
            at = parents[at]
        if at in on_walk:
            note("messages hung on each other in a circle")
            parents[min(walked[walked.index(at) :])] = NO_PARENT
        for place in walked:
            settled[place] = True


def parents_first(parents: Sequence[int], rank: Sequence[float]) -> list[int]:
    """All places in an order in which parents come before their children, and children of one parent by rank, then as in the file."""
    children: dict[int, list[int]] = {}
    for at, parent in enumerate(parents):
        children.setdefault(parent, []).append(at)
    order: list[int] = []
    waiting = [NO_PARENT]
    while waiting:
        below = sorted(children.get(waiting.pop(), ()), key=lambda at: (rank[at], at))
        order += below
        waiting += reversed(below)
    return order
