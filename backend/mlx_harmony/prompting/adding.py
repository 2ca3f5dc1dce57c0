"""Adding a profile to profiles.json. What stands in the file stays letter by letter; what profiles come to is not known here."""

import json
import os
import threading
from contextlib import suppress
from pathlib import Path

from mlx_harmony.errors import InvalidRequest, StorageError
from mlx_harmony.prompting.profiles import PROFILES_FILE
from mlx_harmony.prompting.reading import read_object, shown
from mlx_harmony.settings import Settings, absolute

LONGEST_NAME = 60
_ALONE = threading.Lock()


def add_profile(settings: Settings, name: str, model: str) -> str:
    """Add a profile that names a model, and return its name. The file is the settings' or the home folder's, made where there is none.

    Raises InvalidRequest for a name that is taken or cannot be one, SettingsError for a file that cannot be read, and StorageError where
    it cannot be written; the file is then as it was.
    """
    line = " ".join(name.split())
    if not 0 < len(line) <= LONGEST_NAME:
        raise InvalidRequest(f"A profile's name has 1 to {LONGEST_NAME} characters.", param="name")
    chosen = absolute(settings.profiles_file) if settings.profiles_file else Path(settings.home, PROFILES_FILE)
    # Where the file is a link, what it leads to is written.
    path = chosen.resolve()
    with _ALONE:
        there = path.exists()
        known = read_object(path) if there else {}
        if line in known:
            raise InvalidRequest(f"There is a profile {shown(line)} already.", hint="Choose another name.", param="name")
        _replace(path, _with(path.read_text("utf-8-sig") if there else "{}\n", bool(known), line, model))
    return line


def _with(text: str, follows: bool, name: str, model: str) -> str:
    """The text of an object with one entry more at its end."""
    before, _, after = text.rpartition("}")
    entry = f"  {json.dumps(name, ensure_ascii=False)}: {json.dumps({'model': model}, ensure_ascii=False)}"
    return f"{before.rstrip()}{',' if follows else ''}\n{entry}\n}}{after}"


def _replace(path: Path, text: str) -> None:
    """Put the text in place of the file in one step, with the rights that it had."""
    new = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(new, "w", encoding="utf-8", opener=_private) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            new.chmod(path.stat().st_mode & 0o777)
        new.replace(path)
    except OSError as error:
        with suppress(OSError):
            new.unlink()
        hint = "Check that the folder is writable and has space; nothing was changed."
        raise StorageError(f"{path.name} could not be saved: {error.strerror or error} ({path}).", hint=hint) from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
