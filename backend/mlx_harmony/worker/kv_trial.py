"""Whether a model can keep its keys and values in a form: told by its caches, then tried out. Refusals say which layers and why.

Two ways of reading the same few made-up tokens must agree: all at once, and one by one. An architecture that reaches into its caches
by itself, or masks them by itself, shows it there.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.cache import ArraysCache, ChunkedKVCache, KVCache, RotatingKVCache, make_prompt_cache

from mlx_harmony.errors import GenerationFailed, InvalidRequest
from mlx_harmony.worker.cache.layers import Layers, leaves
from mlx_harmony.worker.guard import guarded
from mlx_harmony.worker.kv import GROUP_SIZE, KvForm

TRIED = (1, 2, 3, 4, 5, 6, 7)
WINDOW = 4
"""Of a window as many are tried, so that the tried tokens go beyond it."""
TOLERANCE = 0.1
"""How far logits may differ, relative to their size: rounding is far below it, wrong masks far above."""
GROUPS = (128, 64, 32)


def check_form(model: nn.Module, form: KvForm) -> None:
    """Raise InvalidRequest where the model cannot keep its KV in that form. Costs a few short forward passes."""
    if form.plain:
        return
    made = list(leaves(make_prompt_cache(model)))
    if form.bits:
        _check_bits(model, form, made)
    else:
        _check_window(made)
    agreeing: list[bool] = []
    guarded(lambda: agreeing.append(_agrees(model, tried_as(form))), GenerationFailed)
    if agreeing != [True]:
        param = "kv_bits" if form.bits else "max_kv_size"
        raise InvalidRequest(
            f"{param} cannot be used with this model: it handles its KV in a way of its own, and answers otherwise with it.",
            hint=f"Leave {param} unset for this model.",
            param=param,
        )


def tried_as(form: KvForm) -> KvForm:
    """The form that stands for this one and others like it: where a model can have the one, it can have all of them."""
    return form._replace(start=0) if form.bits else form._replace(window=min(form.window, WINDOW), keep=min(form.keep, 2))


def _check_bits(model: nn.Module, form: KvForm, made: Layers) -> None:
    plain = [leaf for leaf in made if type(leaf) is KVCache]
    if not plain:
        windows = sorted({leaf.max_size for leaf in made if type(leaf) is RotatingKVCache})
        why = (
            f"its {len(made)} layers have sliding windows of {windows[0]} tokens, which rotate and cannot be packed"
            if windows
            else f"its {len(made)} layers keep {_kinds(made)} instead of keys and values"
        )
        hint = "Leave kv_bits unset: this model's memory does not grow with the chat."
        raise InvalidRequest(f"kv_bits has nothing to pack in this model: {why}.", hint=hint, param="kv_bits")
    width = next((width for width in widths(model) if width % form.group_size), None)
    if width is not None:
        fitting = fitting_groups(model)
        hint = f"Set kv_group_size to {' or '.join(map(str, fitting))}." if fitting else "Leave kv_bits unset for this model."
        raise InvalidRequest(
            f"kv_group_size {form.group_size} does not fit this model: each head has {width} numbers, which groups must divide.",
            hint=hint,
            param="kv_group_size" if fitting else "kv_bits",
        )


def fitting_groups(model: nn.Module) -> list[int]:
    """The sizes of groups that divide every head of the model, the largest first."""
    return [size for size in GROUPS if not any(width % size for width in widths(model))]


def usual_group(model: nn.Module) -> int:
    """GROUP_SIZE, or a smaller one where the model's heads are narrow."""
    return next((size for size in fitting_groups(model) if size <= GROUP_SIZE), GROUP_SIZE)


def _check_window(made: Layers) -> None:
    odd = [leaf for leaf in made if type(leaf) not in (KVCache, RotatingKVCache, ArraysCache, ChunkedKVCache)]
    if odd:
        raise InvalidRequest(
            f"max_kv_size cannot be used with this model: {len(odd)} of its layers keep {_kinds(odd)}, which has no window.",
            hint="Leave max_kv_size unset, or limit the chat by max_context_tokens.",
            param="max_kv_size",
        )
    if not any(type(leaf) in (KVCache, RotatingKVCache) for leaf in made):
        raise InvalidRequest(
            f"max_kv_size has nothing to limit in this model: its {len(made)} layers keep {_kinds(made)} instead of keys and values.",
            hint="Leave max_kv_size unset: this model's memory does not grow with the chat.",
            param="max_kv_size",
        )


def _kinds(made: Layers) -> str:
    """What caches are called, the most frequent first."""
    names = {ArraysCache: "a state of fixed size"}
    return " and ".join(names.get(kind, kind.__name__) for kind, _ in Counter(map(type, made)).most_common())


def widths(model: nn.Module) -> list[int]:
    """How many numbers each key and each value has, of the layers that would be packed."""
    made: Layers = list(make_prompt_cache(model))
    mx.eval(model(mx.array(TRIED[:2])[None], cache=made))
    return sorted({width for leaf in leaves(made) if type(leaf) is KVCache for width in _last(leaf)})


def _last(leaf: Any) -> Iterator[int]:
    yield from (array.shape[-1] for array in (leaf.keys, leaf.values) if array is not None)


def _agrees(model: nn.Module, form: KvForm) -> bool:
    whole = model(mx.array(TRIED)[None], cache=form.fresh(model))[:, -1].astype(mx.float32)
    layers = form.fresh(model)
    for token in TRIED:
        stepped = model(mx.array([[token]]), cache=layers)[:, -1].astype(mx.float32)
        mx.eval(stepped)
    off = mx.linalg.norm(whole - stepped) / mx.linalg.norm(stepped)
    return bool(float(off) < TOLERANCE)
