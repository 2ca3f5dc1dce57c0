"""What else than its weights a model's numbers depend on: the device, the types it computes in, and what computes. Knows no prompt."""

from importlib.metadata import version
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten

from mlx_harmony.models.memory import DeviceKind
from mlx_harmony.records import Numerics
from mlx_harmony.worker.device import is_quantised


def numerics(model: Any, kind: DeviceKind) -> Numerics:
    """As an answer's provenance keeps it. The device is named as far as mlx knows its name."""
    name = str(mx.device_info().get("device_name", "")).strip()
    return Numerics(device=f"{name} ({kind})" if name else kind, types=types_of(model), mlx=version("mlx"), mlx_lm=version("mlx-lm"))


def types_of(model: Any) -> str:
    """The types of its weights, as in `quantised bfloat16+uint32`."""
    kinds = sorted({str(leaf.dtype).rpartition(".")[2] for _, leaf in tree_flatten(model.parameters())})
    return f"{'quantised ' if is_quantised(model) else ''}{'+'.join(kinds)}"
