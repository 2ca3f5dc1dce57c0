"""What the machine says of its memory, told without mlx."""

import ctypes
from typing import Any

import pytest

from mlx_harmony.models.memory import graphics_free_bytes, wired_limit_bytes

GB = 2**30


@pytest.mark.parametrize(
    ("memory", "set_mb", "limit"), [(16, 0, 16 * GB * 2 // 3), (64, 0, 48 * GB), (64, 60_000, 60_000 * 2**20), (8, 60_000, 8 * GB)]
)
def test_a_macs_gpu_keeps_a_part_of_its_memory_unless_its_owner_says_otherwise(memory: int, set_mb: int, limit: int) -> None:
    assert wired_limit_bytes(memory * GB, set_mb) == limit


def test_a_machine_without_a_mac_s_settings_still_has_an_answer() -> None:
    assert wired_limit_bytes() > 0


class Nvml:
    """NVIDIA's library as far as it is asked: two cards, the second found by its name too."""

    def __init__(self, code: int = 0) -> None:
        self.code = code
        self.open = 0

    def nvmlInit_v2(self) -> int:
        self.open += 1
        return self.code

    def nvmlShutdown(self) -> int:
        self.open -= 1
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index: Any, card: Any) -> int:
        card._obj.value = 1 + index.value
        return 0 if index.value < 2 else 2

    def nvmlDeviceGetHandleByUUID(self, name: bytes, card: Any) -> int:
        card._obj.value = 2
        return 0 if name == b"GPU-second" else 2

    def nvmlDeviceGetMemoryInfo(self, card: Any, told: Any) -> int:
        told._obj.free = card.value * GB
        return 0


@pytest.mark.parametrize(
    ("visible", "free"), [(None, GB), ("0", GB), ("1,0", 2 * GB), ("GPU-second", 2 * GB), ("7", None), ("", None), ("nonsense", None)]
)
def test_the_card_that_mlx_takes_is_the_one_that_is_asked(visible: str | None, free: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    nvml = Nvml()
    assert graphics_free_bytes(lambda _name: nvml) == free
    assert nvml.open == 0


def test_without_nvidias_library_or_driver_nothing_is_known_of_a_card() -> None:
    assert graphics_free_bytes(lambda _name: ctypes.CDLL("libno-such-thing.so.1")) is None
    assert graphics_free_bytes(lambda _name: Nvml(code=9)) is None
