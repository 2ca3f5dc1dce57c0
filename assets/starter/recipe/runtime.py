"""Loads mlx with a fast BLAS and opens a Starter as float32 on the CPU, as the app does.

Owns the order of imports and dequantising at load. Needs no torch.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

OPENBLAS = ("/usr/lib/x86_64-linux-gnu/openblas-pthread/libopenblas.so.0", "/usr/lib/aarch64-linux-gnu/openblas-pthread/libopenblas.so.0")


def preload_blas() -> bool:
    """Loads OpenBLAS before mlx, where it is installed."""
    for path in OPENBLAS:
        if Path(path).exists():
            ctypes.CDLL(path, ctypes.RTLD_GLOBAL)
            return True
    return False


def open_model(folder: Path) -> Any:
    """The model in float32, every quantised layer turned back into a plain one."""
    preload_blas()
    import mlx.core as mx
    from mlx.utils import tree_map
    from mlx_lm.utils import dequantize_model, load_model

    model, _ = load_model(folder)
    model = dequantize_model(model)
    model.update(tree_map(lambda a: a.astype(mx.float32), model.parameters()))
    mx.eval(model.parameters())
    return model
