"""One model folder, described without opening its weights: its config.json, its sizes and what is wrong with it. Pure."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from mlx_harmony.records import Format, ModelEntry

Source = Literal["bundled", "folder", "hub_cache"]

LARGEST_CONFIG_BYTES = 8 * 1024 * 1024
_LENGTH_KEYS = ("max_position_embeddings", "max_sequence_length", "n_positions", "n_ctx", "max_seq_len", "seq_length")
# Tokenizers and configs write sentinels such as 1e30 for "no limit": no model has a context beyond this.
_LONGEST_CONTEXT = 100_000_000


def describe(model_id: str, folder: Path, source: Source) -> ModelEntry:
    """The catalogue's entry of a folder; what is missing or unreadable is told in `problem`, never raised."""
    config, problem = read_config(folder)
    sizes, modified = _sizes(folder)
    if not problem and not any(name.endswith(".safetensors") and size for name, size in sizes.items()):
        problem = "It has no weights (*.safetensors)."
    kind = config.get("model_type")
    architecture = kind if isinstance(kind, str) else ""
    return ModelEntry(
        id=model_id,
        path=str(folder),
        bytes=sum(sizes.values()),
        architecture=architecture,
        format=_format(architecture),
        source=source,
        bits=_bits(config),
        context_length=_context_length(config),
        modified_at=modified,
        problem=problem or ("" if architecture else "Its config.json names no model_type."),
    )


def read_config(folder: Path) -> tuple[dict[str, Any], str]:
    """config.json and, where it cannot be read, the reason in one sentence."""
    path = folder / "config.json"
    try:
        if path.stat().st_size > LARGEST_CONFIG_BYTES:
            return {}, "Its config.json is too large to be one."
        config = msgspec.json.decode(path.read_bytes())
    except FileNotFoundError:
        return {}, "Its config.json is missing."
    except OSError as error:
        return {}, f"Its config.json cannot be read: {error.strerror}."
    except (ValueError, RecursionError):
        return {}, "Its config.json is damaged."
    return (config, "") if isinstance(config, dict) else ({}, "Its config.json is damaged.")


def _format(architecture: str) -> Format:
    if not architecture:
        return "unsupported"
    return "harmony" if architecture == "gpt_oss" else "template"


def _sizes(folder: Path) -> tuple[dict[str, int], float]:
    """Bytes of each file directly in the folder, and when the newest of them was written."""
    sizes: dict[str, int] = {}
    modified = 0.0
    for child in _children(folder):
        try:
            found = child.stat()
        except OSError:
            continue
        if child.is_file():
            sizes[child.name] = found.st_size
            modified = max(modified, found.st_mtime)
    return sizes, modified


def _children(folder: Path) -> Iterator[Path]:
    try:
        yield from sorted(folder.iterdir())
    except OSError:
        return


def _bits(config: dict[str, Any]) -> int | None:
    for key in ("quantization", "quantization_config"):
        found = config.get(key)
        bits = found.get("bits") if isinstance(found, dict) else None
        if isinstance(bits, int) and not isinstance(bits, bool) and 0 < bits <= 32:
            return bits
    return None


def _context_length(config: dict[str, Any]) -> int | None:
    nested = config.get("text_config")
    for part in (config, nested if isinstance(nested, dict) else {}):
        for key in _LENGTH_KEYS:
            length = part.get(key)
            if isinstance(length, int) and not isinstance(length, bool) and 0 < length <= _LONGEST_CONTEXT:
                return length
    return None
