"""Reading JSON that a person wrote: bounded, strict, and with every fault named by file and JSON path. Knows no field by name.

Duplicate keys, NaN and half characters are refused: none of them can be kept without dropping something in silence.
"""

import json
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from types import NoneType
from typing import Any, Literal, NamedTuple, NoReturn, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from mlx_harmony.errors import SettingsError

LARGEST_FILE_BYTES = 1024 * 1024

Loc = tuple[int | str, ...]


class Fault(NamedTuple):
    """Something wrong at a place of a file, in words; `unknown` where a key is not known, which does no harm."""

    path: str
    words: str
    unknown: bool = False

    def __str__(self) -> str:
        return f"{self.path} {self.words}"


class Expects(NamedTuple):
    """What a field may hold, in words that complete "must be …", where its type and range do not say it."""

    words: str


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises SettingsError, which names the file, for anything else."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(f"{path} could not be read: {reason}.", hint="Check the path and who may read the file.") from error
    if len(content) > LARGEST_FILE_BYTES:
        raise SettingsError(f"{path} is larger than {LARGEST_FILE_BYTES // 1024} KiB.", hint="Shorten its texts.")
    try:
        data = json.loads(content.decode("utf-8-sig"), object_pairs_hook=_object, parse_constant=_no_constant)
        json.dumps(data, ensure_ascii=False).encode()
    except RecursionError as error:
        raise SettingsError(f"{path} is nested too deeply.", hint="Look at its brackets.") from error
    except ValueError as error:
        raise SettingsError(f"{path} is not valid JSON: {error}.", hint="Mend it there, or check it with: python -m json.tool") from error
    if not isinstance(data, dict):
        raise SettingsError(f'{path}: $ must be an object, as in {{"temperature": 0.7}}.', hint="Put its fields between { and }.")
    return data


def faults_of(error: ValidationError, model: type[BaseModel], data: Any) -> Iterator[Fault]:
    """Each fault with its place and what is allowed there."""
    for detail in error.errors(include_url=False):
        loc: Loc = tuple(part for part in detail["loc"] if part != "[key]")
        path = json_path(loc)
        if detail["type"] == "extra_forbidden":
            yield Fault(path, _unknown(loc, model), unknown=True)
        elif detail["type"] == "missing":
            yield Fault(path, "is missing.")
        else:
            top = model.model_fields.get(str(loc[0])) if len(loc) == 1 else None
            expected = expects(top) if top else _lower(detail["msg"])
            yield Fault(path, f"must be {expected}; it is {shown(_at(data, loc))}." if top else f"is not usable: {expected}.")


def without(data: dict[str, Any], unknown: list[Loc]) -> dict[str, Any]:
    """The same data less the keys at these places."""
    copy: dict[str, Any] = json.loads(json.dumps(data))
    for loc in unknown:
        del _at(copy, loc[:-1])[loc[-1]]
    return copy


def unknown_places(error: ValidationError) -> list[Loc]:
    """Where unknown keys stand."""
    return [detail["loc"] for detail in error.errors(include_url=False) if detail["type"] == "extra_forbidden"]


def json_path(loc: Loc) -> str:
    """A place in a JSON document: `$.example_dialogues[0][1].role`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" if part.isidentifier() else f"[{json.dumps(part)}]" for part in loc)
    return "$" + "".join(parts)


def expects(field: FieldInfo) -> str:
    """What a field may hold, in words: `a number from 0 to 2`."""
    said = next((mark.words for mark in field.metadata if isinstance(mark, Expects)), None)
    if said:
        return said
    kind = next((kind for kind in (*get_args(field.annotation), field.annotation) if kind is not NoneType), str)
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(map(str, get_args(kind)))
    words = _WORDS[kind]
    low = next((mark.ge for mark in field.metadata if isinstance(mark, Ge)), None)
    high = next((mark.le for mark in field.metadata if isinstance(mark, Le)), None)
    if low is None:
        return words
    return f"{words} of {low:g} or more" if high is None or float(str(high)) > 1e6 else f"{words} from {low:g} to {high:g}"


_WORDS: dict[Any, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def shown(value: Any) -> str:
    """A value as JSON, shortened."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:60] + "…"


def _unknown(loc: Loc, model: type[BaseModel]) -> str:
    near = get_close_matches(str(loc[-1]), model.model_fields, 1) if len(loc) == 1 else []
    return "is not known and was left out." + (f" Did you mean {near[0]}?" if near else "")


def _at(data: Any, loc: Loc) -> Any:
    for part in loc:
        data = data[part]
    return data


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands there twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
