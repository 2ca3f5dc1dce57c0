"""The bytes of a conversation file as plain values: size, encoding, damage, version. Knows nothing of what a chat is.

A file that was cut off or damaged is read up to the damage.
"""

import json
import re
from typing import Any, NamedTuple

from mlx_harmony.conversation.interchange.export import SCHEMA_VERSION
from mlx_harmony.errors import InvalidRequest

LARGEST_BYTES = 64 * 1024 * 1024
KEPT = "Nothing was imported and nothing was changed."
_PIECE = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*("|\\?\Z)|[{}\[\]]', re.DOTALL)
_LONGEST_INTEGER = 40
_AGAIN = "\u0000"
_CLOSER = {"{": "}", "[": "]"}


class Document(NamedTuple):
    """A file's chats as they stand in it, each with the id it stands under ("" in version 1), and what was wrong with the file."""

    chats: tuple[tuple[str, Any], ...]
    warnings: tuple[str, ...]


def read_document(data: bytes) -> Document:
    """Raises InvalidRequest for a file that is too large, is none of ours, is of a later version, or holds nothing before its damage."""
    check_size(len(data))
    warnings: list[str] = []
    # Windows' own tools write UTF-16.
    encoding = json.detect_encoding(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text = data.decode(encoding, "replace")
        name = encoding.upper().removesuffix("-SIG")
        warnings.append(f"The file is not valid {name}; characters that could not be read became \ufffd.")
    value, problem = _parse(text)
    if problem:
        warnings.append(problem)
    return Document(_chats(value), tuple(warnings))


def check_size(size_bytes: int) -> None:
    """Refuse a file that would not fit comfortably in memory."""
    if size_bytes > LARGEST_BYTES:
        raise refused(
            f"The file holds {size_bytes / 2**20:,.0f} MB; at most {LARGEST_BYTES / 2**20:.0f} MB can be imported at once.",
            "Split it into files with fewer chats.",
        )


def refused(message: str, hint: str = KEPT) -> InvalidRequest:
    return InvalidRequest(message, hint=hint, param="file")


def _parse(text: str) -> tuple[Any, str]:
    """The file's value, and what was wrong with it in words."""
    try:
        return _load(text), ""
    except json.JSONDecodeError as error:
        at = error.pos
    except (ValueError, RecursionError) as error:
        raise refused(f"The file is no conversation file: {error}.") from error
    try:
        value = _load(closed(text[:at] if at else text))
    except (ValueError, RecursionError):
        raise refused(f"The file is no JSON, or damaged from the start (at character {at + 1}).") from None
    return value, f"The file is damaged or cut off at character {at + 1}; what stands whole before that was imported."


def _load(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_object, parse_constant=lambda name: None, parse_int=_integer)


def _integer(digits: str) -> int | None:
    """The number; None for one that no field can hold, and that takes long to read."""
    return int(digits) if len(digits) <= _LONGEST_INTEGER else None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; where keys are equal the last one counts, but each of several objects stays, the later ones under other names."""
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    found = {}
    for number, (key, value) in enumerate(pairs):
        both = isinstance(value, dict) and isinstance(found.get(key), dict)
        found[f"{key}{_AGAIN}{number}" if both else key] = value
    return found


def closed(text: str) -> str:
    """The longest beginning of damaged JSON that ends with a whole object or list, its open brackets closed."""
    opened: list[str] = []
    end, closers = 0, ""
    for piece in _PIECE.finditer(text):
        sign = piece[0]
        if sign in _CLOSER:
            opened.append(_CLOSER[sign])
        elif sign in "}]":
            if not opened or opened.pop() != sign:
                break
            end, closers = piece.end(), "".join(reversed(opened))
        elif not sign.endswith('"') or len(sign) < 2:
            break
    return text[:end] + closers


def _chats(value: Any) -> tuple[tuple[str, Any], ...]:
    if not isinstance(value, dict):
        raise refused("The file is no conversation file: it holds no object.")
    version = value.get("schema_version", SCHEMA_VERSION if "chats" in value else 1)
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise refused(f"The file is no conversation file: its schema_version is {str(version)[:40]!r}.")
    if version > SCHEMA_VERSION:
        raise refused(
            f"The file is of version {version}, which a later MLX Harmony wrote; this one reads versions 1 and 2.",
            f"Update MLX Harmony. {KEPT}",
        )
    # Some files mix the versions: chats in a list, or one chat's messages beside them.
    single = (("", value),) if isinstance(value.get("messages"), list) else ()
    match value.get("chats"):
        case dict() as chats:
            return (*single, *((key.partition(_AGAIN)[0], chat) for key, chat in chats.items()))
        case list() as chats if chats:
            return (*single, *(("", chat) for chat in chats))
    if not single:
        missing = "it holds no list of messages" if version == 1 else "its chats are no object"
        raise refused(f"The file is no conversation file: {missing}.")
    return single
