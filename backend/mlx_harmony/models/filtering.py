"""Which models a person means and in which order: one rule for the terminal, the API and the page. Pure."""

import re
from collections.abc import Callable, Iterable
from fnmatch import translate
from typing import Any

from mlx_harmony.errors import InvalidRequest
from mlx_harmony.models.info import ModelInfo
from mlx_harmony.records import Record

LONGEST_PATTERN = 200
_SET = re.compile(r"\[!?+\]?+[^\]]*\]")
FORMATS = ("harmony", "template", "raw", "unsupported")

SORTS: dict[str, Callable[[ModelInfo], Any]] = {
    "id": lambda info: info.entry.id.casefold(),
    "family": lambda info: info.family.casefold(),
    "architecture": lambda info: info.entry.architecture,
    "format": lambda info: info.entry.format,
    "source": lambda info: info.entry.source,
    "size": lambda info: info.disk_bytes,
    "parameters": lambda info: info.parameters,
    "bits": lambda info: info.entry.bits,
    "context": lambda info: info.entry.context_length,
    "used": lambda info: info.last_used_at,
    "modified": lambda info: info.entry.modified_at,
    "chats": lambda info: info.chats,
}
"""The columns that can be sorted by: texts from A, figures from the largest, times from the latest."""


class Filter(Record):
    """What is looked for. `text` is part of an id, or with * ? [ ] a pattern for a whole id or its name after the last slash; case is
    no matter. `sort` is a key of SORTS, "" the catalogue's own order; `reverse` turns it round. Bytes are those on disk, 0 no bound.
    """

    text: str = ""
    format: str = ""
    sort: str = ""
    reverse: bool = False
    min_bytes: int = 0
    max_bytes: int = 0


def matching(infos: Iterable[ModelInfo], wanted: Filter) -> tuple[ModelInfo, ...]:
    """The models that are meant, in order. Raises InvalidRequest for a pattern, format or column that cannot be used."""
    named = _names(wanted.text)
    _check("format", wanted.format, FORMATS)
    _check("sort", wanted.sort, tuple(SORTS))
    found = [
        info
        for info in infos
        if named(info.entry.id)
        and wanted.format in ("", info.entry.format)
        and wanted.min_bytes <= info.disk_bytes <= (wanted.max_bytes or info.disk_bytes)
    ]
    if wanted.sort:
        return _sorted(found, SORTS[wanted.sort], reverse=wanted.reverse)
    return tuple(reversed(found) if wanted.reverse else found)


def _sorted(found: list[ModelInfo], key: Callable[[ModelInfo], Any], *, reverse: bool) -> tuple[ModelInfo, ...]:
    """Those of which it is not known stand last, either way; equal ones stay as they are."""
    told = [info for info in found if key(info) not in (None, "")]
    figures = any(not isinstance(key(info), str) for info in told)
    told.sort(key=key, reverse=figures != reverse)
    return (*told, *(info for info in found if key(info) in (None, "")))


def _names(text: str) -> Callable[[str], bool]:
    """Whether an id is meant. Raises InvalidRequest for a pattern that makes no sense."""
    text = text.strip().casefold()
    if len(text) > LONGEST_PATTERN:
        raise InvalidRequest(f"The pattern is longer than {LONGEST_PATTERN} characters.", hint="Part of an id will do.", param="text")
    if not set(text) & set("*?[]"):
        return lambda model_id: text in model_id.casefold()
    if not _closed(text):
        hint = "Write [ab] for one of these letters, or leave the brackets out."
        raise InvalidRequest(f"In the pattern {text!r} a [ has no ] or a ] no [.", hint=hint, param="text")
    whole = re.compile(translate(text)).match
    return lambda model_id: bool(whole(model_id.casefold()) or whole(model_id.casefold().rsplit("/", 1)[-1]))


def _closed(text: str) -> bool:
    """Whether each bracket has its other one; a ] that comes first stands for itself."""
    return not set("[]") & set(_SET.sub("", text))


def _check(name: str, given: str, known: tuple[str, ...]) -> None:
    if given and given not in known:
        raise InvalidRequest(f"There is no {name} {given!r}.", hint=f"Known: {', '.join(known)}.", param=name)
