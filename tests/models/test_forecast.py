"""How much memory a model will need, told from its files: any kind of weights, any kind of attention, and nothing that breaks it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from mlx_harmony.models.anatomy import Anatomy, KvLayer, anatomy_of, kv_layers
from mlx_harmony.models.forecast import LEAST_CONTEXT, forecast, kv_bytes, longest_context, smallest, working_bytes
from mlx_harmony.models.memory import available_bytes, likely_device

PLAIN = {"num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 2, "hidden_size": 512, "vocab_size": 1000}
GIGABYTE = 10**9


def folder_of(folder: Path, tensors: dict[str, Any]) -> Path:
    save_file(tensors, folder / "model.safetensors")
    return folder


def anatomy(folder: Path, config: dict[str, Any] | None = None) -> Anatomy:
    found = anatomy_of(folder, config or PLAIN)
    assert found is not None
    return found


def test_plain_weights_count_as_they_lie(tmp_path: Path) -> None:
    found = anatomy(folder_of(tmp_path, {"a.weight": np.zeros((10, 20), np.float16), "b.bias": np.zeros(7, np.float32)}))
    assert (found.stored_bytes, found.numbers) == (400 + 28, 207)
    assert forecast(found, "metal", 100, GIGABYTE).weights == 428
    assert forecast(found, "cpu", 100, GIGABYTE).weights == 4 * 207


@pytest.mark.parametrize(("bits", "group"), [(4, 64), (8, 32), (6, 128)])
def test_packed_weights_count_as_what_they_stand_for(tmp_path: Path, bits: int, group: int) -> None:
    rows, columns = 16, 256
    tensors = {
        "a.weight": np.zeros((rows, columns * bits // 32), np.uint32),
        "a.scales": np.zeros((rows, columns // group), np.float16),
        "a.biases": np.zeros((rows, columns // group), np.float16),
        "norm.weight": np.zeros(columns, np.float16),
    }
    config = PLAIN | {"quantization": {"group_size": 7, "bits": bits, "a": {"group_size": group}}}
    found = anatomy(folder_of(tmp_path, tensors), config)
    assert found.numbers == rows * columns + columns
    assert found.stored_bytes == sum(tensor.nbytes for tensor in tensors.values())
    kept = forecast(found, "cpu", 100, 0)
    assert not kept.plain and kept.weights == tensors["a.weight"].nbytes + 4 * (2 * rows * columns // group + columns)
    assert forecast(found, "cpu", 100, 10 * GIGABYTE).weights == 4 * found.numbers


def test_experts_as_gpt_oss_was_published_are_four_bits_each(tmp_path: Path) -> None:
    tensors = {
        "mlp.experts.down_proj_blocks": np.zeros((2, 8, 4, 16), np.uint8),
        "mlp.experts.down_proj_scales": np.zeros((2, 8, 4), np.uint8),
    }
    found = anatomy(folder_of(tmp_path, tensors))
    assert found.numbers == 2 * 2 * 8 * 4 * 16 and found.stored_bytes == 1024 + 64


@pytest.mark.parametrize(
    ("config", "layers"),
    [
        (PLAIN, (KvLayer(numbers=2 * 2 * 64),) * 4),
        (PLAIN | {"head_dim": 128, "num_key_value_heads": None}, (KvLayer(numbers=2 * 8 * 128),) * 4),
        (
            PLAIN | {"layer_types": ["sliding_attention", "full_attention"] * 2, "sliding_window": 128},
            (KvLayer(numbers=256, window=128), KvLayer(numbers=256)) * 2,
        ),
        (PLAIN | {"layer_types": ["conv", "full_attention", "conv", "linear_attention"]}, (KvLayer(numbers=256),)),
        (PLAIN | {"full_attn_idxs": [1, 3]}, (KvLayer(numbers=256),) * 2),
        (PLAIN | {"hybrid_override_pattern": "M-*M"}, (KvLayer(numbers=256),)),
        (PLAIN | {"full_attention_interval": 4}, (KvLayer(numbers=256),)),
        (PLAIN | {"kv_lora_rank": 512, "qk_rope_head_dim": 64}, (KvLayer(numbers=576),) * 4),
        ({"num_hidden_layers": 4, "num_heads": 4}, ()),
        (PLAIN | {"num_hidden_layers": "many"}, ()),
    ],
)
def test_keys_and_values_are_told_from_the_config(config: dict[str, Any], layers: tuple[KvLayer, ...]) -> None:
    assert tuple(kv_layers(config)) == layers


def test_a_sliding_window_bounds_what_its_layers_keep() -> None:
    found = Anatomy(plain_bytes=10, plain_numbers=5, kv=(KvLayer(numbers=100), KvLayer(numbers=100, window=50)))
    assert kv_bytes(found, "cpu", 1000) == 4 * 100 * (1000 + 50)
    assert kv_bytes(found, "cuda", 1000) == 2 * 100 * (1000 + 50)


def test_the_longest_context_is_the_longest_that_fits() -> None:
    found = Anatomy(plain_bytes=10, plain_numbers=5, kv=(KvLayer(numbers=1000),))
    free = working_bytes(found, "metal") + 2000 * 50_000
    assert longest_context(found, "metal", 40_000, free) == 40_000
    assert longest_context(found, "metal", 100_000, free) == 50_000 // LEAST_CONTEXT * LEAST_CONTEXT
    assert longest_context(found, "metal", 100_000, 0) == LEAST_CONTEXT
    assert longest_context(found, "metal", 500, 0) == 500


def test_on_cuda_there_is_room_for_one_layers_unpacked_experts() -> None:
    packed = Anatomy(packed_bytes=10, packed_numbers=20, experts_numbers=10**6)
    assert working_bytes(packed, "cuda") - working_bytes(packed, "metal") == 6 * 10**6


def test_the_least_is_less_than_any_other(tmp_path: Path) -> None:
    found = anatomy(folder_of(tmp_path, {"a.weight": np.zeros((100, 200), np.float16)}))
    for context, free in ((LEAST_CONTEXT, 10 * GIGABYTE), (8192, 0), (8192, 10 * GIGABYTE)):
        assert smallest(found, "cpu").total <= forecast(found, "cpu", context, free).total


@pytest.mark.parametrize("damage", [b"", b"\x08", b"\xff" * 16, b"\x02\0\0\0\0\0\0\0[]", (10**7).to_bytes(8, "little") + b"{}"])
def test_weights_that_make_no_sense_are_told_as_unknown(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(damage)
    assert anatomy_of(tmp_path, PLAIN) is None


def test_shapes_that_make_no_sense_are_left_out(tmp_path: Path) -> None:
    odd = [{"dtype": "F32", "shape": shape} for shape in ([-1], [2**60], ["x"], None, [True], [2**30] * 40)]
    header = json.dumps(
        {f"t{at}": each for at, each in enumerate([*odd, {"dtype": "odd", "shape": [1]}, 5])} | {"good": {"dtype": "F32", "shape": [3]}}
    )
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header.encode())
    assert anatomy(tmp_path).stored_bytes == 12


def test_a_containers_limit_counts_less_the_files_it_could_give_up(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9000000 kB\nMemAvailable:    4000000 kB\n")
    assert available_bytes(meminfo, tmp_path / "none") == 4_096_000_000
    for name, text in (
        ("memory.max", "3000000000"),
        ("memory.current", "2500000000"),
        ("memory.stat", "anon 5\nactive_file 100\ninactive_file 400\n"),
    ):
        (tmp_path / name).write_text(text)
    assert available_bytes(meminfo, tmp_path) == 500_000_500
    (tmp_path / "memory.max").write_text("max")
    assert available_bytes(meminfo, tmp_path) == 4_096_000_000
    assert available_bytes() > 0 and likely_device() in ("cpu", "cuda", "metal")
