"""The app's settings: one frozen object, read once, replaced and saved on change. Knows which folder the app may write.

Where a value comes from, strongest first: a flag, an MLX_HARMONY_* variable, home/settings.json, the default. The file holds only
what the person chose; keys this program does not know are reported and left in it. MLX_HARMONY_API_KEY is kept as its hash only.
"""

import hashlib
import ipaddress
import os
import time
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from mlx_harmony.errors import SettingsError, StorageError
from mlx_harmony.records import EFFORTS, Effort, Record

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 7860
SETTINGS_FILE = "settings.json"
LARGEST_FILE_BYTES = 1024 * 1024

Source = Literal["flag", "env", "file", "default"]
Theme = Literal["system", "light", "dark"]

THEMES: tuple[Theme, ...] = ("system", "light", "dark")


def absolute(folder: str) -> Path:
    """The folder a person named. Unlike Path.expanduser, the home of an unknown user is left as it stands and raises nothing."""
    return Path(os.path.abspath(os.path.expanduser(folder)))  # noqa: PTH100, PTH111


def home_folder() -> Path:
    """Where everything the app writes lives: MLX_HARMONY_HOME, else ~/.mlx-harmony."""
    chosen = os.environ.get("MLX_HARMONY_HOME")
    return absolute(chosen).resolve() if chosen else Path.home() / ".mlx-harmony"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`. A name other than localhost is not trusted to stay here."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class Settings(Record):
    """What the app was told. `models_dirs` are folders whose sub-folders are models; `model` is used where a request names none.

    `sources` tells where each value came from that is not the default, `notices` what could not be used as it stood. `profile`,
    `prompt_config` and `profiles_file` are of this run only: they come from flags and are never saved.
    """

    home: str
    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    model: str = "starter"
    draft_model: str = ""
    models_dirs: tuple[str, ...] = ()
    api_key_hashes: tuple[str, ...] = ()
    max_waiting: int = 64
    max_models: int = 3
    memory_budget_mb: int = 0
    idle_minutes: int = 0
    pinned_models: tuple[str, ...] = ()
    cache_memory_mb: int = 2048
    cache_disk_mb: int = 8192
    cache_entries: int = 0
    theme: Theme = "system"
    effort: Effort = "medium"
    instructions: str = ""
    kv_bits: int = 0
    max_kv_size: int = 0
    profile: str = ""
    prompt_config: str = ""
    profiles_file: str = ""
    sources: dict[str, Source] = {}
    notices: tuple[str, ...] = ()

    def source(self, name: str) -> Source:
        return self.sources.get(name, "default")


class SettingField(Record):
    """One setting as a person meets it. `expects` completes "must be …"; `choices` are all its values where there are few."""

    name: str
    label: str
    help: str
    expects: str
    takes_effect: Literal["now", "next start"] = "now"
    choices: tuple[str, ...] = ()

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"MLX_HARMONY_{self.name.upper()}"


SETTING_FIELDS: tuple[SettingField, ...] = (
    SettingField(
        name="model", label="Default model", help="The model that answers where none is chosen.", expects="a model's id or folder"
    ),
    SettingField(
        name="draft_model",
        label="Draft model",
        help="A smaller model with the same tokens that guesses ahead, so that answers come faster; auto takes the largest that fits.",
        expects="a model's id or folder, auto, or nothing",
    ),
    SettingField(
        name="models_dirs",
        label="Model folders",
        help="Folders whose sub-folders are models.",
        expects="a list of folders",
    ),
    SettingField(
        name="theme", label="Theme", help="Light or dark, or as the system has it.", expects="system, light or dark", choices=THEMES
    ),
    SettingField(
        name="effort",
        label="Reasoning effort",
        help="How long a new chat's model thinks before it answers.",
        expects="low, medium or high",
        choices=EFFORTS,
    ),
    SettingField(name="instructions", label="Instructions", help="What every new chat tells its model first.", expects="text"),
    SettingField(
        name="kv_bits",
        label="KV bits",
        help="In how many bits a number a new chat's model keeps what it has read; 0 as it was computed.",
        expects="0, 4 or 8",
        choices=("0", "4", "8"),
    ),
    SettingField(
        name="max_kv_size",
        label="KV window",
        help="How many tokens a new chat's model sees at most, the first ones and the latest; 0 is all.",
        expects="a whole number of 0 or more",
    ),
    SettingField(
        name="max_waiting",
        label="Waiting requests",
        help="How many requests may wait for a model before the next is refused.",
        expects="a whole number from 1 to 10000",
        takes_effect="next start",
    ),
    SettingField(
        name="max_models",
        label="Loaded models",
        help="How many models may be loaded at once; the longest unused one makes room.",
        expects="a whole number from 1 to 100",
    ),
    SettingField(
        name="memory_budget_mb",
        label="Memory for models",
        help="Megabytes that all loaded models together may take; 0 is what the machine has.",
        expects="a whole number from 0 to 10000000",
    ),
    SettingField(
        name="idle_minutes",
        label="Unload when idle",
        help="After how many minutes without a request a model is unloaded; 0 is never.",
        expects="a whole number from 0 to 100000",
    ),
    SettingField(
        name="pinned_models",
        label="Pinned models",
        help="Models that stay loaded until somebody unloads them, whatever needs room.",
        expects="a list of models' ids",
    ),
    SettingField(
        name="cache_memory_mb",
        label="Cache in memory",
        help="Megabytes in which each model keeps what it read, at most an eighth of the free memory unless set here; 0 keeps nothing.",
        expects="a whole number from 0 to 1000000",
        takes_effect="next start",
    ),
    SettingField(
        name="cache_entries",
        label="Cached chats",
        help="How many chats' prompts each model keeps, requests of the API one by one; the longest unused go. 0 is any number.",
        expects="a whole number from 0 to 100000",
        takes_effect="next start",
    ),
    SettingField(
        name="cache_disk_mb",
        label="Cache on disk",
        help="Megabytes in which all models keep what they read for their next start; 0 keeps nothing.",
        expects="a whole number from 0 to 10000000",
        takes_effect="next start",
    ),
    SettingField(
        name="host",
        label="Address",
        help="Where the server listens; any but this machine's own needs an API key.",
        expects="a host name or address",
        takes_effect="next start",
    ),
    SettingField(
        name="port",
        label="Port",
        help="The port the server listens on; 0 takes a free one.",
        expects="a whole number from 0 to 65535",
        takes_effect="next start",
    ),
)
"""Every setting that acts, in the order in which a person reads them."""

_FIELDS = {field.name: field for field in SETTING_FIELDS}
_TYPES: dict[str, Any] = {
    "model": Annotated[str, msgspec.Meta(min_length=1, max_length=4096)],
    "draft_model": Annotated[str, msgspec.Meta(max_length=4096)],
    "models_dirs": tuple[str, ...],
    "theme": Theme,
    "effort": Effort,
    "instructions": Annotated[str, msgspec.Meta(max_length=100_000)],
    "kv_bits": Literal[0, 4, 8],
    "max_kv_size": Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)],
    "max_waiting": Annotated[int, msgspec.Meta(ge=1, le=10_000)],
    "max_models": Annotated[int, msgspec.Meta(ge=1, le=100)],
    "memory_budget_mb": Annotated[int, msgspec.Meta(ge=0, le=10_000_000)],
    "idle_minutes": Annotated[int, msgspec.Meta(ge=0, le=100_000)],
    "pinned_models": Annotated[tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=4096)], ...], msgspec.Meta(max_length=1000)],
    "cache_memory_mb": Annotated[int, msgspec.Meta(ge=0, le=1_000_000)],
    "cache_entries": Annotated[int, msgspec.Meta(ge=0, le=100_000)],
    "cache_disk_mb": Annotated[int, msgspec.Meta(ge=0, le=10_000_000)],
    "host": Annotated[str, msgspec.Meta(min_length=1, max_length=255)],
    "port": Annotated[int, msgspec.Meta(ge=0, le=65_535)],
    "api_key_hashes": tuple[Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")], ...],
}
_HIDDEN = SettingField(name="api_key_hashes", label="API keys", help="SHA-256 of each key.", expects="a list of SHA-256 sums in hex")


def load_settings(flags: dict[str, Any] | None = None, home: Path | None = None) -> Settings:
    """The settings of this run; `flags` are those really given. Raises SettingsError for a flag or variable that cannot be used.

    What cannot be used in the file is reported in `notices` and does not stop the program; a damaged file is set aside.
    """
    folder = home or home_folder()
    kept, notices = _read_file(folder / SETTINGS_FILE)
    values: dict[str, Any] = {}
    sources: dict[str, Source] = {}
    for name in _TYPES:
        for source, given in (("flag", (flags or {}).get(name)), ("env", _from_environment(name)), ("file", kept.get(name))):
            if given is None:
                continue
            try:
                values[name] = checked(name, given)
            except SettingsError as error:
                if source != "file":
                    raise
                notices.append(f"{SETTINGS_FILE}: {error.message} The default is used.")
                continue
            sources[name] = source  # type: ignore[assignment]
            break
    return Settings(home=str(folder), sources=sources, notices=tuple(notices), **values)


def checked(name: str, value: Any) -> Any:
    """The value in its own type, folders made absolute. Raises SettingsError with what it must be."""
    if name not in _TYPES:
        raise SettingsError(f"There is no setting {name!r}.", hint=f"Known: {', '.join(_FIELDS)}.", param=name)
    field = _FIELDS.get(name, _HIDDEN)
    try:
        found = msgspec.convert(value, _TYPES[name], strict=not isinstance(value, str))
        texts = found if isinstance(found, tuple) else (found,)
        if b"\0" in "".join(map(str, texts)).encode():
            raise ValueError("no path or text holds NUL")
    except ValueError as error:
        raise SettingsError(f"{name} must be {field.expects}.", hint=f"{field.label}: {field.help}", param=name) from error
    if name == "models_dirs":
        return tuple(str(absolute(folder)) for folder in found if folder)
    if name in ("model", "draft_model") and found and absolute(found).is_dir():
        return str(absolute(found))
    return found


def changed(settings: Settings, changes: dict[str, Any]) -> Settings:
    """The settings with these changes, saved to home/settings.json. Raises SettingsError and, where saving fails, StorageError."""
    values = {name: checked(name, value) for name, value in changes.items()}
    if "host" in values and not (settings.api_key_hashes or is_loopback(values["host"])):
        hint = "Set MLX_HARMONY_API_KEY before the start, or keep 127.0.0.1: without a key it would not start."
        raise SettingsError("Other machines may only be let in with an API key.", hint=hint, param="host")
    if values.get("kv_bits", settings.kv_bits) and values.get("max_kv_size", settings.max_kv_size):
        raise SettingsError("KV bits and a KV window do not go together.", hint="Set the other one to 0 first.", param=next(iter(values)))
    path = Path(settings.home) / SETTINGS_FILE
    write_file(path, _kept(path, settings) | values)
    sources: dict[str, Source] = settings.sources | dict.fromkeys(values, "file")
    return msgspec.structs.replace(settings, sources=sources, **values)


def _kept(path: Path, settings: Settings) -> dict[str, Any]:
    """What the file holds and a change must not lose. Raises StorageError where that cannot be read.

    A file damaged since the start has been set aside: what this run has read of it at its start takes its place.
    """
    kept, told = _read_file(path)
    if kept or not told:
        return kept
    if path.exists():
        raise StorageError(f"{path.name} could not be read, so nothing was changed.", hint=f"Look at {path}.")
    return {name: getattr(settings, name) for name, source in settings.sources.items() if source == "file"}


def _from_environment(name: str) -> str | list[str] | None:
    if name == "api_key_hashes":
        key = os.environ.get("MLX_HARMONY_API_KEY")
        return [hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()] if key else None
    given = os.environ.get(_FIELDS[name].variable)
    if not given:
        return None
    match name:
        case "models_dirs":
            return given.split(os.pathsep)
        case "pinned_models":
            return [part for part in map(str.strip, given.split(",")) if part]
    return given


def _read_file(path: Path) -> tuple[dict[str, Any], list[str]]:
    """What the file holds and what to tell of it; unknown keys are among both."""
    try:
        with path.open("rb") as file:
            kept = msgspec.json.decode(file.read(LARGEST_FILE_BYTES))
    except FileNotFoundError:
        return {}, []
    except OSError as error:
        return {}, [f"{path} could not be read ({error.strerror}); the defaults are used."]
    except (ValueError, RecursionError):
        return {}, [_set_aside(path)]
    if not isinstance(kept, dict):
        return {}, [_set_aside(path)]
    return kept, [f"{path.name}: {_unknown(key)}" for key in kept if key not in _TYPES]


def _unknown(key: str) -> str:
    near = get_close_matches(key, _TYPES, 1)
    return f"the key {key!r} is not known and was ignored." + (f" Did you mean {near[0]!r}?" if near else "")


def _set_aside(path: Path) -> str:
    aside = path.with_name(f"{path.name}.{time.strftime('%Y%m%d-%H%M%S')}.damaged")
    try:
        path.replace(aside)
    except OSError as error:
        return f"{path} is damaged and could not be set aside ({error.strerror}); the defaults are used."
    return f"{path.name} was damaged; it was kept as {aside} and the defaults are used."


def write_file(path: Path, kept: dict[str, Any]) -> None:
    """Replace the file in one step, mode 0600: after a crash it is the old one or the new one."""
    content = msgspec.json.format(msgspec.json.encode(kept), indent=2) + b"\n"
    # One fixed name: what a crash left under it is overwritten by the next save.
    new = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(new, "wb", opener=_private) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        with suppress(OSError):
            new.unlink()
        hint = "Check that the folder is writable and has space; nothing was changed."
        raise StorageError(f"{path.name} could not be saved: {error.strerror or error} ({path}).", hint=hint) from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
