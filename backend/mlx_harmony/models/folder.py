"""One model folder, described without opening its weights: its config.json, its sizes and what is wrong with it. Pure."""

import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from stat import S_ISREG
from typing import Any, Literal

import msgspec

from mlx_harmony.models.kind import MAX_CONFIG_BYTES, format_of
from mlx_harmony.models.reading import opened
from mlx_harmony.models.wholeness import FileState, lacking
from mlx_harmony.records import Format, ModelEntry

Source = Literal["bundled", "folder", "hub_cache"]

_LENGTH_KEYS = ("max_position_embeddings", "max_sequence_length", "n_positions", "n_ctx", "max_seq_len", "seq_length")
# Tokenizers and configs write sentinels such as 1e30 for "no limit": no model has a context beyond this.
_LONGEST_CONTEXT = 100_000_000


def describe(model_id: str, folder: Path, source: Source) -> ModelEntry:
    """The catalogue's entry of a folder; what is missing or unreadable is told in `problem`, never raised."""
    files = tuple(files_of(folder))
    config, problem, kind = _read(folder, files)
    architecture = config.get("model_type")
    return ModelEntry(
        id=model_id,
        path=str(folder),
        bytes=sum(size for _, size, _ in files),
        architecture=architecture if isinstance(architecture, str) else "",
        format=kind,
        source=source,
        bits=_bits(config),
        context_length=context_length_of(config),
        modified_at=max((modified for _, _, modified in files), default=0.0),
        problem=problem or lacking(folder, files),
    )


@lru_cache(maxsize=512)
def _read(folder: Path, files: tuple[FileState, ...]) -> tuple[dict[str, Any], str, Format]:
    """The config, what is wrong and the format. `files` is the state for which this holds: a changed folder is read again."""
    config, problem = read_config(folder)
    if problem:
        return config, problem, "unsupported"
    kind, reason = format_of(folder)
    return config, f"{reason[:1].upper()}{reason[1:]}." if reason else "", kind


def read_config(folder: Path) -> tuple[dict[str, Any], str]:
    """config.json and, where it cannot be read, the reason in one sentence."""
    path = folder / "config.json"
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            return {}, "Its config.json is too large to be one."
        with opened(path) as file:
            config = msgspec.json.decode(file.read(MAX_CONFIG_BYTES))
    except FileNotFoundError:
        return {}, "Its config.json is missing."
    except OSError as error:
        return {}, f"Its config.json cannot be read: {error.strerror}."
    except (ValueError, RecursionError):
        return {}, "Its config.json is damaged."
    return (config, "") if isinstance(config, dict) else ({}, "Its config.json is damaged.")


def files_of(folder: Path) -> Iterator[FileState]:
    """Name, bytes and time of writing of each file directly in the folder; links count as what they lead to."""
    try:
        with os.scandir(folder) as entries:
            children = sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return
    for child in children:
        try:
            found = child.stat()
        except OSError:
            continue
        if S_ISREG(found.st_mode):
            yield child.name, found.st_size, found.st_mtime


def _bits(config: dict[str, Any]) -> int | None:
    for key in ("quantization", "quantization_config"):
        found = config.get(key)
        bits = found.get("bits") if isinstance(found, dict) else None
        if isinstance(bits, int) and not isinstance(bits, bool) and 0 < bits <= 32:
            return bits
    return None


def context_length_of(config: dict[str, Any]) -> int | None:
    """The longest context that a config allows; None where it says nothing of sense."""
    nested = config.get("text_config")
    for part in (config, nested if isinstance(nested, dict) else {}):
        for key in _LENGTH_KEYS:
            length = part.get(key)
            if isinstance(length, int) and not isinstance(length, bool) and 0 < length <= _LONGEST_CONTEXT:
                return length
    return None
