"""Ways to spoil a conversation file, drawn at random from a seed: its values changed, and its bytes damaged."""

import copy
import json
import random
from typing import Any

ODD: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    7,
    2**63,
    10**30,
    1e308,
    0.5,
    "",
    " ",
    "x",
    "\x00",
    "\ud800",
    "~nobody/model",
    "../../../etc/passwd",
    "<img src=x onerror=alert(1)>",
    "x" * 5000,
    "2999-01-01T00:00:00",
    "2024-01-01T00:00:00+99:99",
    "streaming",
    "tool",
    [],
    [[]],
    {},
    [{"type": "text", "text": "part"}],
    {"unix": -5, "iso": "never"},
    {"": {"": {}}},
)
LITERALS = (
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"9" * 6000,
    b'"\\ud83d"',
    b"[" * 3000,
    b"{}",
    b"\xff",
    b"\x00",
    b"\\",
    b'"',
    b"}",
    b"]",
    b",",
    b":",
)


def spoilt(document: Any, chance: random.Random) -> bytes:
    """The document with one to six of its values changed and, as often as not, its bytes damaged."""
    changed = copy.deepcopy(document)
    for _ in range(chance.randint(1, 6)):
        _change(changed, chance)
    data = json.dumps(changed).encode()
    for _ in range(chance.choice((0, 0, 1, 3))):
        data = _damage(data, chance)
    return data


def _change(document: Any, chance: random.Random) -> None:
    """Replace, remove, double or move one value anywhere in the document."""
    places = list(_places(document))
    holder, key = chance.choice(places)
    match chance.randrange(5):
        case 0:
            del holder[key]
        case 1:
            other_holder, other_key = chance.choice(places)
            if other_key in (other_holder if isinstance(other_holder, dict) else range(len(other_holder))):
                holder[key] = copy.deepcopy(other_holder[other_key])
        case 2 if isinstance(holder, list):
            holder.insert(chance.randint(0, len(holder)), copy.deepcopy(holder[key]))
        case _:
            holder[key] = copy.deepcopy(chance.choice(ODD))


def _places(value: Any) -> Any:
    """Every (holder, key) of the document, the document itself as the root's holder."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in list(items):
        yield value, key
        yield from _places(below)


def _damage(data: bytes, chance: random.Random) -> bytes:
    """Cut off, cut out, doubled, or something else written into it."""
    at, to = sorted((chance.randint(0, len(data)), chance.randint(0, len(data))))
    match chance.randrange(5):
        case 0:
            return data[:at]
        case 1:
            return data[:at] + data[to:]
        case 2:
            return data[:to] + data[at:]
        case 3:
            return data[:at] + chance.choice(LITERALS) + data[at:]
        case _:
            return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
