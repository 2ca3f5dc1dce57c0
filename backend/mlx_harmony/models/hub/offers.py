"""What the hub says of its models, as records: the rows of a search, and one model with its files. Pure; nothing it says is trusted."""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from mlx_harmony.errors import InvalidRequest, LoadFailed
from mlx_harmony.models.anatomy import BYTES, PACKED
from mlx_harmony.models.family import family_of
from mlx_harmony.models.hub.names import checked_file, checked_id, is_commit, is_sha1, is_sha256
from mlx_harmony.models.hub.needed import lack, needed
from mlx_harmony.records import Record

MOST_FILES = 2000
"""A model of more files is none: the largest are published in a few hundred pieces."""
MOST_BYTES = 2**50
_BITS_IN_NAME = re.compile(r"[-_.](?:int|q)?([2-8])[-_]?bit", re.IGNORECASE)
_GROUP = 32
"""With each packed weight comes this share of numbers that say how to read it: a scale and a bias for 64 of them."""


class Found(Record):
    """One row of a search. `bytes` are those of its weights; what the hub does not say is None or "". `mlx`: it is made for MLX."""

    id: str
    downloads: int = 0
    likes: int = 0
    licence: str = ""
    gated: bool = False
    modified_at: float = 0.0
    bytes: int | None = None
    bits: int | None = None
    parameters: int | None = None
    family: str = ""
    mlx: bool = False


class HubFile(Record):
    """A file of a model and its checksum, which is also its name among the cache's blobs: SHA-256, or git's SHA-1 for small files."""

    name: str
    bytes: int
    sha256: str = ""
    git_sha1: str = ""

    @property
    def etag(self) -> str:
        return self.sha256 or self.git_sha1


class Offer(Record):
    """One revision of a model as it can be had: `revision` is its commit, `files` those that are needed here, `bytes` the sum of them.

    `config` is its config.json where that can be read; `problem` is why it would be of no use here.
    """

    id: str
    revision: str
    files: tuple[HubFile, ...] = ()
    bytes: int = 0
    licence: str = ""
    gated: bool = False
    config: dict[str, Any] | None = None
    problem: str = ""


def found_in(rows: Any) -> Iterator[Found]:
    """The rows of an answer to a search; one that makes no sense is left out."""
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict) and (found := _found(row)) is not None:
            yield found


def offer_in(model_id: str, told: Any) -> Offer:
    """What the hub tells of a revision. Raises LoadFailed where that makes no sense, or names files that do not stay in their folder."""
    if not isinstance(told, dict) or not is_commit(told.get("sha")) or not isinstance(listed := told.get("siblings"), list):
        raise LoadFailed("The hub's answer about this model makes no sense.", hint="Try again later, or choose another model.", param="id")
    rows = {checked_file(row.get("rfilename") if isinstance(row, dict) else None): row for row in listed}
    names = needed(rows)
    if len(names) > MOST_FILES:
        hint = "Choose another model."
        raise LoadFailed(f"It consists of {len(names):,} files; no model of that kind can be loaded here.", hint=hint, param="id")
    files = tuple(_file(name, rows[name]) for name in names)
    return Offer(
        id=model_id,
        revision=told["sha"],
        files=tuple(sorted(files, key=lambda file: (file.bytes, file.name))),
        bytes=sum(file.bytes for file in files),
        licence=_licence(told),
        gated=bool(told.get("gated")),
        problem=lack(rows),
    )


def _file(name: str, row: dict[str, Any]) -> HubFile:
    pointer = row.get("lfs")
    large = pointer if isinstance(pointer, dict) else {}
    size, sha256, sha1 = large.get("size", row.get("size")), large.get("sha256", large.get("oid")), row.get("blobId")
    if type(size) is not int or not 0 <= size < MOST_BYTES or not (is_sha256(sha256) or (not large and is_sha1(sha1))):
        hint = "Try again later, or choose another model."
        raise LoadFailed(f"The hub does not say how large {name!r} is, or its checksum.", hint=hint, param="id")
    return HubFile(name=name, bytes=size, sha256=str(sha256)) if large else HubFile(name=name, bytes=size, git_sha1=str(sha1))


def _found(row: dict[str, Any]) -> Found | None:
    try:
        model_id = checked_id(str(row.get("id", "")))
    except InvalidRequest:
        return None
    tags = _texts(row.get("tags"))
    bits = _bits(row, tags, model_id)
    counts = _counts(row)
    return Found(
        id=model_id,
        downloads=_number(row.get("downloads")),
        likes=_number(row.get("likes")),
        licence=_licence(row),
        gated=bool(row.get("gated")),
        modified_at=_moment(row.get("lastModified")),
        bytes=sum(BYTES[kind] * count for kind, count in counts.items()) or None,
        bits=bits,
        parameters=_parameters(counts, bits),
        family=family_of(model_id),
        mlx=row.get("library_name") == "mlx" or "mlx" in tags,
    )


def _counts(row: dict[str, Any]) -> dict[str, int]:
    """How many numbers of each type the weights hold."""
    told = row.get("safetensors")
    counts = told.get("parameters") if isinstance(told, dict) else None
    return {kind: _number(count) for kind, count in counts.items() if kind in BYTES} if isinstance(counts, dict) else {}


def _parameters(counts: dict[str, int], bits: int | None) -> int | None:
    """How many weights these numbers stand for: MLX packs several into one of 32 bits, and keeps scales and biases beside them."""
    packed = counts.get("U32", 0) * 32 // bits if bits else 0
    plain = sum(count for kind, count in counts.items() if kind not in PACKED)
    return (packed + max(0, plain - packed // _GROUP)) or None


def _bits(row: dict[str, Any], tags: list[str], model_id: str) -> int | None:
    config = row.get("config")
    for key in ("quantization", "quantization_config"):
        part = config.get(key) if isinstance(config, dict) else None
        if isinstance(part, dict) and type(bits := part.get("bits")) is int and 0 < bits <= 32:
            return bits
    named = next((tag[0] for tag in tags if re.fullmatch("[2-8]-bit", tag)), None) or next(iter(_BITS_IN_NAME.findall(model_id)), None)
    return int(named) if named else None


def _licence(row: dict[str, Any]) -> str:
    tagged = next((tag.removeprefix("license:") for tag in _texts(row.get("tags")) if tag.startswith("license:")), "")
    card = row.get("cardData")
    said = card.get("license_name") or card.get("license") if isinstance(card, dict) and tagged in ("", "other") else ""
    licence = said if isinstance(said, str) and said else tagged
    return licence[:100] if licence.isprintable() else ""


def _texts(values: Any) -> list[str]:
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []


def _number(value: Any) -> int:
    return value if type(value) is int and 0 <= value < 2**60 else 0


def _moment(text: Any) -> float:
    try:
        return datetime.fromisoformat(text).timestamp() if isinstance(text, str) else 0.0
    except (ValueError, OverflowError):
        return 0.0
