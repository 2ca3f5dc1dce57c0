"""Tokens multiplied by their experts in tiles give what they gave one by one, however they are spread."""

import mlx.core as mx
import mlx.nn as nn
import pytest
from mlx_lm.models.switch_layers import SwitchGLU, SwitchLinear

from mlx_harmony.worker import expert_tiles
from mlx_harmony.worker.expert_tiles import TILE, TiledSwitchLinear, tile_experts, tiles_of
from mlx_harmony.worker.load import LoadedModel
from tests.worker.company import kinds_kept

SPREAD = {
    "evenly": [at % 4 for at in range(70)],
    "to one": [2] * 64,
    "to the first and the last": [0] * 40 + [3] * 33,
    "one alone": [0] * 50 + [1] + [3] * 16,
    "whole tiles": [0] * 16 + [1] * 32 + [2] * 16,
}


@pytest.fixture
def multiplied(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes that are multiplied by experts."""
    shapes: list[tuple[int, ...]] = []
    gather_mm = mx.gather_mm

    def noting(a: mx.array, b: mx.array, **more: object) -> mx.array:
        shapes.append(a.shape)
        return gather_mm(a, b, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(mx, "gather_mm", noting)
    return shapes


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("spread", SPREAD)
def test_a_layer_gives_what_it_gave(spread: str, bias: bool, multiplied: list[tuple[int, ...]]) -> None:
    indices = mx.array(sorted(SPREAD[spread]), mx.uint32)
    x = mx.random.normal((indices.size, 1, 24))
    layer = SwitchLinear(24, 40, 4, bias=bias)
    if bias:
        layer.bias = mx.random.normal((4, 40))
    before = layer(x, indices, sorted_indices=True)
    assert tile_experts(nn.Sequential(layer)) == 1
    after = layer(x, indices, sorted_indices=True)
    assert after.shape == before.shape
    assert mx.allclose(after, before, atol=1e-5)
    assert [shape[1] for shape in multiplied] == [1, TILE]


@pytest.mark.parametrize("spread", SPREAD)
def test_no_tile_holds_tokens_of_two_experts_and_none_is_left_out(spread: str) -> None:
    indices = sorted(SPREAD[spread])
    tiles = tiles_of(mx.array(indices, mx.uint32), 4)
    slots, experts = tiles.slots.tolist(), tiles.experts.tolist()
    assert len(set(slots)) == len(indices)  # type: ignore[arg-type]
    assert max(slots) < tiles.total * TILE == len(experts) * TILE  # type: ignore[type-var,arg-type]
    assert [experts[slot // TILE] for slot in slots] == indices  # type: ignore[union-attr,index]


@pytest.mark.parametrize(("rows", "in_order"), [(15, True), (64, False)])
def test_few_tokens_and_those_in_no_order_go_one_by_one(rows: int, in_order: bool, multiplied: list[tuple[int, ...]]) -> None:
    layer = SwitchLinear(8, 8, 4, bias=False)
    tile_experts(nn.Sequential(layer))
    indices = mx.random.randint(0, 4, (rows,)).astype(mx.uint32)
    layer(mx.random.normal((rows, 1, 8)), mx.sort(indices) if in_order else indices, sorted_indices=in_order)
    assert multiplied == [(rows, 1, 8)]


def test_a_block_of_experts_gives_what_it_gave(multiplied: list[tuple[int, ...]]) -> None:
    block = SwitchGLU(24, 32, 4)
    x, indices = mx.random.normal((1, 45, 24)), mx.random.randint(0, 4, (1, 45, 2)).astype(mx.uint32)
    before = block(x, indices)
    assert tile_experts(block) == 3
    assert mx.allclose(block(x, indices), before, atol=1e-5)
    assert all(type(layer) is TiledSwitchLinear for layer in (block.gate_proj, block.up_proj, block.down_proj))
    assert len(multiplied) == 6 and {shape[1] for shape in multiplied[3:]} == {TILE}


def test_gpt_oss_gives_what_it_gave(gpt_oss: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expert_tiles, "WORTH", 0)
    tokens = mx.array([[(at * 37) % 300 + 20 for at in range(90)]])
    before = gpt_oss.model(tokens)
    mx.eval(before)
    with kinds_kept(gpt_oss.model):
        assert tile_experts(gpt_oss.model) > 0
        assert mx.allclose(gpt_oss.model(tokens), before, atol=1e-4)
