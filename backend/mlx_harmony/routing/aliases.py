"""aliases.json: names that stand for several models. Reads, checks and writes it; which models are there it is told.

An alias that cannot be used spoils no other. The file is read whenever it is asked for, so that a change by hand counts at once.
"""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mlx_harmony.errors import InvalidRequest
from mlx_harmony.field import LARGEST
from mlx_harmony.prompting.reading import Expects, Fault, faults_of, json_path, read_object, shown
from mlx_harmony.routing.records import Alias, Rule
from mlx_harmony.settings import write_file

ALIASES_FILE = "aliases.json"
LONGEST_NAME = 60
LONGEST_ID = 4096
MOST = 100
MOST_MODELS = 32

UNITS = ("tokens", "characters")
UNTOUCHED = "The file is as it was."

_Id = Annotated[str, Field(min_length=1, max_length=LONGEST_ID)]


class _Rule(BaseModel):
    """One rule as the file has it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    model: _Id
    min_tokens: int | None = Field(None, ge=0, le=LARGEST)
    max_tokens: int | None = Field(None, ge=0, le=LARGEST)
    min_characters: int | None = Field(None, ge=0, le=LARGEST)
    max_characters: int | None = Field(None, ge=0, le=LARGEST)
    tools: bool | None = None
    effort: Literal["low", "medium", "high"] | None = None


class _Entry(BaseModel):
    """One alias as the file has it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    models: Annotated[list[_Id], Expects(f"a list of 1 to {MOST_MODELS} models' ids")] = Field(min_length=1, max_length=MOST_MODELS)
    strategy: Annotated[Literal["round_robin", "first"], Expects("round_robin or first")] = "round_robin"
    rules: Annotated[list[_Rule], Expects(f"a list of at most {MOST_MODELS} rules")] = Field([], max_length=MOST_MODELS)
    fallbacks: Annotated[list[_Id], Expects(f"a list of at most {MOST_MODELS} models' ids")] = Field([], max_length=MOST_MODELS)


class Aliases:
    """The aliases of one home folder."""

    def __init__(self, home: str) -> None:
        self._path = Path(home) / ALIASES_FILE

    def all(self, models: Collection[str]) -> dict[str, Alias]:
        """Every alias by its name, each with what is wrong with it; `models` are the ids that are taken.

        Raises SettingsError for a file that cannot be read.
        """
        data = self._read()
        read = {name: self._alias(name, value) for name, value in data.items()}
        return {name: msgspec.structs.replace(alias, problem=self._problem(alias, read, models)) for name, alias in read.items()}

    def save(self, alias: Alias, models: Collection[str]) -> Alias:
        """Keep an alias, in place of one that has its name. Raises StorageError, and InvalidRequest for one that could not be used.

        Its `param` is the field at fault, as `models[1]` or `rules[0].max_tokens`.
        """
        data = self._read()
        name = " ".join(alias.name.split())
        if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
            raise InvalidRequest(f"An alias has a name of 1 to {LONGEST_NAME} characters.", param="name")
        if len(data) >= MOST and name not in data:
            raise InvalidRequest(f"There are {MOST} aliases already.", hint="Remove one that is not needed.", param="name")
        alias = msgspec.structs.replace(alias, name=name)
        others = {each: self._alias(each, value) for each, value in data.items() if each != name}
        _refuse_unknown(alias, (*models, *others))
        for fault in _faults(_written(alias)):
            raise InvalidRequest(f"{fault.path[2:]} {fault.words}", hint=UNTOUCHED, param=fault.path[2:])
        if trouble := _trouble(alias, others | {name: alias}, models):
            raise InvalidRequest(f"{name}{trouble.words}", hint=UNTOUCHED, param=trouble.path)
        write_file(self._path, data | {name: _written(alias)})
        return alias

    def remove(self, name: str) -> Alias:
        """Delete an alias and return what it was. Raises InvalidRequest for one that is not there, naming the known ones."""
        data = self._read()
        if name not in data:
            known = f"Known: {', '.join(data)}." if data else "There are none."
            raise InvalidRequest(f"There is no alias {shown(name)}.", hint=known, param="name")
        gone = self._alias(name, data.pop(name))
        write_file(self._path, data)
        return gone

    def _read(self) -> dict[str, Any]:
        return read_object(self._path) if self._path.exists() else {}

    def _alias(self, name: str, data: Any) -> Alias:
        """One alias, with what is wrong with its own fields."""
        place = json_path((name,))
        if not isinstance(data, dict):
            return Alias(name=name, problem=f'{self._path}: {place} must be an object, as in {{"models": ["starter"]}}.')
        if faults := tuple(_faults(data)):
            words = [f"{place}{fault.path[1:]} {fault.words}" for fault in faults]
            return Alias(name=name, problem=f"{self._path}: {' '.join(words)}")
        entry = _Entry.model_validate(data)
        rules = tuple(Rule(**rule.model_dump()) for rule in entry.rules)
        return Alias(name=name, models=tuple(entry.models), strategy=entry.strategy, rules=rules, fallbacks=tuple(entry.fallbacks))

    def _problem(self, alias: Alias, aliases: Mapping[str, Alias], models: Collection[str]) -> str:
        """What keeps an alias from being used, "" for nothing."""
        if alias.problem:
            return alias.problem
        trouble = _trouble(alias, aliases, models)
        return f"{self._path}: {json_path((alias.name,))}{trouble.words}" if trouble else ""


def _faults(data: Any) -> Iterator[Fault]:
    """What is wrong with the fields of one alias; their places begin with `$`."""
    try:
        entry = _Entry.model_validate(data)
    except ValidationError as error:
        for fault in faults_of(error, _Entry, data):
            yield Fault(fault.path, fault.words.replace(" and was left out", ""))
        return
    for at, rule in enumerate(entry.rules):
        if all(value is None for value in rule.model_dump(exclude={"model"}).values()):
            yield Fault(f"$.rules[{at}]", "asks for nothing, so nothing after it would count.")
        elif unit := next((unit for unit in UNITS if _never(getattr(rule, f"min_{unit}"), getattr(rule, f"max_{unit}"))), None):
            yield Fault(f"$.rules[{at}].max_{unit}", f"is less than min_{unit}, so the rule never holds.")


def _never(least: int | None, most: int | None) -> bool:
    return least is not None and most is not None and most < least


def _refuse_unknown(alias: Alias, known: Collection[str]) -> None:
    """Raises InvalidRequest for a name that is nobody's, with the field in which it stands."""
    fields = {f"models[{at}]": name for at, name in enumerate(alias.models)}
    fields |= {f"rules[{at}].model": rule.model for at, rule in enumerate(alias.rules)}
    fields |= {f"fallbacks[{at}]": name for at, name in enumerate(alias.fallbacks)}
    for field, name in fields.items():
        if name not in known and name != alias.name:
            hint = f"Known: {', '.join(known)}."
            raise InvalidRequest(f"There is no model {shown(name)} on this machine.", hint=hint, param=field)


def _trouble(alias: Alias, aliases: Mapping[str, Alias], models: Collection[str]) -> Fault | None:
    """What keeps a sound alias from being used beside the others: the field at fault, and words that go on after its name."""
    if alias.name in models:
        return Fault("name", f": a model is called {shown(alias.name)} as well, and it is the model that answers.")
    if circle := _circle(alias, aliases, models):
        return Fault("models", f" leads in a circle: {' → '.join(circle)}.")
    if not any(reachable in models for reachable in reached(alias, aliases, models)):
        return Fault("models", " names no model that is on this machine.")
    return None


def reached(alias: Alias, aliases: Mapping[str, Alias], models: Collection[str]) -> tuple[str, ...]:
    """Every model that may answer for an alias, also through others, and also where it is not on this machine."""
    found: dict[str, None] = {}
    entered, waiting = {alias.name}, list(alias.named)
    while waiting:
        name = waiting.pop(0)
        if name in models or name not in aliases:
            found[name] = None
        elif name not in entered:
            entered.add(name)
            waiting += aliases[name].named
    return tuple(found)


def _circle(alias: Alias, aliases: Mapping[str, Alias], models: Collection[str]) -> tuple[str, ...]:
    """A way on which an alias leads back to one that it came through, () where none does."""
    ended: set[str] = set()

    def follow(path: tuple[str, ...]) -> tuple[str, ...]:
        for name in aliases[path[-1]].named:
            if name in path:
                return (*path, name)
            if name in aliases and name not in models and name not in ended and (found := follow((*path, name))):
                return found
        ended.add(path[-1])
        return ()

    return follow((alias.name,))


def _written(alias: Alias) -> dict[str, Any]:
    """An alias as the file has it: what is as it is by default is left out."""
    rules = [{name: value for name, value in msgspec.to_builtins(rule).items() if value is not None} for rule in alias.rules]
    written = {"models": list(alias.models), "strategy": alias.strategy, "rules": rules, "fallbacks": list(alias.fallbacks)}
    return {name: value for name, value in written.items() if value or name == "models"}
