"""Keeps what the model already read: snapshots of KV caches with the tokens they stand for, reused for prompts that begin the same.

A snapshot is never changed after it was taken and nothing that uses one can change it: restoring hands out copies (mlx arrays are
copied on write). Where every layer can be cut (plain KV caches) a snapshot serves any shorter prefix too; sliding windows and state
spaces cannot be cut back, so there only a snapshot taken at exactly the right place fits. It knows nothing of chats or formats.
"""

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import numpy as np
from mlx.utils import tree_map
from mlx_lm.models.cache import KVCache
from numpy.typing import NDArray

DEFAULT_BYTES = 2 * 1024**3
MIN_REUSE = 8

Layers = list[Any]
"""The caches of all layers, as mlx-lm makes them."""


class Snapshot:
    """The KV caches of one token sequence, frozen."""

    def __init__(self, tokens: NDArray[np.int32], layers: Layers) -> None:
        self.tokens = tokens
        self._kinds = [type(layer) for layer in layers]
        self._states = [_frozen_state(layer) for layer in layers]
        arrays = [leaf for state in self._states for leaf in _arrays(state)]
        mx.eval(arrays)
        self.bytes = sum(array.nbytes for array in arrays)
        self.divisible = all(kind is KVCache for kind in self._kinds)

    def usable(self, prompt: NDArray[np.int32]) -> int:
        """How many tokens of `prompt` this snapshot spares; one must be left to read."""
        limit = len(prompt) - 1
        if not self.divisible:
            fits = len(self.tokens) <= limit and bool(np.array_equal(self.tokens, prompt[: len(self.tokens)]))
            return len(self.tokens) if fits else 0
        common = min(len(self.tokens), limit)
        differing = np.flatnonzero(self.tokens[:common] != prompt[:common])
        return int(differing[0]) if differing.size else common

    def restore(self, length: int) -> Layers:
        """Live caches holding the first `length` tokens, independent of this snapshot."""
        if length != len(self.tokens) and not self.divisible:
            raise ValueError("only plain KV caches can be cut")
        layers = []
        for kind, state in zip(self._kinds, self._states, strict=True):
            if kind is KVCache:
                keys, values, _ = state
                state = (keys[..., :length, :], values[..., :length, :], length)
            layers.append(kind.from_state(_copied(state)))
        return layers


class PromptCache:
    """Snapshots within a budget of bytes; the least recently used go first. Belongs to the thread that owns mlx."""

    def __init__(self, budget_bytes: int = DEFAULT_BYTES) -> None:
        self.budget_bytes = budget_bytes
        self._snapshots: list[Snapshot] = []

    @property
    def bytes(self) -> int:
        return sum(snapshot.bytes for snapshot in self._snapshots)

    def __len__(self) -> int:
        return len(self._snapshots)

    def take(self, prompt: Sequence[int]) -> tuple[int, Layers | None]:
        """The longest reusable prefix of `prompt` and live caches that hold it; (0, None) where nothing is worth reusing."""
        tokens = np.asarray(prompt, np.int32)
        best = max(self._snapshots, key=lambda snapshot: snapshot.usable(tokens), default=None)
        length = best.usable(tokens) if best is not None else 0
        if best is None or length < MIN_REUSE:
            return 0, None
        self._snapshots.remove(best)
        self._snapshots.append(best)
        return length, best.restore(length)

    def put(self, tokens: Sequence[int], layers: Layers) -> bool:
        """Keep a snapshot of live caches that hold exactly `tokens`; False where these caches cannot be kept."""
        if len(tokens) < MIN_REUSE or not _keepable(layers) or not _holds(layers, len(tokens)):
            return False
        kept = np.asarray(tokens, np.int32)
        snapshot = Snapshot(kept, layers)
        if snapshot.bytes > self.budget_bytes:
            return False
        self._snapshots = [old for old in self._snapshots if not _replaces(snapshot, old)]
        self._snapshots.append(snapshot)
        while self.bytes > self.budget_bytes:
            self._snapshots.pop(0)
        return True

    def clear(self) -> None:
        self._snapshots.clear()


def divisible(layers: Layers) -> bool:
    """Whether one snapshot of these caches serves every prefix of it."""
    return all(type(layer) is KVCache for layer in layers)


def _replaces(new: Snapshot, old: Snapshot) -> bool:
    if len(old.tokens) == len(new.tokens):
        return bool(np.array_equal(old.tokens, new.tokens))
    return new.divisible and len(old.tokens) < len(new.tokens) and bool(np.array_equal(old.tokens, new.tokens[: len(old.tokens)]))


def _keepable(layers: Layers) -> bool:
    return all(hasattr(layer, "from_state") and not layer.empty() for layer in layers)


def _holds(layers: Layers, length: int) -> bool:
    """Whether every layer that counts its tokens counts `length`: a snapshot that is off by one would be silently wrong."""
    offsets = [layer.offset for layer in layers if isinstance(getattr(layer, "offset", None), int)]
    return bool(offsets) and all(offset == length for offset in offsets)


def _frozen_state(layer: Any) -> Any:
    if type(layer) is KVCache:
        keys, values, offset = layer.state
        return mx.contiguous(keys[..., :offset, :]), mx.contiguous(values[..., :offset, :]), offset
    return _copied(layer.state)


def _copied(state: Any) -> Any:
    """The same values behind array objects of their own: writing to one side leaves the other as it was."""
    return tree_map(lambda leaf: mx.array(leaf) if isinstance(leaf, mx.array) else leaf, state)


def _arrays(state: Any) -> list[mx.array]:
    match state:
        case mx.array():
            return [state]
        case list() | tuple():
            return [array for part in state for array in _arrays(part)]
        case dict():
            return [array for part in state.values() for array in _arrays(part)]
        case _:
            return []
