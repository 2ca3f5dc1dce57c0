"""Sampling on the command line: a flag for each field of the one table."""

import argparse
from collections.abc import Callable
from typing import Any

from mlx_harmony.conversation.commands import parse_number
from mlx_harmony.errors import InvalidRequest
from mlx_harmony.field import Field
from mlx_harmony.kv_ranges import KV_FIELDS
from mlx_harmony.prompting.presets import Presets
from mlx_harmony.ranges import MAX_TOKENS, NUM_DRAFT_TOKENS, SAMPLING_FIELDS
from mlx_harmony.records import EFFORTS, SPECULATIONS
from mlx_harmony.settings import home_folder


def add_sampling_flags(parser: argparse.ArgumentParser) -> None:
    """Adds --temperature, --kv-bits and their siblings; each is None where it was not given."""
    group = parser.add_argument_group("sampling")
    for field in (MAX_TOKENS, *SAMPLING_FIELDS, NUM_DRAFT_TOKENS):
        _add_number(group, field, "the model's own" if field.default is None else f"{field.default:g}")
    group.add_argument("--speculation", choices=SPECULATIONS, help="who guesses ahead, so that the answer comes faster; it stays the same")
    group.add_argument("--preset", metavar="NAME", help="a named set of these numbers, such as balanced; each flag of its own is stronger")
    group.add_argument("--effort", choices=EFFORTS, help="how long the model may think (default: the one in the settings, else medium)")
    kv = parser.add_argument_group("KV cache", "in what form the model keeps what it has read")
    for field in KV_FIELDS:
        _add_number(kv, field, "unset")


def choices_from(args: argparse.Namespace) -> dict[str, Any]:
    """What the flags ask for, by name; None where one was not given. Raises InvalidRequest for an unknown preset, naming the known ones."""
    numbers = {field.name: getattr(args, field.name) for field in (*SAMPLING_FIELDS, MAX_TOKENS, NUM_DRAFT_TOKENS, *KV_FIELDS)}
    if args.preset is not None:
        preset = Presets(str(home_folder())).find(args.preset).sampling
        numbers |= {field.name: getattr(preset, field.name) for field in SAMPLING_FIELDS if numbers[field.name] is None}
    return numbers | {"effort": args.effort, "instructions": args.system, "speculation": args.speculation}


def _add_number(group: argparse._ArgumentGroup, field: Field, default: str) -> None:
    text = f"{field.help} Range: {field.span}; default: {default}".replace("%", "%%")
    group.add_argument(f"--{field.name.replace('_', '-')}", type=_number_of(field), metavar="N", help=text)


def _number_of(field: Field) -> Callable[[str], float | int]:
    def parse(text: str) -> float | int:
        try:
            return parse_number(field, text)
        except InvalidRequest as error:
            raise argparse.ArgumentTypeError(error.message) from None

    return parse
