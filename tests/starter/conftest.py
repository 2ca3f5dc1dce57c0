"""Puts the Starter's recipe on the path and opens the shipped model once."""

from __future__ import annotations

import base64
import hashlib
import sys
from pathlib import Path
from typing import Any

import pytest

STARTER = Path(__file__).parents[2] / "assets" / "starter"
sys.path.insert(0, str(STARTER / "recipe"))


@pytest.fixture(scope="session")
def starter() -> Path:
    """The shipped folder."""
    if not (STARTER / "model.safetensors").exists():
        pytest.skip("the Starter's weights are not built in this checkout")
    return STARTER


@pytest.fixture(scope="session")
def runner(starter: Path) -> Any:
    """The shipped model, in float32."""
    import evaluate

    return evaluate.Runner(starter)


@pytest.fixture(scope="session")
def harmony(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """openai-harmony's encoding, its vocabulary rebuilt from splintr: no network."""
    import splintr

    folder = tmp_path_factory.mktemp("tiktoken")
    vocabulary = splintr.Tokenizer.from_pretrained("o200k_base")
    lines = [base64.b64encode(vocabulary.decode_bytes([i])) + b" " + str(i).encode() + b"\n" for i in range(199998)]
    data = b"".join(lines)
    assert hashlib.sha256(data).hexdigest().startswith("446a9538")
    (folder / "o200k_base.tiktoken").write_bytes(data)
    patch = pytest.MonkeyPatch()
    patch.setenv("TIKTOKEN_ENCODINGS_BASE", str(folder))
    from openai_harmony import HarmonyEncodingName, load_harmony_encoding

    yield load_harmony_encoding(HarmonyEncodingName.HARMONY_GPT_OSS)
    patch.undo()
