"""What the machine says of its memory, told without mlx."""

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


def test_without_nvidias_library_nothing_is_known_of_a_card() -> None:
    assert graphics_free_bytes("libno-such-thing.so.1") is None
