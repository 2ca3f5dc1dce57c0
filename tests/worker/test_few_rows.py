"""Few rows are filled up where a BLAS is quicker so, and give what they gave."""

import mlx.core as mx
import mlx.nn as nn
import pytest
from mlx.utils import tree_map

from mlx_harmony.worker import few_rows
from mlx_harmony.worker.few_rows import FilledEmbedding, FilledLinear, fill_rows, filled, unfilled
from mlx_harmony.worker.load import LoadedModel
from tests.worker.company import kinds_kept


@pytest.mark.parametrize(
    ("rows", "full"),
    [(1, None), (3, None), (4, 16), (12, 16), (16, None), (19, None), (20, 32), (31, 32), (160, None), (155, 160), (300, None)],
)
def test_rows_become_a_full_number_where_that_is_quicker(rows: int, full: int | None) -> None:
    x = mx.random.normal((rows, 8))
    many = filled(x)
    assert (None if many is None else many.shape) == (None if full is None else (full, 8))
    assert many is None or mx.array_equal(unfilled(many, x), x)


@pytest.mark.parametrize("shape", [(12, 1, 8), (1, 12, 8), (3, 4, 8), (5, 8)])
@pytest.mark.parametrize("bias", [True, False])
def test_layers_give_what_they_gave(shape: tuple[int, ...], bias: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(few_rows, "LARGE", 0)
    plain = nn.Sequential(nn.Linear(8, 24, bias=bias))
    embedding = nn.Sequential(nn.Embedding(40, 8))
    x = mx.random.normal(shape)
    before = plain(x), embedding.layers[0].as_linear(x)
    assert (fill_rows(plain), fill_rows(embedding)) == (1, 1)
    assert (type(plain.layers[0]), type(embedding.layers[0])) == (FilledLinear, FilledEmbedding)
    after = plain(x), embedding.layers[0].as_linear(x)
    for was, is_ in zip(before, after, strict=True):
        assert was.shape == is_.shape
        assert mx.allclose(was, is_, atol=1e-5)


def test_only_large_layers_in_float32_fill_rows_up() -> None:
    model = nn.Sequential(nn.Linear(1024, 1024), nn.Linear(1024, 1023, bias=False), nn.Linear(2048, 1024))
    model.layers[2].update(tree_map(lambda leaf: leaf.astype(mx.bfloat16), model.layers[2].parameters()))
    assert fill_rows(model) == 1
    assert [type(layer) for layer in model.layers] == [FilledLinear, nn.Linear, nn.Linear]
    assert fill_rows(model) == 0


def test_a_model_of_every_family_gives_what_it_gave(family: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(few_rows, "LARGE", 0)
    tokens = mx.array([[(at * 37) % 300 + 20 for at in range(23)]])
    before = family.model(tokens)
    mx.eval(before)
    with kinds_kept(family.model):
        assert fill_rows(family.model) > 0
        assert mx.allclose(family.model(tokens), before, atol=1e-4)


@pytest.mark.parametrize(("full_s", "worth"), [(0.7, True), (0.95, False)])
def test_it_is_worth_it_only_where_a_full_product_is_clearly_quicker(full_s: float, worth: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(few_rows, "_took", lambda x, _weight: full_s if x.shape[0] == few_rows.FULL else 1.0)
    assert few_rows.is_worth_it() is worth
