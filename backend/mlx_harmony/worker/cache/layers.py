"""What a KV cache is made of: layers that can be cut at any token, and layers whose state stands for exactly one length.

Plain and quantised KV can be cut, so they are kept in runs that prompts share. Sliding windows, state spaces and whatever else mlx-lm
has cannot: of those a state is kept after certain tokens. It knows mlx-lm's caches; nothing of tokens, budgets or files.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import CacheList, KVCache, QuantizedKVCache, RotatingKVCache
from numpy.typing import NDArray

from mlx_harmony.worker.cache.packed import PackedKVCache, WindowKVCache

Layers = list[Any]
"""The caches of all layers, as mlx-lm makes them."""

STEP = 256
"""mlx-lm grows a KV cache by so many tokens; what is handed out has room for the next ones already."""
CUT = (KVCache, QuantizedKVCache, PackedKVCache)
ROTATING = (RotatingKVCache, WindowKVCache)


class StateOf(NamedTuple):
    """What the layers that cannot be cut hold after one token: their arrays in order, and all else with a place for each array."""

    statics: list[Any]
    arrays: list[mx.array]


class Shape(NamedTuple):
    """One layer without its contents, so that it can be made again. `cut`: whether it can be cut; `bits` 0: not quantised."""

    kind: Any
    parts: tuple["Shape", ...] = ()
    group_size: int = 0
    bits: int = 0

    @property
    def cut(self) -> bool:
        return self.kind in CUT

    @property
    def words(self) -> str:
        inner = ",".join(part.words for part in self.parts) or (f"{self.bits}/{self.group_size}" if self.bits else "")
        return f"{self.kind.__name__}({inner})"


def shapes_of(layers: Layers) -> tuple[Shape, ...]:
    """The shape of each layer."""
    return tuple(_shape(layer) for layer in layers)


def kv_format(shapes: Sequence[Shape]) -> str:
    """All shapes as one text: caches of another text do not fit."""
    return ";".join(shape.words for shape in shapes)


def divisible(layers: Layers) -> bool:
    """Whether one reading of these caches serves every prefix of it."""
    return all(type(leaf) in CUT for leaf in leaves(layers))


def all_cut(shapes: Sequence[Shape]) -> bool:
    """The same of their shapes."""
    return all(shape.cut for shape in _leaf_shapes(shapes))


def keepable(layers: Layers) -> bool:
    """Whether every layer holds something and can be made again from its state."""
    return all(hasattr(leaf, "from_state") and not leaf.empty() for leaf in leaves(layers))


def holds(layers: Layers, length: int) -> bool:
    """Whether every layer that counts its tokens counts `length`: a snapshot that is off by one would be silently wrong."""
    offsets = [leaf.offset for leaf in leaves(layers) if isinstance(getattr(leaf, "offset", None), int)]
    return all(offset == length for offset in offsets)


def cut_arrays(layers: Layers) -> list[mx.array]:
    """Keys and values of each layer that can be cut, tokens on the last axis but one, with unused room after them."""
    return [array for leaf in leaves(layers) if type(leaf) in CUT for array in _kv_arrays(leaf)]


def state_of(layers: Layers) -> StateOf:
    """What the layers that cannot be cut hold now, without unused room, in array objects of its own."""
    arrays: list[mx.array] = []

    def taken(part: Any) -> Any:
        match part:
            case mx.array():
                arrays.append(mx.contiguous(part))
                return {"array": len(arrays) - 1}
            case list() | tuple():
                return [taken(inner) for inner in part]
            case None | bool() | int() | float() | str():
                return part
        raise TypeError(f"a cache's state holds {type(part).__name__}")

    statics = [taken(_compact(leaf)) for leaf in leaves(layers) if type(leaf) not in CUT]
    return StateOf(statics, arrays)


class Stretch(NamedTuple):
    """The arrays of a run, of which the first `length` tokens are wanted."""

    arrays: list[mx.array]
    length: int


def rebuilding(shapes: Sequence[Shape], runs: Sequence[Stretch], state: StateOf | None) -> Iterator[Any]:
    """Live caches from runs that follow one another and the state after the last, layer by layer; independent of what they came from.

    Nothing is copied before it is evaluated. Raises ValueError, IndexError or TypeError where the pieces are not those of such layers.
    """
    lengths, length = [run.length for run in runs], sum(run.length for run in runs)
    columns = (_joined(column, lengths) for column in zip(*(run.arrays for run in runs), strict=True))
    statics = iter(state.statics if state else [])

    def made(shape: Shape) -> Any:
        if shape.parts:
            return CacheList(*(made(part) for part in shape.parts))
        if shape.kind is KVCache:
            return KVCache.from_state((next(columns), next(columns), length))
        if shape.kind in (QuantizedKVCache, PackedKVCache):
            keys, values = (tuple(next(columns) for _ in range(3)) for _ in range(2))
            return shape.kind.from_state((keys, values, length, shape.group_size, shape.bits))
        return shape.kind.from_state(_filled(next(statics), state.arrays if state else []))

    try:
        for shape in shapes:
            yield made(shape)
    except StopIteration as error:
        raise ValueError("a layer is missing") from error


def rebuilt(shapes: Sequence[Shape], runs: Sequence[Stretch], state: StateOf | None) -> Layers:
    """The same, all layers at once."""
    return list(rebuilding(shapes, runs, state))


def run_fits(shapes: Sequence[Shape], arrays: Sequence[mx.array], length: int) -> bool:
    """Whether these are the arrays of a run of `length` tokens in such layers."""
    columns = sum(2 if leaf.kind is KVCache else 6 for leaf in _leaf_shapes(shapes) if leaf.cut)
    return len(arrays) == columns and all(array.ndim > 1 and array.shape[-2] == length for array in arrays)


def state_fits(shapes: Sequence[Shape], state: StateOf) -> bool:
    """Whether this is a state of such layers."""
    uncut = [leaf for leaf in _leaf_shapes(shapes) if not leaf.cut]
    try:
        for leaf, statics in zip(uncut, state.statics, strict=True):
            leaf.kind.from_state(_filled(statics, state.arrays))
    except (ValueError, TypeError, IndexError):
        return False
    return True


def as_bytes(array: mx.array) -> memoryview:
    """The bytes of an evaluated array; where the device shares its memory with us, without a copy, and from any thread."""
    values: Any = np.array(array, copy=False)
    return memoryview(values).cast("B") if array.size else memoryview(b"")


def raw(array: mx.array) -> mx.array:
    """The array in a type that numpy has: bfloat16 as the 16 bits it is made of."""
    return array.view(mx.uint16) if array.dtype == mx.bfloat16 else array


def from_bytes(data: memoryview, shape: tuple[int, ...], dtype: str) -> mx.array:
    """An array from its bytes. Raises ValueError or TypeError where they are not those of such an array."""
    kinds: dict[str, Any] = {"bfloat16": np.uint16, "bool": np.bool_}
    values: NDArray[Any] = np.frombuffer(data, np.dtype(kinds.get(dtype, dtype))).reshape(shape)
    array = mx.array(values)
    return array.view(mx.bfloat16) if dtype == "bfloat16" else array


def dtype_name(array: mx.array) -> str:
    return str(array.dtype).rpartition(".")[2]


def _shape(layer: Any) -> Shape:
    kind = type(layer)
    if kind is CacheList:
        return Shape(kind, tuple(_shape(part) for part in layer.caches))
    if kind is QuantizedKVCache:
        return Shape(kind, (), layer.group_size, layer.bits)
    if kind is PackedKVCache:
        return Shape(kind, (), layer.packed.group_size, layer.packed.bits)
    return Shape(kind, (), layer.max_size if kind in ROTATING else 0)


def _leaf_shapes(shapes: Sequence[Shape]) -> Iterator[Shape]:
    for shape in shapes:
        yield from _leaf_shapes(shape.parts) if shape.parts else (shape,)


def leaves(layers: Sequence[Any]) -> Iterator[Any]:
    """Every cache, those in lists of caches one by one."""
    for layer in layers:
        if type(layer) is CacheList:
            yield from leaves(layer.caches)
        else:
            yield layer


def _kv_arrays(leaf: Any) -> list[mx.array]:
    return [leaf.keys, leaf.values] if type(leaf) is KVCache else [*leaf.keys, *leaf.values]


def _compact(leaf: Any) -> Any:
    """A layer's state less what it holds beyond its use."""
    if type(leaf) not in ROTATING:
        return leaf.state
    keys, values, offset, keep, size, at = leaf.state
    if offset < keys.shape[2]:
        return keys[..., :offset, :], values[..., :offset, :], offset, keep, size, at
    over = keys.shape[2] - size
    if at == keys.shape[2] and over > 0:
        # In order and longer than the window after a long chunk: mlx-lm's next step would drop the same tokens.
        kept = (mx.concatenate([part[..., :keep, :], part[..., over + keep :, :]], axis=2) for part in (keys, values))
        return *kept, offset, keep, size, size
    return leaf.state


def _joined(pieces: Sequence[mx.array], lengths: Sequence[int]) -> mx.array:
    """The first tokens of each piece end to end, with room up to the next step."""
    room = -sum(lengths) % STEP or STEP
    padding = mx.zeros((*pieces[0].shape[:-2], room, pieces[0].shape[-1]), pieces[0].dtype)
    whole = (piece if piece.shape[-2] == length else piece[..., :length, :] for piece, length in zip(pieces, lengths, strict=True))
    return mx.concatenate([*whole, padding], axis=-2)


def _filled(statics: Any, arrays: list[mx.array]) -> Any:
    """A layer's state as mlx-lm takes it, its arrays behind objects of their own: writing to one side leaves the other as it was."""
    match statics:
        case {"array": int(at)}:
            return mx.array(arrays[at])
        case list() | tuple():
            return [_filled(inner, arrays) for inner in statics]
    return statics


def evaluated(arrays: Sequence[mx.array]) -> int:
    """Evaluate them and say how many bytes they take."""
    mx.eval(list(arrays))
    return sum(array.nbytes for array in arrays)
