"""profiles.json: named choices of model, prompt config and context. Reads, checks and resolves; never writes.

`~`, `${VAR}` and `${VAR:-default}` expand when a profile is resolved; `$${` is a plain `${`. Messages quote the file, not what
variables hold.
"""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mlx_harmony.errors import InvalidRequest, SettingsError
from mlx_harmony.field import LARGEST
from mlx_harmony.kv_ranges import check_kv
from mlx_harmony.prompting.loading import LoadedConfig, load_prompt_config
from mlx_harmony.prompting.reading import Expects, faults_of, json_path, read_object, shown
from mlx_harmony.prompting.records import ProfileRow
from mlx_harmony.records import AUTO_DRAFT, KvOptions
from mlx_harmony.settings import absolute

PROFILES_FILE = "profiles.json"
CONFIGS_FOLDER = "configs"
_MEND = "Mend the profile; the others can be used."
_VARIABLE = re.compile(r"\$(\$\{)|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|(\$\{)")


class _Entry(BaseModel):
    """One profile as the file has it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    model: Annotated[str, Expects("a model's id or folder")] = Field(min_length=1)
    prompt_config: str | None = None
    max_context_tokens: int | None = Field(None, ge=1, le=LARGEST)
    kv_bits: Annotated[Literal[0, 4, 8] | None, Expects("0, 4 or 8")] = None
    kv_group_size: Annotated[Literal[32, 64, 128] | None, Expects("32, 64 or 128")] = None
    quantized_kv_start: int | None = Field(None, ge=0, le=LARGEST)
    max_kv_size: int | None = Field(None, ge=0, le=LARGEST)
    kv_keep: int | None = Field(None, ge=0, le=LARGEST)
    draft_model: Annotated[str | None, Expects("a model's id or folder, or auto")] = None


class Profile(NamedTuple):
    """A profile ready for use: everything expanded, its prompt config read. `model` is an id or an absolute folder."""

    name: str
    model: str
    config: LoadedConfig | None = None
    max_context_tokens: int | None = None
    kv: KvOptions = KvOptions()
    draft_model: str | None = None


class Profiles:
    """The profiles of one file, and the folder where prompt configs are looked for next. A broken profile spoils no other."""

    def __init__(self, path: Path, configs: Path, data: Mapping[str, Any]) -> None:
        self._path = path
        self._configs = configs
        self._data = data

    @classmethod
    def read(cls, home: str, chosen: str = "") -> "Profiles":
        """The profiles of the home folder or of a `chosen` file. Raises SettingsError for a file that cannot be read or is no object."""
        path = absolute(chosen) if chosen else Path(home) / PROFILES_FILE
        there = chosen or path.exists()
        return cls(path, Path(home) / CONFIGS_FOLDER, read_object(path) if there else {})

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._data)

    def rows(self) -> tuple[ProfileRow, ...]:
        """Every profile with what is wrong with it."""
        return tuple(self._row(name) for name in self._data)

    def resolve(self, name: str) -> Profile:
        """The profile of that name. Raises SettingsError: for an unknown one with the known names, else with file and JSON path."""
        if name not in self._data:
            known = f"Known: {', '.join(self._data)}." if self._data else f"There are none: {self._path} is missing or empty."
            raise SettingsError(f"There is no profile {shown(name)}.", hint=known, param="profile")
        entry = self._entry(name)
        config = None
        if entry.prompt_config:
            config = load_prompt_config(self._config_path(name, entry.prompt_config))
        place, draft = (name, "model"), self._draft(name, entry.draft_model)
        return Profile(name, self._model(place, entry.model), config, entry.max_context_tokens, self._kv(name, entry), draft)

    def named(self) -> dict[str, str]:
        """The model that each profile names, an id or an absolute folder, also where something else is wrong with the profile."""
        found = {}
        for name, data in self._data.items():
            given = data.get("model") if isinstance(data, dict) else None
            if isinstance(given, str):
                with suppress(SettingsError):
                    found[name] = self._model((name, "model"), given)
        return found

    def folders(self) -> tuple[Path, ...]:
        """The folders of models that profiles name, so that they can be found like any other."""
        found = []
        for row in self.rows():
            if row.model and not row.problem:
                model = Path(self._model((row.name, "model"), row.model))
                if model.is_absolute() and (model / "config.json").is_file():
                    found.append(model)
        return tuple(found)

    def _row(self, name: str) -> ProfileRow:
        problem = ""
        try:
            self.resolve(name)
        except SettingsError as error:
            problem = error.message
        raw = self._data[name] if isinstance(self._data[name], dict) else {}
        model, config, context = (raw.get(key) for key in ("model", "prompt_config", "max_context_tokens"))
        return ProfileRow(
            name=name,
            model=model if isinstance(model, str) else "",
            prompt_config=config if isinstance(config, str) else None,
            max_context_tokens=context if type(context) is int else None,
            problem=problem,
        )

    def _entry(self, name: str) -> _Entry:
        data = self._data[name]
        if not isinstance(data, dict):
            raise self._error(json_path((name,)), 'must be an object, as in {"model": "starter"}.')
        try:
            return _Entry.model_validate(data)
        except ValidationError as error:
            faults = faults_of(error, _Entry, data)
            words = [f"{json_path((name,))}{fault.path[1:]} {fault.words.replace(' and was left out', '')}" for fault in faults]
            raise SettingsError(f"{self._path}: {' '.join(words)}", hint=_MEND, param="profile") from error

    def _kv(self, name: str, entry: _Entry) -> KvOptions:
        kv = KvOptions(**{field: getattr(entry, field) for field in KvOptions.__struct_fields__})
        try:
            check_kv(kv)
        except InvalidRequest as error:
            raise self._error(json_path((name, error.param or "")), f"cannot be: {error.message}") from error
        return kv

    def _config_path(self, name: str, given: str) -> Path:
        place = json_path((name, "prompt_config"))
        wanted = Path(os.path.expanduser(self._expanded(place, given)))  # noqa: PTH111
        tried = [wanted] if wanted.is_absolute() else [self._path.parent / wanted, self._configs / wanted]
        for path in tried:
            if path.is_file():
                return path
        places = " and ".join(str(path.parent) for path in tried) if "$" not in given else "its places"
        raise self._error(place, f"names {shown(given)}, which is not there; looked for in {places}.")

    def _model(self, place: tuple[str, str], given: str) -> str:
        """An id as it is; a folder, also one beside the file, as an absolute path."""
        text = os.path.expanduser(self._expanded(json_path(place), given))  # noqa: PTH111
        beside = self._path.parent / text
        return os.path.abspath(beside) if beside.is_dir() or Path(text).is_absolute() else text  # noqa: PTH100

    def _draft(self, name: str, given: str | None) -> str | None:
        """As a model, but "" is none and "auto" whichever fits."""
        return self._model((name, "draft_model"), given) if given and given != AUTO_DRAFT else given

    def _expanded(self, place: str, text: str) -> str:
        def value(found: re.Match[str]) -> str:
            escaped, variable, default, broken = found.groups()
            if escaped:
                return "${"
            if broken:
                raise self._error(place, f"holds a ${{ that names no variable: {shown(text)}.")
            kept = os.environ.get(variable)
            if kept or (kept is not None and default is None):
                return kept
            if default is None:
                raise self._error(place, f"needs the environment variable {variable}, which is not set.")
            return default

        return _VARIABLE.sub(value, text)

    def _error(self, place: str, words: str) -> SettingsError:
        return SettingsError(f"{self._path}: {place} {words}", hint=_MEND, param="profile")


def find_prompt_config(given: str, home: str) -> Path:
    """The file that was named: as a path, else in the configs folder. Raises SettingsError where it is in neither place."""
    path = absolute(given)
    beside = Path(home) / CONFIGS_FOLDER / given
    for candidate in (path, beside):
        if candidate.is_file():
            return candidate
    raise SettingsError(f"There is no prompt config {given!r}.", hint=f"Looked for {path} and {beside}.", param="prompt_config")
