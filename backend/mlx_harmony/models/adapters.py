"""Folders of LoRA weights, as the catalogue lists them: each a model of its own, that is another model with these weights over it.

The model is looked for among those of this machine; a path that the folder names is compared and never opened. Opens no weights.
"""

from itertools import chain
from os.path import realpath
from pathlib import Path
from typing import Any

import msgspec

from mlx_harmony.models.folder import Source, describe, files_of
from mlx_harmony.models.kind import MAX_CONFIG_BYTES
from mlx_harmony.records import ModelEntry
from mlx_harmony.settings import absolute

CONFIG = "adapter_config.json"
WEIGHTS = "adapters.safetensors"
LONGEST_NAME = 4096


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds LoRA weights and no model."""
    try:
        return (folder / CONFIG).is_file() and not (folder / "config.json").exists()
    except OSError:
        return False


def described(model_id: str, folder: Path, source: Source) -> ModelEntry:
    """The catalogue's entry of a folder, model or adapter. An adapter's base is as its config names it until `over_their_bases`."""
    if not is_adapter(folder):
        return describe(model_id, folder, source)
    files = tuple(files_of(folder))
    config, problem = _config(folder)
    if not problem and not any(name == WEIGHTS and size for name, size, _ in files):
        problem = f"It has no LoRA weights ({WEIGHTS})."
        if any(name == "adapter_model.safetensors" for name, _, _ in files):
            problem = "It is a PEFT adapter; only what mlx_lm.lora trains can be used."
    named = next((name for key in ("model", "base_model_name_or_path") if isinstance(name := config.get(key), str) and name), "")
    return ModelEntry(
        id=model_id,
        path=str(folder),
        bytes=sum(size for _, size, _ in files),
        architecture="",
        format="unsupported",
        source=source,
        modified_at=max((modified for _, _, modified in files), default=0.0),
        problem=problem or ("" if named else f"Its {CONFIG} names no model."),
        adapter=str(folder),
        base=named[:LONGEST_NAME],
    )


def over_their_bases(entries: tuple[ModelEntry, ...]) -> tuple[ModelEntry, ...]:
    """The entries, each adapter put over the model that it names; where that is not here, this is its problem."""
    models = tuple(entry for entry in entries if not entry.adapter)
    return tuple(_over(entry, _base(entry.base, models)) if entry.adapter else entry for entry in entries)


def _over(adapter: ModelEntry, base: ModelEntry | None) -> ModelEntry:
    if base is None:
        problem = adapter.problem or f"Its base model {adapter.base} is not on this machine."
        return msgspec.structs.replace(adapter, problem=problem)
    return msgspec.structs.replace(
        adapter,
        path=base.path,
        base=base.id,
        architecture=base.architecture,
        format=base.format,
        bits=base.bits,
        context_length=base.context_length,
        # What is known of a state holds for both their files.
        modified_at=max(adapter.modified_at, base.modified_at),
        problem=adapter.problem or (f"Its base model {base.id} cannot be used. {base.problem}" if base.problem else ""),
    )


def _base(named: str, models: tuple[ModelEntry, ...]) -> ModelEntry | None:
    """The model of that id or folder; else one whose own name ends the same, since adapters are trained elsewhere and models move."""
    if not named or "\0" in named:
        return None
    folder, last = realpath(absolute(named)), Path(named).name
    by_id = (model for model in models if model.id == named)
    by_folder = (model for model in models if realpath(model.path) == folder)
    by_name = (model for model in models if model.id.rpartition("/")[2] == last)
    return next(chain(by_id, by_folder, by_name), None)


def _config(folder: Path) -> tuple[dict[str, Any], str]:
    """adapter_config.json and, where it cannot be read, the reason in one sentence."""
    try:
        with (folder / CONFIG).open("rb") as file:
            raw = file.read(MAX_CONFIG_BYTES + 1)
        config = msgspec.json.decode(raw) if len(raw) <= MAX_CONFIG_BYTES else None
    except OSError as error:
        return {}, f"Its {CONFIG} cannot be read: {error.strerror}."
    except (ValueError, RecursionError):
        config = None
    return (config, "") if isinstance(config, dict) else ({}, f"Its {CONFIG} is damaged.")
