"""Which base model an id names."""

import pytest

from mlx_harmony.models.family import family_of


@pytest.mark.parametrize(
    ("model_id", "family"),
    [
        ("mlx-community/Qwen3-0.6B-4bit", "Qwen3-0.6B"),
        ("Qwen/Qwen3-0.6B", "Qwen3-0.6B"),
        ("mlx-community/Qwen3-0.6B-Instruct-8bit", "Qwen3-0.6B-Instruct"),
        ("mlx-community/gpt-oss-20b-MXFP4-Q8", "gpt-oss-20b"),
        ("openai/gpt-oss-20b", "gpt-oss-20b"),
        ("someone/Llama-3.2-1B-Instruct-bf16-mlx", "Llama-3.2-1B-Instruct"),
        ("someone/Mistral-7B-v0.3-GGUF", "Mistral-7B-v0.3"),
        ("mlx-community/Qwen3-4B-4bit-DWQ", "Qwen3-4B"),
        ("starter", "starter"),
        ("4bit", "4bit"),
        ("-4bit", "-4bit"),
        ("", ""),
    ],
)
def test_quantisations_of_one_base_come_together(model_id: str, family: str) -> None:
    assert family_of(model_id) == family
