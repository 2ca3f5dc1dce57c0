"""aliases.json: names that stand for several models. Reads, checks and writes it; which models are there it is told.

An alias that cannot be used spoils no other. The file is read whenever it is asked for, so that a change by hand counts at once.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mlx_harmony.errors import InvalidRequest
from mlx_harmony.field import LARGEST
from mlx_harmony.prompting.reading import Expects, faults_of, json_path, read_object, shown
from mlx_harmony.routing.records import Alias, Rule
from mlx_harmony.settings import write_file

ALIASES_FILE = "aliases.json"
LONGEST_NAME = 60
LONGEST_ID = 4096
MOST = 100
MOST_MODELS = 32

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
        """Keep an alias, in place of one that has its name. Raises InvalidRequest for one that could not be used, and StorageError."""
        data = self._read()
        name = " ".join(alias.name.split())
        if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
            raise InvalidRequest(f"An alias has a name of 1 to {LONGEST_NAME} characters.", param="name")
        if len(data) >= MOST and name not in data:
            raise InvalidRequest(f"There are {MOST} aliases already.", hint="Remove one that is not needed.", param="name")
        alias = msgspec.structs.replace(alias, name=name)
        unknown = [each for each in alias.named if each not in models and each not in data and each != name]
        if unknown:
            hint = f"Known: {', '.join((*models, *(each for each in data if each != name)))}."
            raise InvalidRequest(f"There is no model {shown(unknown[0])} on this machine.", hint=hint, param="models")
        checked = self._alias(name, _written(alias))
        others = {each: self._alias(each, value) for each, value in data.items() if each != name}
        if problem := self._problem(checked, others | {name: checked}, models):
            raise InvalidRequest(problem, hint="The file is as it was.", param="name")
        write_file(self._path, data | {name: _written(checked)})
        return checked

    def remove(self, name: str) -> None:
        """Delete an alias. Raises InvalidRequest for one that is not there, naming the known ones."""
        data = self._read()
        if name not in data:
            known = f"Known: {', '.join(data)}." if data else "There are none."
            raise InvalidRequest(f"There is no alias {shown(name)}.", hint=known, param="name")
        del data[name]
        write_file(self._path, data)

    def _read(self) -> dict[str, Any]:
        return read_object(self._path) if self._path.exists() else {}

    def _alias(self, name: str, data: Any) -> Alias:
        """One alias, with what is wrong with its own fields."""
        place = json_path((name,))
        if not isinstance(data, dict):
            return Alias(name=name, problem=f'{self._path}: {place} must be an object, as in {{"models": ["starter"]}}.')
        try:
            entry = _Entry.model_validate(data)
        except ValidationError as error:
            words = [f"{place}{fault.path[1:]} {fault.words.replace(' and was left out', '')}" for fault in faults_of(error, _Entry, data)]
            return Alias(name=name, problem=f"{self._path}: {' '.join(words)}")
        rules = tuple(Rule(**rule.model_dump()) for rule in entry.rules)
        idle = [at for at, rule in enumerate(rules) if rule == Rule(model=rule.model)]
        problem = f"{self._path}: {place}.rules[{idle[0]}] asks for nothing, so nothing after it would count." if idle else ""
        models, fallbacks = tuple(entry.models), tuple(entry.fallbacks)
        return Alias(name=name, models=models, strategy=entry.strategy, rules=rules, fallbacks=fallbacks, problem=problem)

    def _problem(self, alias: Alias, aliases: Mapping[str, Alias], models: Collection[str]) -> str:
        """What keeps an alias from being used, "" for nothing."""
        if alias.problem:
            return alias.problem
        if alias.name in models:
            return f"{self._path}: a model is called {shown(alias.name)} as well, and it is the model that answers."
        if circle := _circle(alias, aliases, models):
            return f"{self._path}: {json_path((alias.name,))} leads in a circle: {' → '.join(circle)}."
        if not any(reachable in models for reachable in reached(alias, aliases, models)):
            return f"{self._path}: {json_path((alias.name,))} names no model that is on this machine."
        return ""


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
