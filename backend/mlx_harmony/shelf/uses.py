"""Which chats used what of a shelf, a small file for each chat: so that what only a deleted chat used can go. It knows no arrays.

"" stands for all requests that belong to no chat.
"""

import hashlib
import os
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from mlx_harmony.records import Record

SUFFIX = ".use"


class Use(Record):
    """What one chat used: of each run (by its id) up to which token, and in which one its last prompt or answer ends."""

    chat: str
    last: str = ""
    runs: dict[str, int] = {}


_decode = msgspec.json.Decoder(Use).decode


def read_uses(folder: Path) -> dict[str, Use]:
    """Every chat's use of a shelf; a file that cannot be read is left out."""
    uses = {}
    for path in folder.glob(f"*{SUFFIX}"):
        with suppress(OSError, msgspec.DecodeError):
            use = _decode(path.read_bytes())
            uses[use.chat] = use
    return uses


def write_use(folder: Path, use: Use) -> None:
    """Replace what is known of a chat, in one step, mode 0600. Raises OSError."""
    path = _path(folder, use.chat)
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    with open(new, "wb", opener=_private) as file:
        file.write(msgspec.json.encode(use))
    new.replace(path)


def remove_uses(folder: Path, chats: Iterable[str]) -> None:
    """Forget these chats."""
    for chat in chats:
        with suppress(OSError):
            _path(folder, chat).unlink(missing_ok=True)


def users_of(uses: Iterable[Use]) -> dict[str, dict[str, int]]:
    """Of each run, which chats used it and up to which token."""
    users: dict[str, dict[str, int]] = {}
    for use in uses:
        for run, until in use.runs.items():
            users.setdefault(run, {})[use.chat] = until
    return users


def stays_until(start: int, end: int, users: Mapping[str, int], gone: Collection[str]) -> int:
    """Up to which token a run stays when these chats go: its end where they did not use it, its start where nobody else did."""
    if not any(chat in users for chat in gone):
        return end
    return min(end, max((until for chat, until in users.items() if chat not in gone), default=start))


def _path(folder: Path, chat: str) -> Path:
    return folder / f"{hashlib.blake2b(chat.encode(), digest_size=16).hexdigest()}{SUFFIX}"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
