"""Attention on a CPU gives what mlx gives, for every form of heads, masks and sinks, whole or in parts beside each other."""

import itertools

import mlx.core as mx
import pytest

from mlx_harmony.worker import attention
from mlx_harmony.worker.attention import attend
from mlx_harmony.worker.load import LoadedModel

HEADS = {"shared by four": (8, 2), "shared by all": (4, 1), "shared by two of six": (6, 3), "each its own": (4, 4)}
WIDTH = 16


@pytest.fixture(params=["whole", "in parts"])
def parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether what is small is worth a second core."""
    if request.param == "in parts":
        monkeypatch.setattr(attention, "MANY_KEYS", 0)
        monkeypatch.setattr(attention, "MANY_SCORES", 0)
        monkeypatch.setattr(attention, "BLOCK", 5)
    return str(request.param)


def drawn(batch: int, heads: int, shared: int, length: int, keys: int) -> tuple[mx.array, mx.array, mx.array]:
    """Queries, and keys and values as a cache holds them: with room for more behind them."""
    mx.random.seed(batch + 10 * heads + 100 * length + keys)
    held = [mx.random.normal((batch, shared, keys + 9, WIDTH))[:, :, :keys] for _ in range(2)]
    return mx.random.normal((batch, heads, length, WIDTH)), held[0], held[1]


def masks(batch: int, heads: int, length: int, keys: int) -> dict[str, mx.array | str | None]:
    """Every kind of mask a model or a cache makes."""
    causal = mx.arange(keys)[None] <= keys - length + mx.arange(length)[:, None]
    padded = mx.arange(keys) >= mx.arange(batch)[:, None, None, None] * 2
    window = causal & (mx.arange(keys)[None] > keys - length + mx.arange(length)[:, None] - 7)
    return {
        "none": None,
        "causal": "causal",
        "padded": padded & causal,
        "window": window,
        "added": mx.where(window, 0.0, -5.0),
        "added by head": mx.random.normal((1, heads, length, keys)),
        "by head": mx.random.normal((batch, heads, length, keys)) > -1.0,
    }


def theirs(q: mx.array, k: mx.array, v: mx.array, mask: mx.array | str | None, sinks: mx.array | None) -> mx.array:
    return attention._mlx(q, k, v, scale=0.3, mask=mask, sinks=sinks)


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize("sunk", [False, True], ids=["no sinks", "sinks"])
@pytest.mark.parametrize("mask", masks(1, 1, 1, 1))
@pytest.mark.parametrize("form", HEADS)
def test_it_is_what_mlx_computes(form: str, mask: str, sunk: bool) -> None:
    heads, shared = HEADS[form]
    sinks = mx.random.normal((heads,)) if sunk else None
    for batch, length, keys in ((1, 1, 1), (1, 1, 40), (3, 1, 33), (1, 12, 40), (2, 17, 17)):
        q, k, v = drawn(batch, heads, shared, length, keys)
        shown = masks(batch, heads, length, keys)[mask]
        ours = attend(q, k, v, scale=0.3, mask=shown, sinks=sinks)
        assert ours.shape == (batch, heads, length, WIDTH)
        assert mx.allclose(ours, theirs(q, k, v, shown, sinks), atol=1e-5), (batch, length, keys)


def test_tokens_of_a_chunk_that_see_few_keys_are_not_multiplied_by_those_behind_them(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def noting(q: mx.array, k: mx.array, v: mx.array, **more: object) -> mx.array:
        seen.append(k.shape[2])
        return mlx(q, k, v, **more)

    mlx = attention._mlx
    monkeypatch.setattr(attention, "_mlx", noting)
    monkeypatch.setattr(attention, "MANY_SCORES", 0)
    monkeypatch.setattr(attention, "BLOCK", 4)
    attend(*drawn(1, 4, 2, 12, 30), scale=1.0, mask="causal")
    assert seen == [22, 26, 30]


@pytest.mark.usefixtures("parts")
def test_what_is_no_float32_is_left_to_mlx() -> None:
    q, k, v = (each.astype(mx.bfloat16) for each in drawn(2, 8, 2, 1, 40))
    ours = attend(q, k, v, scale=0.3)
    assert ours.dtype == mx.bfloat16
    assert mx.array_equal(ours, theirs(q, k, v, None, None))


@pytest.mark.usefixtures("parts")
def test_a_model_of_every_family_gives_what_it_gave(family: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlx_lm.models.cache import make_prompt_cache

    tokens = [(at * 37) % 300 + 20 for at in range(60)]

    def logits() -> list[mx.array]:
        """After a chunk, after another one, and after each of two tokens."""
        cache = make_prompt_cache(family.model)
        cuts = itertools.pairwise((0, 40, 58, 59, 60))
        return [family.model(mx.array(tokens[start:end])[None], cache=cache)[:, -1] for start, end in cuts]

    ours = logits()
    monkeypatch.setattr(mx.fast, "scaled_dot_product_attention", attention._mlx)
    for mine, other in zip(ours, logits(), strict=True):
        assert mx.allclose(mine, other, atol=1e-4)
