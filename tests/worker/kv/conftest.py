"""Models whose KV can be packed, loaded once a session."""

import pytest

from mlx_harmony.worker.load import LoadedModel


@pytest.fixture(scope="session")
def wide_models(llama: LoadedModel) -> dict[str, LoadedModel]:
    """All of them; they speak as FX1 does."""
    from tests.fixtures.wide import WIDE, build_wide

    return {name: llama._replace(model=build_wide(name, llama.card.vocabulary_size)) for name in (*WIDE, "mamba2")}


@pytest.fixture(params=("llama", "qwen3", "gpt_oss", "lfm2", "falcon_h1"))
def wide(request: pytest.FixtureRequest, wide_models: dict[str, LoadedModel]) -> LoadedModel:
    """One of them after another."""
    return wide_models[request.param]
