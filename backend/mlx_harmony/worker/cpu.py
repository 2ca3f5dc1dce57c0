"""What of a model's work a CPU does faster another way than mlx's own. Knows no requests."""

import mlx.nn as nn

from mlx_harmony.worker.attention import use_attention
from mlx_harmony.worker.device import Device
from mlx_harmony.worker.expert_tiles import tile_experts
from mlx_harmony.worker.few_rows import fill_rows, is_worth_it


def quicken(model: nn.Module, device: Device) -> None:
    """Have a loaded model compute as this device is quick with it; other devices than a CPU are left alone."""
    if device.kind != "cpu":
        return
    use_attention()
    if device.blas:
        tile_experts(model)
        if is_worth_it():
            fill_rows(model)
