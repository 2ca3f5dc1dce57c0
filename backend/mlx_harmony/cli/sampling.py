"""Sampling on the command line: a flag for each field of the one table, and `name=value` as typed in a chat."""

import argparse
from collections.abc import Callable

from mlx_harmony.errors import InvalidRequest
from mlx_harmony.ranges import MAX_TOKENS, SAMPLING_FIELDS, Field, check_field
from mlx_harmony.records import EFFORTS, Sampling


def add_sampling_flags(parser: argparse.ArgumentParser) -> None:
    """Adds --temperature and its siblings; each is None where it was not given."""
    group = parser.add_argument_group("sampling")
    for field in (MAX_TOKENS, *SAMPLING_FIELDS):
        default = "the model's own" if field.default is None else f"{field.default:g}"
        group.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=_value_of(field),
            metavar="N",
            help=f"{field.help} {field.span}; default: {default}".replace("%", "%%"),
        )
    parser.add_argument("--effort", choices=EFFORTS, default="medium", help="how long the model may think (default: medium)")


def sampling_from(args: argparse.Namespace) -> Sampling:
    """The sampling that the flags ask for; what was not given stays at its default."""
    given = {field.name: getattr(args, field.name) for field in SAMPLING_FIELDS}
    return Sampling(**{name: value for name, value in given.items() if value is not None})


def parse_value(field: Field, text: str) -> float | int:
    """The number in `text`; InvalidRequest, with the range, where it is none or out of range."""
    try:
        value = int(text) if field.integer else float(text)
    except ValueError:
        raise InvalidRequest(f"{field.name} must be a number, {field.span}; it was {text!r}.", param=field.name) from None
    check_field(field, value)
    return value


def _value_of(field: Field) -> Callable[[str], float | int]:
    def parse(text: str) -> float | int:
        try:
            return parse_value(field, text)
        except InvalidRequest as error:
            raise argparse.ArgumentTypeError(error.message) from None

    return parse
