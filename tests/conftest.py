"""Fixtures every room uses: the tiny models, built once a session."""

from pathlib import Path

import pytest

from tests.fixtures.models import build_gpt_oss, build_llama


@pytest.fixture(scope="session")
def fx1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """FX1: a tiny random Llama with a Jinja template."""
    return build_llama(tmp_path_factory.mktemp("models") / "tiny-llama")


@pytest.fixture(scope="session")
def fx2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """FX2: a tiny random gpt_oss that speaks Harmony; its folder's name does not say so."""
    return build_gpt_oss(tmp_path_factory.mktemp("models") / "tiny-windowed")
