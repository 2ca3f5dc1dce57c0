"""Random models of a size that matters, built on disk as a hub would have them. Run `python -m benchmarks.models KIND FOLDER`.

`gauge`: a float32 Llama that takes about 5 ms a token on one core of a desktop CPU. Every token it writes is a piece of ASCII text and
none ends its answer, so that each token can be seen from outside. `qwen2`: the shape of Qwen2 0.5B in 4 bits with bf16 scales.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from tests.fixtures.models import LLAMA_SPECIALS, TEMPLATE, Weights, train_tokenizer

GAUGE: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 512,
    "intermediate_size": 1536,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "rms_norm_eps": 1e-5,
    "vocab_size": 4096,
    "max_position_embeddings": 32768,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "float32",
}
QWEN2: dict[str, Any] = {
    "model_type": "qwen2",
    "architectures": ["Qwen2ForCausalLM"],
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-6,
    "vocab_size": 151936,
    "max_position_embeddings": 32768,
    "rope_theta": 1000000.0,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
}
QUANTISATION = {"group_size": 64, "bits": 4}


def build_gauge(folder: Path, seed: int = 3) -> Path:
    """The gauge model, about 80 MB; its folder."""
    from safetensors.numpy import save_file

    tokenizer = train_tokenizer(LLAMA_SPECIALS, 384)
    draw = np.random.default_rng(seed)
    weights = _gauge_weights(draw, readable(tokenizer))
    _write(folder, GAUGE | _ends(tokenizer), tokenizer)
    save_file(weights, folder / "model.safetensors", metadata={"format": "mlx"})
    return folder


def build_qwen2(folder: Path, seed: int = 4) -> Path:
    """A random model of Qwen2 0.5B's shape in 4 bits, about 280 MB; its folder."""
    import mlx.core as mx
    import mlx.nn as nn
    from mlx.utils import tree_flatten, tree_map
    from mlx_lm.models.qwen2 import Model, ModelArgs

    tokenizer = train_tokenizer(LLAMA_SPECIALS, 384)
    mx.random.seed(seed)
    model = Model(ModelArgs.from_dict(QWEN2))
    model.update(tree_map(lambda leaf: leaf.astype(mx.bfloat16), model.parameters()))
    nn.quantize(model, **QUANTISATION)
    _write(folder, QWEN2 | _ends(tokenizer) | {"quantization": QUANTISATION}, tokenizer)
    mx.save_safetensors(str(folder / "model.safetensors"), dict(tree_flatten(model.parameters())), metadata={"format": "mlx"})
    return folder


KINDS = {"gauge": build_gauge, "qwen2": build_qwen2}


def readable(tokenizer: Tokenizer) -> list[int]:
    """The ids that are a piece of ASCII text with a letter in it."""
    pieces = ((token, tokenizer.decode([token])) for token in range(tokenizer.get_vocab_size()))
    return [token for token, piece in pieces if piece.isascii() and any(letter.isalpha() for letter in piece)]


def _gauge_weights(draw: np.random.Generator, spoken: list[int]) -> Weights:
    hidden, inner, vocabulary = GAUGE["hidden_size"], GAUGE["intermediate_size"], GAUGE["vocab_size"]
    keys = hidden * GAUGE["num_key_value_heads"] // GAUGE["num_attention_heads"]
    head = np.zeros((vocabulary, hidden), np.float32)
    head[spoken] = 3 * _matrix(draw, len(spoken), hidden)
    weights = {"model.embed_tokens.weight": _matrix(draw, vocabulary, hidden), "model.norm.weight": np.ones(hidden, np.float32)}
    for layer in range(GAUGE["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            weights[f"{at}{norm}.weight"] = np.ones(hidden, np.float32)
        for name, rows, columns in (("q", hidden, hidden), ("k", keys, hidden), ("v", keys, hidden), ("o", hidden, hidden)):
            weights[f"{at}self_attn.{name}_proj.weight"] = 2 * _matrix(draw, rows, columns)
        for name, rows, columns in (("gate", inner, hidden), ("up", inner, hidden), ("down", hidden, inner)):
            weights[f"{at}mlp.{name}_proj.weight"] = _matrix(draw, rows, columns)
    return weights | {"lm_head.weight": head}


def _matrix(draw: np.random.Generator, rows: int, columns: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    drawn: np.ndarray[Any, np.dtype[np.float32]] = (draw.standard_normal((rows, columns)) / np.sqrt(columns)).astype(np.float32)
    return drawn


def _ends(tokenizer: Tokenizer) -> dict[str, int | None]:
    return {"bos_token_id": tokenizer.token_to_id("<s>"), "eos_token_id": tokenizer.token_to_id("</s>")}


def _write(folder: Path, config: dict[str, Any], tokenizer: Tokenizer) -> None:
    """Everything but the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=1), "utf-8")
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "bos_token": "<s>",
        "eos_token": "</s>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    (folder / "chat_template.jinja").write_text(TEMPLATE, "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.models", description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    print(KINDS[args.kind](args.folder))


if __name__ == "__main__":
    main()
