"""Placeholders in texts: the built-in ones tell a fixed time, the others are the person's own. Pure; the time is given.

One pass replaces names by texts and looks at nothing else, so no text can run code or expand without end.
"""

import datetime
import re
from collections.abc import Callable, Mapping

Expand = Callable[[str], str]

_ANGLE = re.compile(r"<\|([^<>|]+)\|>")
_BUILT_IN: dict[str, Callable[[datetime.datetime], str]] = {
    "DATE": lambda now: now.strftime("%Y-%m-%d"),
    "DATETIME": lambda now: now.replace(tzinfo=None).isoformat(timespec="seconds"),
    "TIME": lambda now: now.strftime("%H:%M:%S"),
    "TIMEZ": lambda now: now.strftime("%H:%M:%S"),
    "TIMEA": lambda now: f"{now.hour % 12 or 12:02}:{now:%M:%S} {'AM' if now.hour < 12 else 'PM'}",
    "TIMEU": lambda now: now.astimezone(datetime.UTC).strftime("%H:%M:%S UTC"),
}
BUILT_IN: tuple[str, ...] = tuple(_BUILT_IN)
"""The names that need no definition, as in `<|DATE|>`."""


def expander(own: Mapping[str, str], now: datetime.datetime) -> Expand:
    """What expands texts at this moment. Own names match as `{key}` exactly and as `<|KEY|>` in any case, before built-in ones.

    Unknown names stay as they are. `now` without a time zone is local.
    """
    local = now.astimezone()
    angle = {name: tell(local) for name, tell in _BUILT_IN.items()} | {key.upper(): text for key, text in own.items()}
    pattern = re.compile("|".join((_ANGLE.pattern, *(re.escape(f"{{{key}}}") for key in own))))

    def replaced(found: re.Match[str]) -> str:
        whole, name = found[0], found[1]
        return own[whole[1:-1]] if name is None else angle.get(name.upper(), whole)

    return lambda text: pattern.sub(replaced, text)


def moment(iso: str) -> datetime.datetime:
    """The moment an ISO 8601 text names; one without a zone is UTC, so that it means the same everywhere. Raises ValueError."""
    found = datetime.datetime.fromisoformat(iso.strip())
    return found.replace(tzinfo=datetime.UTC) if found.tzinfo is None else found
