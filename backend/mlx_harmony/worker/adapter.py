"""LoRA weights over a model: checked before mlx opens them, then put over the loaded model by mlx-lm's own loader.

They change the model for good: another adapter, or none, is another load in another process. mlx-lm checks names and shapes against the
model; what it would take as it comes is checked here. It knows no requests.
"""

import hashlib
import math
from pathlib import Path
from typing import Any

import mlx.nn as nn
from safetensors import SafetensorError, safe_open

from mlx_harmony.errors import AdapterMismatch, LoadFailed
from mlx_harmony.records import Record
from mlx_harmony.worker.folder import MAX_CONFIG_BYTES, check_weights, read_object
from mlx_harmony.worker.samples import sampled

CONFIG = "adapter_config.json"
WEIGHTS = "adapters.safetensors"
KINDS = ("lora", "dora", "full")
MOST_RANK = 4096
MOST_LAYERS = 4096
MOST_KEYS = 10_000
TRAIN_AGAIN = "Train it again for this model with mlx_lm.lora, or choose the model it was trained for."

_FAILURES = (ValueError, TypeError, KeyError, AttributeError, IndexError, RuntimeError, OSError)


class Adapter(Record):
    """A folder of LoRA weights that passed. `digest` changes with its config and its weights, not with their time."""

    path: str
    digest: str


def check_adapter(path: str) -> Adapter:
    """Read and judge all but the weights themselves. Raises LoadFailed naming the file at fault, or AdapterMismatch."""
    folder = Path(path)
    config = read_object(folder / CONFIG, MAX_CONFIG_BYTES)
    kind = config.get("fine_tune_type", "lora")
    if kind not in KINDS or "peft_type" in config:
        made = str(config.get("peft_type", kind))[:40]
        raise AdapterMismatch(f"The adapter in {folder} is of a kind that mlx-lm does not apply ({made}).", hint=TRAIN_AGAIN)
    if kind != "full":
        _check_parameters(config)
    check_weights(folder / WEIGHTS)
    _check_pairs(folder / WEIGHTS, kind)
    return Adapter(path=str(folder), digest=digest_of(folder))


def apply_adapter(model: nn.Module, adapter: Adapter) -> None:
    """Put it over a lazily loaded model. Raises AdapterMismatch, naming what does not fit."""
    from mlx_lm.tuner.utils import load_adapters

    try:
        load_adapters(model, adapter.path)
    except MemoryError:
        raise
    except _FAILURES as error:
        raise AdapterMismatch(f"The adapter does not fit this model: {_reason(error)}.", hint=TRAIN_AGAIN) from error
    # The layers it brings would drop at random otherwise, as they do while they are trained.
    model.eval()


def digest_of(folder: Path) -> str:
    """Of its config and of samples of its weights: reading all of a large one takes longer than loading it."""
    digest = hashlib.blake2b((folder / CONFIG).read_bytes(), digest_size=16)
    digest.update(sampled(folder / WEIGHTS))
    return digest.hexdigest()


def _check_parameters(config: dict[str, Any]) -> None:
    """The numbers that mlx-lm makes layers of."""
    given = config.get("lora_parameters")
    parameters = given if isinstance(given, dict) else {}
    keys = parameters.get("keys")
    sound = {
        "num_layers": _whole(config.get("num_layers"), -1, MOST_LAYERS),
        "rank": _whole(parameters.get("rank"), 1, MOST_RANK),
        "scale": _number(parameters.get("scale"), -1e6, 1e6),
        "dropout": _number(parameters.get("dropout"), 0.0, 0.999),
        "keys": keys is None or (isinstance(keys, list) and len(keys) <= MOST_KEYS and all(isinstance(key, str) for key in keys)),
    }
    wrong = [name for name, good in sound.items() if not good]
    if wrong:
        raise AdapterMismatch(f"{CONFIG}: {wrong[0]} is missing or out of range.", hint=TRAIN_AGAIN)


def _check_pairs(path: Path, kind: str) -> None:
    """Half a pair would be completed with random numbers."""
    try:
        with safe_open(path, framework="numpy") as reader:
            names = set(reader.keys())
    except (SafetensorError, OSError) as error:
        raise LoadFailed(f"{path.name} is corrupt: {error}", hint="Copy or train the adapter again.") from error
    if not names:
        raise AdapterMismatch(f"{path.name} holds no weights.", hint=TRAIN_AGAIN)
    halves = [{name.removesuffix(half) for name in names if name.endswith(half)} for half in (".lora_a", ".lora_b")]
    if kind != "full" and halves[0] != halves[1]:
        lonely = min(halves[0] ^ halves[1])
        raise AdapterMismatch(f"{path.name} holds half of a pair only, at {lonely[:120]}.", hint=TRAIN_AGAIN)


def _whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _number(value: object, least: float, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and least <= value <= most


def _reason(error: Exception) -> str:
    """The first thing that mlx-lm names; it lists tensors below a heading."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[1] if len(lines) > 1 else lines[0] if lines else type(error).__name__).removesuffix(".")[:300]
