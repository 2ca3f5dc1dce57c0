"""The tiny models loaded once a session into this process; `prepare` runs before anything imports mlx."""

from pathlib import Path

import pytest

from mlx_harmony.records import LoadOptions
from mlx_harmony.worker.device import Device, prepare

DEVICE = prepare()

from mlx_harmony.worker.attention import use_attention  # noqa: E402 (mlx may only be imported after prepare)
from mlx_harmony.worker.load import LoadedModel, load  # noqa: E402

if DEVICE.kind == "cpu":
    use_attention()


@pytest.fixture(scope="session")
def device() -> Device:
    return DEVICE


@pytest.fixture(scope="session")
def llama(fx1: Path) -> LoadedModel:
    """FX1, loaded."""
    return load(LoadOptions(path=str(fx1)), DEVICE, lambda _stage, _fraction: None)


@pytest.fixture(scope="session")
def gpt_oss(fx2: Path) -> LoadedModel:
    """FX2, loaded: sliding windows of 16 tokens."""
    return load(LoadOptions(path=str(fx2)), DEVICE, lambda _stage, _fraction: None)


FAMILIES = ("llama", "qwen3", "gpt_oss", "mamba2", "lfm2", "falcon_h1")
"""Plain KV twice, sliding windows, state spaces, and two hybrids: layers of both kinds, and both kinds in each layer."""


@pytest.fixture(scope="session")
def families(llama: LoadedModel, gpt_oss: LoadedModel) -> dict[str, LoadedModel]:
    """A tiny random model for every family of caches; those without a folder speak as FX1 does."""
    from tests.fixtures.architectures import MAKERS, build

    made = {name: llama._replace(model=build(name, llama.card.vocabulary_size)) for name in MAKERS}
    return {"llama": llama, "gpt_oss": gpt_oss, **made}


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest, families: dict[str, LoadedModel]) -> LoadedModel:
    """One of them after another."""
    return families[request.param]
