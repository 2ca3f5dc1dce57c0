"""Presets: named sets of sampling numbers, some of our own and the person's in presets.json. Knows no chat and no model.

A preset is whole: a number it does not name is as it is by default, so that two presets never mix.
"""

from pathlib import Path
from typing import Any

import msgspec

from mlx_harmony.errors import HarmonyError, InvalidRequest, SettingsError
from mlx_harmony.field import check_field
from mlx_harmony.prompting.reading import json_path, read_object, shown
from mlx_harmony.ranges import SAMPLING_FIELDS
from mlx_harmony.records import Record, Sampling
from mlx_harmony.settings import write_file

PRESETS_FILE = "presets.json"
LONGEST_NAME = 40
MOST = 100
_FIELDS = {field.name: field for field in SAMPLING_FIELDS}
_MEND = "Mend the preset; the others can be used."


class Preset(Record):
    """One preset. `own`: the person's. `problem` says why one of theirs cannot be used; its numbers are then the usual ones."""

    name: str
    sampling: Sampling = Sampling()
    note: str = ""
    own: bool = False
    problem: str = ""

    def is_of(self, sampling: Sampling) -> bool:
        """Whether these numbers are this preset."""
        return not self.problem and numbers_of(self.sampling) == numbers_of(sampling)


BUILT_IN = (
    Preset(name="Usual", note="Every number as it is by default: what gpt-oss was made for."),
    Preset(name="Creative", sampling=Sampling(temperature=1.2, top_p=0.95, min_p=0.02), note="Freer words, without the least likely ones."),
    Preset(name="Balanced", sampling=Sampling(temperature=0.7, top_p=0.9), note="Steadier than usual, and still different each time."),
    Preset(name="Deterministic", sampling=Sampling(temperature=0.0, seed=0), note="Always the likeliest word: the same answer each time."),
)


class Presets:
    """The presets of one home folder. The file is read whenever it is asked for, so that a change by hand shows at once."""

    built_in: tuple[Preset, ...] = BUILT_IN

    def __init__(self, home: str) -> None:
        self._path = Path(home) / PRESETS_FILE
        self._removed: dict[str, Any] = {}

    def all(self) -> tuple[Preset, ...]:
        """Our own, then the person's in their order. Raises SettingsError for a file that cannot be read."""
        return (*BUILT_IN, *(self._preset(name, value) for name, value in self._read().items()))

    def find(self, name: str) -> Preset:
        """The preset of that name, in any case.

        Raises InvalidRequest for an unknown one, naming the known ones, and SettingsError for a broken one.
        """
        presets = self.all()
        found = next((each for each in presets if each.name.casefold() == name.strip().casefold()), None)
        if found is None:
            known = ", ".join(each.name for each in presets)
            raise InvalidRequest(f"There is no preset {shown(name)}.", hint=f"Known presets: {known}.", param="preset")
        if found.problem:
            raise SettingsError(found.problem, hint=_MEND, param="preset")
        return found

    def apply(self, name: str, sampling: Sampling) -> Sampling:
        """The sampling with that preset's numbers; what is no plain number, such as biases, stays. Raises as `find` does."""
        return msgspec.structs.replace(sampling, **{each: getattr(self.find(name).sampling, each) for each in _FIELDS})

    def save(self, name: str, sampling: Sampling) -> Preset:
        """Keep these numbers under that name, in place of a preset of the person's that has it. Raises InvalidRequest for other names."""
        line = " ".join(name.split())
        kept = self._read()
        if not 0 < len(line) <= LONGEST_NAME:
            raise InvalidRequest(f"A preset's name has 1 to {LONGEST_NAME} characters.", param="name")
        if any(each.name.casefold() == line.casefold() for each in BUILT_IN):
            raise InvalidRequest(f"{line} is a preset of the app’s own.", hint="Choose another name.", param="name")
        others = {each: value for each, value in kept.items() if each.casefold() != line.casefold()}
        if len(others) >= MOST:
            raise InvalidRequest(f"There are {MOST} presets already.", hint="Delete one that is not needed.", param="name")
        write_file(self._path, others | {line: numbers_of(sampling)})
        return Preset(name=line, sampling=sampling, own=True)

    def remove(self, name: str) -> None:
        """Delete a preset of the person's; one that is not there is left so. `restore` brings it back while the program runs."""
        kept = self._read()
        if name in kept:
            value = kept.pop(name)
            write_file(self._path, kept)
            self._removed = dict([*self._removed.items(), (name, value)][-MOST:])

    def restore(self, name: str) -> None:
        """Bring a deleted preset back as it was. Raises InvalidRequest where it is not known, or its name is in use again."""
        kept = self._read()
        if name not in self._removed or len(kept) >= MOST or any(each.casefold() == name.casefold() for each in kept):
            raise InvalidRequest(f"The preset {shown(name)} cannot be brought back.", hint="Save its numbers anew.", param="name")
        write_file(self._path, kept | {name: self._removed[name]})
        del self._removed[name]

    def _read(self) -> dict[str, Any]:
        return read_object(self._path) if self._path.exists() else {}

    def _preset(self, name: str, value: object) -> Preset:
        try:
            return Preset(name=name, sampling=self._sampling(name, value), own=True)
        except HarmonyError as error:
            return Preset(name=name, own=True, problem=error.message)

    def _sampling(self, name: str, value: object) -> Sampling:
        if not isinstance(value, dict):
            raise SettingsError(f'{self._path}: {json_path((name,))} must be an object, as in {{"temperature": 0.7}}.')
        numbers = {key: self._number((name, key), number) for key, number in value.items()}
        return Sampling(**numbers)

    def _number(self, place: tuple[str, str], value: object) -> Any:
        field = _FIELDS.get(place[1])
        if field is None:
            raise SettingsError(f"{self._path}: {json_path(place)} is no sampling number. Known: {', '.join(_FIELDS)}.")
        try:
            check_field(field, value)
        except InvalidRequest as error:
            raise SettingsError(f"{self._path}: {json_path(place)}: {error.message}") from error
        return value


def numbers_of(sampling: Sampling) -> dict[str, float | int]:
    """The numbers that are not as they are by default, by name."""
    usual = Sampling()
    return {name: getattr(sampling, name) for name in _FIELDS if getattr(sampling, name) != getattr(usual, name)}
