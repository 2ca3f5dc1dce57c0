"""Which snapshots of a long chat are too many. It looks at the tree and changes nothing in it.

Every turn leaves a few, each as large as all that the layers hold which cannot be cut. A chat goes back a turn or two, seldom far; so the
newest stay, and the further back, the wider apart the others may lie.
"""

from bisect import bisect_right
from typing import NamedTuple

from mlx_harmony.worker.cache.tree import Run, State

NEWEST = 32
"""So many stay in any case: those of the last six to ten turns."""
FIRST = 2
"""So do the first ones, where other chats with the same instructions go on."""
SHARE = 8
"""Before the newest, going back costs at most one part in so many of the tokens that were gone back."""


class _Place(NamedTuple):
    """A snapshot and where the way passes it. `beside`: it stands in an answer that the chat told otherwise when it went on."""

    at: int
    state: State
    beside: bool


def surplus(run: Run) -> list[State]:
    """The snapshots on and beside the way to the end of a run that are not worth their room."""
    places = _places(run)
    if len(places) <= NEWEST + FIRST:
        return []
    older, newest = places[:-NEWEST], places[-NEWEST:]
    kept = _gone_on_from(run, [place for place in places if not place.beside])
    kept |= {place.state for place in places if place.state.pinned} | {place.state for place in places[:FIRST]}
    going = [place.state for place in older if place.beside and place.state not in kept]
    on_way = [place for place in older if not place.beside]
    after = newest[0].at
    for at in range(len(on_way) - 1, 0, -1):
        place, before = on_way[at], on_way[at - 1]
        if place.state not in kept and (after - before.at) * SHARE <= run.end - before.at:
            going.append(place.state)
        else:
            after = place.at
    return going


def _places(run: Run) -> list[_Place]:
    """All snapshots on and beside the way, in the order in which it passes them."""
    chain = run.chain()
    ends = [*(link.start for link in chain[1:]), run.end]
    found = []
    for link, until in zip(chain, ends, strict=True):
        found += [_Place(min(state.end, until), state, state.end > until) for state in link.states.values() if state.here]
        for answer in (child for child in link.children.values() if _told_otherwise(child) and child is not run):
            found += [_Place(min(answer.start, until), state, True) for state in answer.states.values() if state.here]
    return sorted(found, key=lambda place: (place.at, place.state.end))


def _told_otherwise(run: Run) -> bool:
    """Whether a run beside the way is an answer with which nothing goes on."""
    return run.answer_from is not None and not any(child.here for child in run.children.values())


def _gone_on_from(run: Run, on_way: list[_Place]) -> set[State]:
    """The last snapshot before each place where something else that is kept goes on."""
    chain = run.chain()
    found, here, ends = set(), set(chain), [place.at for place in on_way]
    for link in chain:
        others = (child for child in link.children.values() if child.here and child not in here and not _told_otherwise(child))
        for at in {child.start for child in others}:
            own = [end for end, state in link.states.items() if end <= at and state.here]
            if own:
                found.add(link.states[max(own)])
            elif (before := bisect_right(ends, link.start)) > 0:
                found.add(on_way[before - 1].state)
    return found
