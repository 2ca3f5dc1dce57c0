"""Which prompt format a model folder speaks, told from its small files alone. Knows neither mlx nor transformers, opens no weights.

The folder's name plays no part. Reads are bounded, since the files are not ours.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from mlx_harmony.models.reading import opened
from mlx_harmony.records import Format

HARMONY_TOKENS = frozenset({"<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|return|>", "<|call|>"})
HARMONY_MODEL_TYPES = frozenset({"gpt_oss"})
MAX_CONFIG_BYTES = 4 * 2**20
MAX_TOKENIZER_BYTES = 128 * 2**20


def format_of(folder: Path) -> tuple[Format, str]:
    """The format and, where it is "unsupported", the reason in words. Raises nothing for what stands in the files."""
    config, problem = _object(folder / "config.json", MAX_CONFIG_BYTES)
    if config is None:
        return "unsupported", problem
    if config.get("model_file") or config.get("auto_map"):
        return "unsupported", "config.json asks to run code that comes with the model"
    if not isinstance(config.get("model_type"), str):
        return "unsupported", "config.json names no model_type"
    tokenizer, problem = _object(folder / "tokenizer_config.json", MAX_CONFIG_BYTES, optional=True)
    if tokenizer is None:
        return "unsupported", problem
    if config["model_type"] in HARMONY_MODEL_TYPES:
        return "harmony", ""
    tokens, problem = _added_tokens(folder, tokenizer)
    if tokens is None:
        return "unsupported", problem
    if tokens >= HARMONY_TOKENS:
        return "harmony", ""
    return ("template" if _has_template(folder, tokenizer) else "raw"), ""


def tokens_of(folder: Path) -> frozenset[str]:
    """The control tokens' texts, as far as they can be read."""
    tokenizer, _ = _object(folder / "tokenizer_config.json", MAX_CONFIG_BYTES, optional=True)
    tokens, _ = _added_tokens(folder, tokenizer or {})
    return tokens or frozenset()


def _has_template(folder: Path, tokenizer: dict[str, Any]) -> bool:
    beside = ("chat_template.jinja", "chat_template.json")
    return bool(tokenizer.get("chat_template") or tokenizer.get("chat_template_type")) or any((folder / name).is_file() for name in beside)


def _added_tokens(folder: Path, tokenizer: dict[str, Any]) -> tuple[frozenset[str] | None, str]:
    """The control tokens' texts; those that tokenizer_config.json lists, else those in tokenizer.json."""
    listed = tokenizer.get("added_tokens_decoder")
    entries: Any = list(listed.values()) if isinstance(listed, dict) else []
    path = folder / "tokenizer.json"
    if not entries and path.is_file():
        found = path.stat()
        entries, problem = _listed_tokens(path, (found.st_size, found.st_mtime_ns))
        if problem:
            return None, problem
    if not isinstance(entries, list):
        return frozenset(), ""
    texts = (entry.get("content") for entry in entries if isinstance(entry, dict))
    return frozenset(text for text in texts if isinstance(text, str)), ""


@lru_cache(maxsize=512)
def _listed_tokens(path: Path, _state: tuple[int, int]) -> tuple[Any, str]:
    """The entries of tokenizer.json in this state (its bytes and time of writing), or what is wrong with it."""
    raw, problem = _read(path, MAX_TOKENIZER_BYTES)
    try:
        # These files are large: only this one field is built, the rest is merely checked.
        return msgspec.json.decode(raw or b"", type=_TokenizerFile).added_tokens, ""
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None, problem or f"{path.name} is not valid JSON"


class _TokenizerFile(msgspec.Struct):
    added_tokens: Any = None


def _object(path: Path, limit_bytes: int, *, optional: bool = False) -> tuple[dict[str, Any] | None, str]:
    """The file's JSON object, or None and what is wrong with it. An optional file that is absent is an empty object."""
    if optional and not path.exists():
        return {}, ""
    raw, problem = _read(path, limit_bytes)
    if raw is None:
        return None, problem
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError):
        return None, f"{path.name} is not valid JSON"
    if not isinstance(content, dict):
        return None, f"{path.name} holds no JSON object"
    return content, ""


def _read(path: Path, limit_bytes: int) -> tuple[bytes | None, str]:
    """The file's bytes, or None and why not."""
    try:
        with opened(path) as file:
            raw = file.read(limit_bytes + 1)
    except OSError as error:
        return None, f"{path.name} cannot be read: {error.strerror or error}"
    return (raw, "") if len(raw) <= limit_bytes else (None, f"{path.name} is larger than {limit_bytes // 2**20} MB")
