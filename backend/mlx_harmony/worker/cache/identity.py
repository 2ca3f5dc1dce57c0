"""Whose keys and values they are: everything a model's reading of tokens depends on, as one record. Opens files, no tensors.

Reading whole weight files would take longer than what it saves, so of each its size, time and samples of its contents count.
"""

import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlx.core as mx

from mlx_harmony.shelf.shelf import Identity
from mlx_harmony.worker.adapter import digest_of
from mlx_harmony.worker.cache.layers import Layers, kv_format, shapes_of
from mlx_harmony.worker.numerics import types_of
from mlx_harmony.worker.samples import sampled

FORMAT_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "chat_template.json", "special_tokens_map.json")


def identity_of(folder: str, model: Any, layers: Layers, format_name: str, adapter: str = "") -> Identity:
    """The identity of a loaded model with these caches, and with the LoRA weights of that folder over it. Raises OSError."""
    path = Path(folder)
    return Identity(
        model=str(Path(adapter or folder).resolve()),
        weights=weights_digest(path),
        format=_digest(format_name.encode(), *((path / name).read_bytes() for name in FORMAT_FILES if (path / name).is_file())),
        kv=kv_format(shapes_of(layers)),
        numerics=_computed(model),
        adapter=digest_of(Path(adapter)) if adapter else "",
    )


def weights_digest(folder: Path) -> str:
    """Changes with the config and with any weight file, its time included: keys and values of other weights would answer wrongly."""
    digest = hashlib.blake2b((folder / "config.json").read_bytes(), digest_size=16)
    for path in sorted(folder.glob("model*.safetensors")):
        digest.update(f"{path.name}:{path.stat().st_mtime_ns}".encode() + sampled(path))
    return digest.hexdigest()


def _computed(model: Any) -> str:
    """The device, the types it computes in, and what computes."""
    return f"{mx.default_device()} {types_of(model)} mlx {version('mlx')} mlx-lm {version('mlx-lm')}"


def _digest(*parts: bytes) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()
