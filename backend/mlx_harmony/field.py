"""One number a person may set: its range in words, and whether a value is within it. Knows no number by name."""

from typing import Literal

from mlx_harmony.errors import InvalidRequest
from mlx_harmony.records import Record

LARGEST = 2**31 - 1
LARGEST_SEED = 2**63 - 1

Group = Literal["sampling", "length", "repetition", "advanced", "kv"]


class Field(Record):
    """One number a person may set. `high` is the hard limit, `slider_high` where a slider ends; a default of None is the format's own.

    `choices` are all its values where it has only a few.
    """

    name: str
    label: str
    low: float
    high: float
    default: float | None
    step: float
    help: str
    group: Group = "sampling"
    slider_high: float = 0.0
    integer: bool = False
    choices: tuple[int, ...] = ()

    @property
    def reach(self) -> float:
        """The end of a slider: `slider_high` where the hard limit is out of any slider's scale."""
        return self.slider_high or self.high

    @property
    def span(self) -> str:
        """The range in words."""
        if self.choices:
            return " or ".join([", ".join(map(str, self.choices[:-1])), str(self.choices[-1])])
        if self.high >= LARGEST:
            return f"{self.low:g} or more"
        return f"{self.low:g} to {self.high:g}"


def check_field(field: Field, value: object) -> None:
    """Refuse a value that is no number, not finite, not whole where it must be, or out of range; None passes where it is the default."""
    if value is None and field.default is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refused(field, f"{field.name} must be a number from {field.span}.")
    if field.integer and not isinstance(value, int):
        raise _refused(field, f"{field.name} must be a whole number, {field.span}.")
    # Comparing is safe for any int; nan compares as false, and so is refused too.
    if (field.choices and value not in field.choices) or not field.low <= value <= field.high:
        raise _refused(field, f"{field.name} must be {field.span}; it was {_shown(value)}.")


def _refused(field: Field, message: str) -> InvalidRequest:
    return InvalidRequest(message, hint=f"{field.label}: {field.help}", param=field.name)


def _shown(value: float) -> str:
    if value != value:
        return "not a number"
    return f"{value:g}" if abs(value) < LARGEST_SEED else "far beyond it"
