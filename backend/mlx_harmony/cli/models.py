"""`mlx-harmony models`: what is on this machine, as a table for people or as JSON for programs."""

import argparse
import json
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from mlx_harmony.cli.errors import DONE
from mlx_harmony.cli.flags import add_model_flags, chosen_settings
from mlx_harmony.cli.terminal import Terminal
from mlx_harmony.models.outlook import Needs, needs_of
from mlx_harmony.records import ModelEntry

UNITS = ("B", "kB", "MB", "GB", "TB")
COLUMNS = ("MODEL", "SIZE", "NEEDS", "BITS", "FORMAT", "ARCHITECTURE", "CONTEXT", "FROM")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_flags(parser)
    parser.add_argument("--json", action="store_true", help="print JSON, every field, sizes in bytes")


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Lists; a model that cannot be loaded is listed with its problem."""
    from mlx_harmony.models.catalog import Places, scan

    entries = scan(Places.of(chosen_settings(args)))
    if args.json:
        terminal.line(json.dumps([as_json(entry) for entry in entries], indent=2))
    else:
        for line in model_lines(entries):
            terminal.line(line)
    return DONE


def as_json(entry: ModelEntry) -> dict[str, Any]:
    """Every field, and under `memory` what the model would need, null where that is not known."""
    needs = None if entry.problem else needs_of(entry)
    return {name: getattr(entry, name) for name in entry.__struct_fields__} | {"memory": needs and msgspec.to_builtins(needs)}


def model_lines(entries: Iterable[ModelEntry]) -> Iterator[str]:
    """A table with aligned columns, or one line that says there is nothing."""
    rows = [_row(entry) for entry in entries]
    if not rows:
        yield "No models."
        return
    widths = [max(len(row[at]) for row in (COLUMNS, *rows)) for at in range(len(COLUMNS))]
    for row in (COLUMNS, *rows):
        aligned = "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)).rstrip()
        yield f"{aligned}  {row[-1]}".rstrip() if len(row) > len(COLUMNS) else aligned


def size(number: int) -> str:
    """Bytes in words: 13.4 MB."""
    value = float(number)
    for unit in UNITS:
        if value < 1000 or unit == UNITS[-1]:
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == UNITS[0] else f"{value:.1f} {unit}"


def _row(entry: ModelEntry) -> tuple[str, ...]:
    needs = None if entry.problem else needs_of(entry)
    cells = (
        entry.id,
        size(entry.bytes),
        size(needs.forecast.total) if needs else "",
        str(entry.bits or ""),
        entry.format,
        entry.architecture,
        str(entry.context_length or ""),
        entry.source.replace("_", " "),
    )
    said = entry.problem or (_shortage(needs) if needs else "")
    return (*cells, f"({said})") if said else cells


def _shortage(needs: Needs) -> str:
    """What a person should know before loading, "" where the model fits."""
    match needs.verdict:
        case "too large":
            return f"It does not fit: {size(needs.free or 0)} of memory are free."
        case "tight":
            return f"Its whole context does not fit: {size(needs.free or 0)} of memory are free."
    return ""
