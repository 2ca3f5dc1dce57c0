"""Fixtures every room uses: the tiny models, built once a session."""

from pathlib import Path

import pytest

from mlx_harmony.worker.device import prepare
from tests.fixtures.models import build_gpt_oss, build_llama

# Before any test's module imports mlx: a BLAS that comes later is not bound to, and every model here would be 30 times slower.
prepare()


@pytest.fixture(scope="session")
def fx1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """FX1: a tiny random Llama with a Jinja template."""
    return build_llama(tmp_path_factory.mktemp("models") / "tiny-llama")


@pytest.fixture(scope="session")
def fx2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """FX2: a tiny random gpt_oss that speaks Harmony; its folder's name does not say so."""
    return build_gpt_oss(tmp_path_factory.mktemp("models") / "tiny-windowed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits on Chromium or on real processes is slow, and has two more chances: a busy machine starves it past any limit."""
    for item in items:
        if item.get_closest_marker("browser") or item.get_closest_marker("integration"):
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.flaky(reruns=2))
