"""Takes caches back to where they were before some tokens of a pass: cut where a layer can be cut, as they were before it where not.

It knows caches and nothing of tokens. A rotating window can be cut only after a pass of several tokens, which leaves all that
the window showed to the first of them in place; after single tokens, and for state spaces, everything goes back to before the pass.
"""

from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import ArraysCache

from mlx_harmony.worker.cache.layers import CUT, ROTATING, Layers, leaves


def can_go_back(layers: Layers) -> bool:
    """Whether every layer is of a kind that is known to go back rightly."""
    return all(type(leaf) in (*CUT, *ROTATING, ArraysCache) for leaf in leaves(layers))


class Before:
    """Caches as they stand now. `cuttable`: a pass of several tokens from here can be cut after any of them.

    `passes`: it may be several passes, of single tokens too.
    """

    def __init__(self, layers: Layers, passes: bool = False) -> None:
        self._leaves = list(leaves(layers))
        self.cuttable = all(type(leaf) in CUT or (type(leaf) in ROTATING and not passes) for leaf in self._leaves)
        self._offsets = [getattr(leaf, "offset", 0) for leaf in self._leaves]
        # A pass that can be cut needs no copies: it writes beyond what it may be cut to.
        self._states = [] if self.cuttable else [_state(leaf) for leaf in self._leaves]

    def cut(self, length: int) -> None:
        """Leave the first `length` tokens of what came since then, 1 or more after a pass of several."""
        for leaf, offset in zip(self._leaves, self._offsets, strict=True):
            _cut(leaf, leaf.offset - offset - length)

    def restore(self) -> None:
        """Leave nothing of what came since then. Not where it is `cuttable`."""
        for leaf, offset, state in zip(self._leaves, self._offsets, self._states, strict=True):
            if type(leaf) in CUT:
                leaf.trim(leaf.offset - offset)
            else:
                leaf.state = again(state)


def _cut(leaf: Any, over: int) -> None:
    """Take the last `over` tokens of a pass of several out of a layer."""
    if over <= 0:
        return
    if type(leaf) in ROTATING:
        # In order after such a pass, the newest last, with a whole window still before what stays.
        leaf.keys, leaf.values = leaf.keys[..., :-over, :], leaf.values[..., :-over, :]
    leaf.trim(over)


def _state(leaf: Any) -> Any:
    """What a layer that cannot be cut holds."""
    return None if type(leaf) in CUT else again(leaf.state)


def again(state: Any) -> Any:
    """A cache's state behind array objects of its own: what is written to the cache leaves it as it is."""
    match state:
        case mx.array():
            return mx.array(state)
        case list():
            return [again(part) for part in state]
        case tuple():
            return tuple(again(part) for part in state)
    return state
