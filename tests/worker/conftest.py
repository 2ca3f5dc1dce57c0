"""The tiny models loaded once a session into this process; `prepare` runs before anything imports mlx."""

from pathlib import Path

import pytest

from mlx_harmony.records import LoadOptions
from mlx_harmony.worker.device import Device, prepare

DEVICE = prepare()

from mlx_harmony.worker.load import LoadedModel, load  # noqa: E402 (mlx may only be imported after prepare)


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
