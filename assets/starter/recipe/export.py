"""Turns float shards into the shipped folder: mlx-lm names, quantised weights, configuration, chat template.

Owns names and quantisation. The tokenizer is already in the folder.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from runtime import preload_blas

preload_blas()
import mlx.core as mx  # noqa: E402
import mlx.nn as nn  # noqa: E402
from mlx.utils import tree_flatten  # noqa: E402
from mlx_lm.models.gpt_oss import Model, ModelArgs  # noqa: E402

EXPERTS = {
    "gate": "gate_proj.weight",
    "up": "up_proj.weight",
    "down": "down_proj.weight",
    "gate_bias": "gate_proj.bias",
    "up_bias": "up_proj.bias",
    "down_bias": "down_proj.bias",
}
ROOT = Path(__file__).parent.parent


def mlx_name(name: str) -> str:
    """A training name as mlx-lm spells it."""
    if name.startswith("lm_head"):
        return name
    head, dot, leaf = name.rpartition(".mlp.")
    if dot and leaf in EXPERTS:
        name = f"{head}.mlp.experts.{EXPERTS[leaf]}"
    return f"model.{name}"


def config_of(sizes: dict[str, Any], vocab: dict[str, int]) -> dict[str, Any]:
    """config.json, written without torch from the checkpoint's sizes."""
    kinds = ["full_attention" if i in sizes["full"] else "sliding_attention" for i in range(sizes["layers"])]
    rope = {
        "rope_type": "yarn",
        "factor": sizes["factor"],
        "original_max_position_embeddings": sizes["original"],
        "beta_fast": 32.0,
        "beta_slow": 1.0,
        "truncate": True,
    }
    return {
        "architectures": ["GptOssForCausalLM"],
        "model_type": "gpt_oss",
        "vocab_size": sizes["vocab"],
        "hidden_size": sizes["hidden"],
        "num_hidden_layers": sizes["layers"],
        "num_attention_heads": sizes["heads"],
        "num_key_value_heads": sizes["kv_heads"],
        "head_dim": sizes["head_dim"],
        "num_local_experts": sizes["experts"],
        "num_experts_per_tok": sizes["top"],
        "experts_per_token": sizes["top"],
        "intermediate_size": sizes["inner"],
        "sliding_window": sizes["window"],
        "layer_types": kinds,
        "rope_theta": int(sizes["theta"]),
        "rope_scaling": rope,
        "max_position_embeddings": int(sizes["factor"] * sizes["original"]),
        "initial_context_length": sizes["original"],
        "rms_norm_eps": sizes["eps"],
        "attention_bias": True,
        "hidden_act": "silu",
        "swiglu_limit": 7.0,
        "tie_word_embeddings": False,
        "attention_dropout": 0.0,
        "eos_token_id": stops(vocab),
        "pad_token_id": vocab["<|endoftext|>"],
    }


def stops(vocab: dict[str, int]) -> list[int]:
    """Where generation ends; never <|end|>."""
    return [vocab[t] for t in ("<|return|>", "<|call|>", "<|endoftext|>")]


def _load(path: Path) -> dict[str, mx.array]:
    loaded = mx.load(str(path))
    if not isinstance(loaded, dict):
        raise TypeError(f"{path} holds no named tensors")
    return loaded


def _json(path: Path, data: object) -> None:
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def build(shards: Path, out: Path, bits: int, group: int) -> None:
    """Reads the shards, quantises, writes the folder's files."""
    sizes = json.loads((shards / "sizes.json").read_text(encoding="utf-8"))
    tokenizer = json.loads((out / "tokenizer.json").read_text(encoding="utf-8"))
    vocab = tokenizer["model"]["vocab"] | {t["content"]: t["id"] for t in tokenizer["added_tokens"]}
    config = config_of(sizes, vocab)
    model = Model(ModelArgs.from_dict(config))
    weights = {mlx_name(k): v.astype(mx.float16) for f in sorted(shards.glob("float-*.safetensors")) for k, v in _load(f).items()}
    model.load_weights(list(weights.items()), strict=True)
    if bits:
        nn.quantize(
            model, group_size=group, bits=bits, class_predicate=lambda p, m: hasattr(m, "to_quantized") and not p.endswith("router")
        )
        config["quantization"] = config["quantization_config"] = {"group_size": group, "bits": bits, "mode": "affine"}
    mx.save_safetensors(str(out / "model.safetensors"), dict(tree_flatten(model.parameters())), metadata={"format": "mlx"})
    _json(out / "config.json", config)
    _json(
        out / "generation_config.json",
        {
            "eos_token_id": config["eos_token_id"],
            "pad_token_id": config["pad_token_id"],
            "do_sample": True,
            "temperature": 1.0,
            "repetition_penalty": 1.0,
        },
    )
    shutil.copyfile(Path(__file__).with_name("chat_template.jinja"), out / "chat_template.jinja")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT)
    parser.add_argument("--bits", type=int, default=8, help="0 keeps half precision")
    parser.add_argument("--group", type=int, default=64)
    args = parser.parse_args()
    build(args.shards, args.out, args.bits, args.group)
    total = sum(p.stat().st_size for p in args.out.iterdir() if p.is_file())
    print(f"{args.out}: {total / 1e6:.2f} MB")
