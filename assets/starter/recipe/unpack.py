"""Turns the shipped folder back into float shards, so that a training can go on from what it knows (`train.py --init`).

Owns the way back of export.py. What the 8 bits have rounded off stays off.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import export
from runtime import preload_blas

preload_blas()
import mlx.core as mx  # noqa: E402

SHARD = "float-0.safetensors"


def training_name(name: str) -> str:
    """A name of mlx-lm's as the training spells it."""
    name = name.removeprefix("model.")
    for ours, theirs in export.EXPERTS.items():
        name = name.replace(f".mlp.experts.{theirs}", f".mlp.{ours}")
    return name


def sizes_of(config: dict[str, Any]) -> dict[str, Any]:
    """The sizes that train.py writes beside its shards, from config.json."""
    rope = config["rope_scaling"]
    return {
        "vocab": config["vocab_size"],
        "hidden": config["hidden_size"],
        "layers": config["num_hidden_layers"],
        "heads": config["num_attention_heads"],
        "kv_heads": config["num_key_value_heads"],
        "head_dim": config["head_dim"],
        "experts": config["num_local_experts"],
        "top": config["num_experts_per_tok"],
        "inner": config["intermediate_size"],
        "window": config["sliding_window"],
        "theta": float(config["rope_theta"]),
        "factor": float(rope["factor"]),
        "original": rope["original_max_position_embeddings"],
        "full": [i for i, kind in enumerate(config["layer_types"]) if kind == "full_attention"],
        "eps": config["rms_norm_eps"],
    }


def weights(folder: Path, config: dict[str, Any]) -> dict[str, mx.array]:
    """Every tensor in half precision, under its training name."""
    packed = export._load(folder / "model.safetensors")
    how = config.get("quantization", {})
    out: dict[str, mx.array] = {}
    for name, tensor in packed.items():
        head, _, leaf = name.rpartition(".")
        if leaf in ("scales", "biases") and f"{head}.scales" in packed:
            continue
        if f"{head}.scales" in packed and leaf == "weight":
            tensor = mx.dequantize(tensor, packed[f"{head}.scales"], packed[f"{head}.biases"], how["group_size"], how["bits"])
        out[training_name(name)] = tensor.astype(mx.float16)
    return out


def unpack(folder: Path, out: Path) -> None:
    """Writes one shard and the sizes."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    out.mkdir(parents=True, exist_ok=True)
    mx.save_safetensors(str(out / SHARD), weights(folder, config))
    (out / "sizes.json").write_text(json.dumps(sizes_of(config)), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", type=Path, default=export.ROOT)
    args = parser.parse_args()
    unpack(args.model, args.out)
