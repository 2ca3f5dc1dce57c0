"""What a model folder must hold before mlx may open any of it. Everything in it is untrusted. It knows no mlx.

mlx checks neither headers nor shapes, so the Rust safetensors reader sees every weight file first; names in an index never leave the
folder; a model that wants to run code of its own is refused, always.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from mlx_harmony.errors import LoadFailed, UnsupportedArchitecture
from mlx_harmony.records import Record
from mlx_harmony.worker.samples import sampled

MAX_CONFIG_BYTES = 4 * 1024 * 1024
MAX_INDEX_BYTES = 64 * 1024 * 1024
MAX_HEADER_BYTES = 100_000_000
MAX_FIELD = 2**24
MAX_PENALTY = 10.0
GENERATION = "generation_config.json"
INDEX = "model.safetensors.index.json"
FOREIGN_CODE = ("model_file", "auto_map")

_BAD_NAME = re.compile(r"[^A-Za-z0-9_.-]")
_SIZES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "intermediate_size",
    "head_dim",
    "num_local_experts",
    "num_experts",
    "num_experts_per_tok",
    "sliding_window",
)
_CONTEXT_FIELDS = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "max_sequence_length",
    "seq_length",
    "n_ctx",
    "model_max_length",
)


class CheckedFolder(Record):
    """A folder that passed.

    `fingerprint` is what two models differ in, as `facts.contents`: the config, the tokenizer and any tensor's name, shape, type or place;
    and samples of the tensors themselves, which a fine-tune changes. Earlier releases knew the facts alone.
    `repetition_penalty` is what the model's makers recommend in generation_config.json, None where they do not.
    """

    path: str
    config: dict[str, Any]
    weight_files: tuple[str, ...]
    fingerprint: str
    repetition_penalty: float | None = None

    @property
    def context_length(self) -> int:
        """What the model was made for, in tokens; 4096 where it does not say."""
        text = self.config.get("text_config")
        for source in (self.config, text if isinstance(text, dict) else {}):
            for name in _CONTEXT_FIELDS:
                if isinstance(value := source.get(name), int) and 0 < value < 10**9:
                    return value
        return 4096


def check_folder(path: str) -> CheckedFolder:
    """Read and judge all but the weights themselves. Raises LoadFailed or UnsupportedArchitecture naming the file at fault."""
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise LoadFailed(f"There is no model folder at {folder}.", hint="Choose another model, or put the folder back.")
    config = read_config(folder)
    files = _weight_files(folder)
    digest = hashlib.sha256()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", GENERATION):
        if (folder / name).is_file():
            digest.update(name.encode() + (folder / name).read_bytes())
    for name in files:
        digest.update(name.encode() + check_weights(folder / name))
    return CheckedFolder(
        path=str(folder),
        config=config,
        weight_files=files,
        fingerprint=f"{digest.hexdigest()[:16]}.{_contents(folder, files)}",
        repetition_penalty=recommended_penalty(folder),
    )


def _contents(folder: Path, files: tuple[str, ...]) -> str:
    """A digest of samples of the weights."""
    try:
        return hashlib.blake2b(b"".join(sampled(folder / name) for name in files), digest_size=8).hexdigest()
    except OSError as error:
        raise LoadFailed(f"The weights in {folder} cannot be read: {error}.", hint="Download the model again.") from error


def recommended_penalty(folder: Path) -> float | None:
    """The repetition penalty of generation_config.json. It is advice: where it cannot be used, the model is used without."""
    try:
        value = read_object(folder / GENERATION, MAX_CONFIG_BYTES).get("repetition_penalty")
    except LoadFailed:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 < value <= MAX_PENALTY else None


def read_config(folder: Path) -> dict[str, Any]:
    """The model's config.json, with its sizes in range. Raises LoadFailed or UnsupportedArchitecture."""
    config = read_object(folder / "config.json", MAX_CONFIG_BYTES)
    for name in FOREIGN_CODE:
        if config.get(name) is not None:
            raise UnsupportedArchitecture(
                f"This model wants to run code of its own ({name} in config.json), which MLX Harmony never does.",
                hint="Look for a conversion of it that mlx-lm supports as it is.",
            )
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or not model_type or _BAD_NAME.search(model_type) or ".." in model_type:
        raise LoadFailed("config.json names no usable model_type.", hint="Download the model again.")
    text = config.get("text_config")
    for source in (config, text if isinstance(text, dict) else {}):
        _check_sizes(source)
    return config


def read_object(path: Path, limit: int) -> dict[str, Any]:
    """A JSON object from a file of at most `limit` bytes. Raises LoadFailed naming the file."""
    try:
        if path.stat().st_size > limit:
            raise LoadFailed(f"{path.name} is larger than {limit // 1024} KiB.", hint="This is no usable model; choose another.")
        value = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise LoadFailed(f"{path.name} is missing from {path.parent}.", hint="Download the model again.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise LoadFailed(f"{path.name} cannot be read: {error}.", hint="Download the model again.") from error
    if not isinstance(value, dict):
        raise LoadFailed(f"{path.name} holds no JSON object.", hint="Download the model again.")
    return value


def _check_sizes(config: dict[str, Any]) -> None:
    for name in _SIZES:
        value = config.get(name)
        if value is None or isinstance(value, list):
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_FIELD:
            raise LoadFailed(f"config.json: {name} is out of range.", hint="Download the model again.")
    layers = config.get("num_hidden_layers")
    if isinstance(layers, int) and layers > 4096:
        raise LoadFailed(f"config.json: num_hidden_layers is {layers}.", hint="Download the model again.")


def _weight_files(folder: Path) -> tuple[str, ...]:
    """Names of the weight files mlx-lm will open, each there, none outside the folder."""
    present = sorted(found.name for found in folder.glob("model*.safetensors"))
    missing = sorted(set(_indexed_files(folder)) - set(present))
    if missing:
        raise LoadFailed(
            f"{len(missing)} of the model's weight files are missing, the first is {missing[0]}.",
            hint="The download is not complete; download the model again.",
        )
    if not present:
        raise LoadFailed(f"There are no weights (model*.safetensors) in {folder}.", hint="Download the model, or convert it to MLX first.")
    return tuple(present)


def _indexed_files(folder: Path) -> Iterator[str]:
    index = folder / INDEX
    if not index.exists():
        return
    weight_map = read_object(index, MAX_INDEX_BYTES).get("weight_map")
    if not isinstance(weight_map, dict):
        raise LoadFailed(f"{INDEX} has no weight_map.", hint="Download the model again.")
    for name in weight_map.values():
        if not isinstance(name, str) or not name or name != Path(name).name or name == "..":
            raise LoadFailed(f"{INDEX} names a file outside the model's folder.", hint="Do not use this model; its files are not honest.")
        yield name


def check_weights(path: Path) -> bytes:
    """A digest of a safetensors header that the Rust reader found sound. Raises LoadFailed naming the file."""
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if not 0 < size <= MAX_HEADER_BYTES:
                raise LoadFailed(f"{path.name} is no safetensors file.", hint="Download the model again.")
            header = file.read(size)
        with safe_open(path, framework="numpy") as reader:
            for name in reader.keys():  # noqa: SIM118 (a reader is no mapping)
                shape = reader.get_slice(name).get_shape()
                if math.prod(shape) <= 0:
                    raise LoadFailed(f"{path.name} holds an empty tensor, {name[:80]}.", hint="Download the model again.")
    except (SafetensorError, OSError, ValueError) as error:
        raise LoadFailed(f"{path.name} is corrupt: {error}.", hint="Download the model again, or delete this file and resume.") from error
    return hashlib.sha256(header).digest()
