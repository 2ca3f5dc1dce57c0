"""Whether a model's caches go back rightly: told by their kinds, then tried out. Knows nothing of who asks.

Some architectures keep positions or states of their own beside their caches. A short made-up text is read straight, and again with wrong
tokens in between that are taken back; both must end in the same logits.
"""

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.cache import make_prompt_cache

from mlx_harmony.errors import GenerationFailed
from mlx_harmony.worker.agreement import TOLERANCE
from mlx_harmony.worker.cache.layers import Layers
from mlx_harmony.worker.guard import guarded
from mlx_harmony.worker.speculation.going_back import Before, can_go_back

READ, SAID, WRONG, NEXT = [1, 2, 3, 4, 5, 6, 7], [3, 1], [6, 5, 2], [4]


class Trial:
    """One model's. It is made when it is first asked for, and costs a few short passes."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._result: bool | None = None

    def passed(self) -> bool:
        """Whether guesses can be taken back."""
        if self._result is None:
            found: list[bool] = []
            guarded(lambda: found.append(_agree(self._model)), GenerationFailed)
            self._result = found == [True]
        return self._result


def _agree(model: nn.Module) -> bool:
    straight: Layers = list(make_prompt_cache(model))
    if not can_go_back(straight):
        return False
    _logits(model, straight, READ)
    for token in SAID:
        expected = _logits(model, straight, [token])
    layers: Layers = list(make_prompt_cache(model))
    _logits(model, layers, READ)
    before = Before(layers)
    ahead = model(mx.array([*SAID, *WRONG])[None], cache=layers)[0, len(SAID) - 1]
    if before.cuttable:
        before.cut(len(SAID))
        again = _logits(model, layers, NEXT)
    else:
        before.restore()
        again = _logits(model, layers, [*SAID, *NEXT])
    return _close(ahead, expected) and _close(again, _logits(model, straight, NEXT))


def _logits(model: nn.Module, layers: Layers, tokens: list[int]) -> mx.array:
    """What the model says after these tokens (V,)."""
    logits: mx.array = model(mx.array(tokens)[None], cache=layers)[0, -1]
    mx.eval(logits)
    return logits


def _close(one: mx.array, other: mx.array) -> bool:
    off = mx.linalg.norm((one - other).astype(mx.float32)) / mx.linalg.norm(other.astype(mx.float32))
    return bool(off < TOLERANCE)
