"""What a model is made of, as far as memory goes: its weights by their headers, its keys and values by its config. Opens no tensors.

The files are not ours: reads are bounded, and what makes no sense counts as not there.
"""

import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from mlx_harmony.models.reading import opened
from mlx_harmony.records import Record

MAX_HEADER_BYTES = 100_000_000
GROUP_SIZE = 64
BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1}
BYTES |= {"I64": 8, "I32": 4, "U32": 4, "I16": 2, "U16": 2, "U8": 1, "I8": 1}
PACKED = ("U32", "U8")
MOST_NUMBERS = 2**50


class KvLayer(Record):
    """One layer that keeps keys and values: so many numbers a token; `window` is how many tokens at most, 0 for all."""

    numbers: int
    window: int = 0


class Anatomy(Record):
    """Sizes of a model. `packed` are quantised weights: their bytes, and how many numbers they stand for; `scales` say how to read them.

    `width` is how many numbers a token takes in the widest place between its layers; `experts_numbers` those of one layer's experts.
    """

    packed_bytes: int = 0
    packed_numbers: int = 0
    scale_bytes: int = 0
    scale_numbers: int = 0
    plain_bytes: int = 0
    plain_numbers: int = 0
    kv: tuple[KvLayer, ...] = ()
    width: int = 0
    vocabulary: int = 0
    experts_numbers: int = 0

    @property
    def stored_bytes(self) -> int:
        return self.packed_bytes + self.scale_bytes + self.plain_bytes

    @property
    def numbers(self) -> int:
        """How many weights there are."""
        return self.packed_numbers + self.plain_numbers


class _Told(msgspec.Struct):
    """What the header of a file says of one tensor."""

    dtype: str = ""
    shape: list[int] = []


class _Tensor(NamedTuple):
    kind: str
    shape: list[int]

    @property
    def numbers(self) -> int:
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.numbers * BYTES[self.kind]


def anatomy_of(folder: Path, config: dict[str, Any]) -> Anatomy | None:
    """The anatomy of a model folder with this config; None where its weights cannot be told."""
    tensors = {name: tensor for path in sorted(folder.glob("model*.safetensors")) for name, tensor in _header(path)}
    if not tensors:
        return None
    packed = {name: tensor for name, tensor in tensors.items() if tensor.kind in PACKED and _scales_of(name) in tensors}
    beside = {place for name in packed for place in (_scales_of(name), _scales_of(name).removesuffix("scales") + "biases")}
    scales = {name: tensor for name, tensor in tensors.items() if name in beside}
    plain = {name: tensor for name, tensor in tensors.items() if name not in packed and name not in scales}
    flat = _flat(config)
    return Anatomy(
        packed_bytes=sum(tensor.bytes for tensor in packed.values()),
        packed_numbers=sum(_stands_for(name, tensor, tensors[_scales_of(name)], config) for name, tensor in packed.items()),
        scale_bytes=sum(tensor.bytes for tensor in scales.values()),
        scale_numbers=sum(tensor.numbers for tensor in scales.values() if tensor.kind not in PACKED),
        plain_bytes=sum(tensor.bytes for tensor in plain.values()),
        plain_numbers=sum(tensor.numbers for tensor in plain.values()),
        kv=tuple(kv_layers(flat)),
        width=_width(flat),
        vocabulary=_number(flat, "vocab_size"),
        experts_numbers=_experts(flat),
    )


def guessed_anatomy(stored_bytes: int, config: dict[str, Any]) -> Anatomy:
    """The anatomy of weights that are not here: so many bytes, quantised where the config says so, in layers as the config has them."""
    flat = _flat(config)
    bits = next((_number(part, "bits") for key in ("quantization", "quantization_config") if isinstance(part := config.get(key), dict)), 0)
    quantised = 0 < bits < 16
    # Beside the bits of each weight, a scale and a bias of 16 bits for a group.
    share = bits / (bits + 32 / _group_size(config, "")) if quantised else 0.0
    packed = int(stored_bytes * share)
    rest = stored_bytes - packed
    return Anatomy(
        packed_bytes=packed,
        packed_numbers=packed * 8 // bits if quantised else 0,
        scale_bytes=rest if quantised else 0,
        scale_numbers=rest // 2 if quantised else 0,
        plain_bytes=0 if quantised else rest,
        plain_numbers=0 if quantised else rest // 2,
        kv=tuple(kv_layers(flat)),
        width=_width(flat),
        vocabulary=_number(flat, "vocab_size"),
        experts_numbers=_experts(flat),
    )


def _stands_for(name: str, packed: _Tensor, scales: _Tensor, config: dict[str, Any]) -> int:
    """How many numbers a quantised weight holds: as many groups as it has scales, or two of 4 bits in each byte."""
    if name.endswith("_blocks"):
        return 2 * packed.numbers
    return math.prod(packed.shape[:-1]) * scales.shape[-1] * _group_size(config, name)


def kv_layers(config: dict[str, Any]) -> Iterator[KvLayer]:
    """The layers that keep keys and values, by the config; none where it names no attention heads."""
    layers, heads = _number(config, "num_hidden_layers", "n_layer", "n_layers"), _number(config, "num_attention_heads", "n_head", "n_heads")
    if not layers or not heads:
        return
    if latent := _number(config, "kv_lora_rank"):
        numbers = latent + _number(config, "qk_rope_head_dim")
    else:
        width = _number(config, "head_dim") or _number(config, "hidden_size", "n_embd", "d_model") // heads
        numbers = 2 * (_number(config, "num_key_value_heads", "num_kv_heads") or heads) * width
    for kind in _kinds(config, layers):
        if "sliding" in kind:
            yield KvLayer(numbers=numbers, window=_number(config, "sliding_window"))
        elif ("attention" in kind and "linear" not in kind) or kind == "hybrid":
            yield KvLayer(numbers=numbers)


def _kinds(config: dict[str, Any], layers: int) -> list[str]:
    """What each layer is, in the words of whichever key says so."""
    for key in ("layer_types", "layers_block_type", "block_types"):
        listed = config.get(key)
        if isinstance(listed, list) and listed and all(isinstance(kind, str) for kind in listed):
            return [listed[at % len(listed)] for at in range(layers)]
    if isinstance(full := config.get("full_attn_idxs"), list):
        return ["attention" if at in full else "conv" for at in range(layers)]
    if isinstance(pattern := config.get("hybrid_override_pattern"), str):
        return ["attention" if letter == "*" else "state" for letter in pattern[:layers]]
    if every := _number(config, "full_attention_interval", "attn_layer_period"):
        return ["attention" if at % every == every - 1 else "state" for at in range(layers)]
    if every := _number(config, "sliding_window_pattern"):
        return ["attention" if at % every == every - 1 else "sliding" for at in range(layers)]
    return ["attention"] * layers


def _header(path: Path) -> Iterator[tuple[str, _Tensor]]:
    """Name, type and shape of each tensor of a file; of one that makes no sense, none."""
    try:
        with opened(path) as file:
            size = int.from_bytes(file.read(8), "little")
            raw = file.read(size) if 0 < size <= MAX_HEADER_BYTES else b""
        header = _told(raw)
    except (OSError, ValueError, RecursionError):
        return
    for name, told in header.items():
        shape = told.shape
        if told.dtype in BYTES and shape and min(shape) > 0 and max(shape) < MOST_NUMBERS and math.prod(shape) < MOST_NUMBERS:
            yield name, _Tensor(told.dtype, shape)


def _told(raw: bytes) -> dict[str, _Told]:
    """What a header says of its tensors, but for those of which it says nothing of sense. Raises ValueError for one that is no JSON."""
    try:
        return msgspec.json.decode(raw, type=dict[str, _Told])
    except msgspec.ValidationError:
        header = msgspec.json.decode(raw)
    told = {}
    for name, each in header.items() if isinstance(header, dict) else ():
        with suppress(msgspec.ValidationError):
            told[name] = msgspec.convert(each, _Told)
    return told


def _scales_of(name: str) -> str:
    """Where the scales of a quantised weight are: MLX's way, or as gpt-oss was published."""
    if name.endswith("_blocks"):
        return f"{name.removesuffix('_blocks')}_scales"
    return f"{name.removesuffix('.weight')}.scales" if name.endswith(".weight") else ""


def _group_size(config: dict[str, Any], name: str) -> int:
    for key in ("quantization", "quantization_config"):
        found = config.get(key)
        if isinstance(found, dict):
            own = found.get(name.removesuffix(".weight"))
            for part in (own if isinstance(own, dict) else {}, found):
                if type(size := part.get("group_size")) is int and 0 < size <= 1024:
                    return size
    return GROUP_SIZE


def _flat(config: dict[str, Any]) -> dict[str, Any]:
    """The config with that of its text model over it."""
    text = config.get("text_config")
    return config | text if isinstance(text, dict) else config


def _number(config: dict[str, Any], *names: str) -> int:
    """The first of these keys that holds a positive whole number, else 0."""
    return next((value for name in names if type(value := config.get(name)) is int and 0 < value < 2**40), 0)


def _width(config: dict[str, Any]) -> int:
    hidden, inner = _number(config, "hidden_size", "n_embd", "d_model"), _number(config, "intermediate_size", "moe_intermediate_size")
    return 8 * hidden + 3 * (inner or 4 * hidden) * (_number(config, "num_experts_per_tok") or 1)


def _experts(config: dict[str, Any]) -> int:
    experts = _number(config, "num_local_experts", "num_experts", "n_routed_experts")
    return experts * _number(config, "hidden_size") * _number(config, "moe_intermediate_size", "intermediate_size")
