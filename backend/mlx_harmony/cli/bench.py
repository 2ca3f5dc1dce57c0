"""`mlx-harmony bench`: how fast a model runs here, alone, for many and over HTTP, and beside mlx-lm. JSON on stdout, a table on stderr."""

import argparse
import asyncio
from pathlib import Path

import msgspec

from mlx_harmony.bench.work import Work
from mlx_harmony.cli.errors import DONE, FAILED
from mlx_harmony.cli.flags import add_model_flags, chosen_settings
from mlx_harmony.cli.terminal import Terminal
from mlx_harmony.errors import InvalidRequest

USUAL = Work()
MOST_CLIENTS = 256
MOST_TOKENS = 100_000
RIVALS = ("mlx-lm",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_flags(parser)
    parser.add_argument("--json", metavar="FILE", help="write the JSON there; `-` for stdout, which is where it goes unless you watch it")
    parser.add_argument("--against", choices=RIVALS, help="do the same with mlx-lm's loops and mlx_lm.server, in turns, and print ratios")
    for name, (usual, most, words) in _NUMBERS.items():
        parser.add_argument(f"--{name}", type=_number(0 if name in _MAY_BE_NONE else 1, most), default=usual, metavar="N", help=words)
    parser.add_argument("--streams", type=_streams, default=USUAL.streams, metavar="N,N", help="answers at once (default: 1,2,4,8)")


_MAY_BE_NONE = {"clients", "turns"}
_NUMBERS: dict[str, tuple[int, int, str]] = {
    "prompt-tokens": (USUAL.prompt_tokens, MOST_TOKENS, f"how long prompts are (default: {USUAL.prompt_tokens})"),
    "tokens": (USUAL.tokens, MOST_TOKENS, f"how long answers are (default: {USUAL.tokens})"),
    "rounds": (USUAL.rounds, 100, f"the best of so many counts (default: {USUAL.rounds})"),
    "clients": (USUAL.clients, MOST_CLIENTS, f"streaming clients over HTTP, 0 for none (default: {USUAL.clients})"),
    "turns": (USUAL.turns, 1000, f"turns of a chat over HTTP, 0 for none (default: {USUAL.turns})"),
}


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Measures; 1 where mlx-lm was asked for and could not be measured. Raises ModelNotFound and the errors of loading."""
    settings = chosen_settings(args)
    from mlx_harmony.bench.ending import ended_in_order
    from mlx_harmony.bench.report import table
    from mlx_harmony.bench.running import measure
    from mlx_harmony.bench.sides import Unmeasured
    from mlx_harmony.models.catalog import Catalog, Places

    entry = Catalog(Places.of(settings)).find_chosen(args.model or settings.model)
    if entry.adapter:
        hint = f"Measure {entry.base}: with these weights over it, it would be another model than mlx-lm's."
        raise InvalidRequest(f"{entry.id} is an adapter; only whole models are measured.", hint=hint, param="model")
    target = _target(args.json)
    work = Work(
        prompt_tokens=args.prompt_tokens,
        tokens=args.tokens,
        rounds=args.rounds,
        streams=args.streams,
        clients=args.clients,
        turns=args.turns,
    )
    try:
        with ended_in_order():
            report = asyncio.run(measure(entry, work, against=args.against is not None, tell=lambda words: terminal.aside(words, end="\n")))
    except Unmeasured as error:
        terminal.fail(f"Error: {error}")
        return FAILED
    for line in table(report):
        terminal.warn(line)
    document = msgspec.json.format(msgspec.json.encode(report), indent=2).decode()
    if target is not None:
        target.write_text(f"{document}\n", "utf-8")
    elif args.json == "-" or not terminal.interactive:
        terminal.line(document)
    return FAILED if any(side.problem for side in report.sides.values()) else DONE


def _target(file: str | None) -> Path | None:
    """The file for the JSON, seen to be writable before anything is measured. Raises InvalidRequest."""
    if file is None or file == "-":
        return None
    target = Path(file)
    try:
        target.touch()
    except OSError as error:
        raise InvalidRequest(
            f"{file} cannot be written: {error.strerror}.", hint="Name another file, or - for stdout.", param="json"
        ) from error
    return target


class _Number:
    """A whole number within its range, as argparse takes it."""

    def __init__(self, least: int, most: int) -> None:
        self._least = least
        self._most = most

    def __call__(self, text: str) -> int:
        if not text.isascii() or not text.isdigit() or not self._least <= int(text) <= self._most:
            raise argparse.ArgumentTypeError(f"must be a whole number from {self._least} to {self._most}, not {text!r}")
        return int(text)


def _number(least: int, most: int) -> _Number:
    return _Number(least, most)


def _streams(text: str) -> tuple[int, ...]:
    one = _Number(1, MOST_CLIENTS)
    return tuple(dict.fromkeys(one(part.strip()) for part in text.split(",")))
