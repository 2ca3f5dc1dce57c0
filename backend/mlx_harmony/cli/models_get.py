"""`mlx-harmony models search` and `models download`: what the hub has, and getting it. Interrupted, a download is only paused.

How the hub is spoken to and what lies where is the business of `models.hub`; this shows how far it is, on stderr.
"""

import argparse
import asyncio
import json
import shutil
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from mlx_harmony.cli.errors import DONE, FAILED, INTERRUPTED
from mlx_harmony.cli.models_table import aligned, amount, day, pairs, size
from mlx_harmony.cli.terminal import Terminal, plain
from mlx_harmony.errors import HubRefused
from mlx_harmony.jobs.progress import Progress
from mlx_harmony.jobs.records import JobFile, Runner

if TYPE_CHECKING:
    from mlx_harmony.models.hub.fit import Fit
    from mlx_harmony.models.hub.offers import Found, Offer

LOOK_EVERY_S = 0.25
STEPS = 10
"""Where nobody watches, so many lines tell how far it is."""
NO = ("n", "no")
COLUMNS = ["MODEL", "SIZE", "WEIGHTS", "BITS", "FITS", "LICENCE", "DOWNLOADS", "CHANGED"]
FITS = {"fits": "yes", "tight": "with less context", "too large": "no", "unknown": ""}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    if parser.get_default("action") == "search":
        parser.add_argument("text", nargs="*", metavar="TEXT", help="part of a model's name; without one, the most downloaded for MLX")
        parser.add_argument("--limit", type=int, default=20, metavar="N", help="at most so many, up to 100 (default: 20)")
    else:
        parser.add_argument("id", metavar="ID", help="the model's id on the hub, such as mlx-community/Qwen3-4B-4bit, or its address")
        parser.add_argument("--revision", default="main", metavar="R", help="a branch, a tag or a commit (default: the newest)")
        parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="print JSON, every field, sizes in bytes")


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Raises the errors of `Hub` and of `Downloads`; a download that was interrupted ends with exit code 1."""
    return _search(args, terminal) if args.action == "search" else _download(args, terminal)


def _search(args: argparse.Namespace, terminal: Terminal) -> int:
    from mlx_harmony.models.hub.client import Hub
    from mlx_harmony.models.hub.fit import fit_of_found

    found = asyncio.run(Hub.of_environment().search(" ".join(args.text), args.limit))
    rows = [(row, fit_of_found(row)) for row in found]
    if args.json:
        told: list[dict[str, Any]] = [msgspec.to_builtins(row) | {"fit": msgspec.to_builtins(fit)} for row, fit in rows]
        terminal.line(json.dumps(told, indent=2))
    else:
        for line in search_lines(rows):
            terminal.line(line)
    return DONE


def search_lines(rows: Iterable[tuple["Found", "Fit"]]) -> Iterator[str]:
    """A table of what was found, with what stands in the way after its row; or one line that nothing was."""
    listed = list(rows)
    if not listed:
        yield "Nothing was found on the hub."
        return
    cells = [
        [
            row.id,
            size(row.bytes) if row.bytes else "",
            amount(row.parameters),
            str(row.bits or ""),
            FITS[fit.verdict],
            row.licence,
            f"{row.downloads:,}",
            day(row.modified_at),
        ]
        for row, fit in listed
    ]
    said = ["", *("its licence must be accepted first" if row.gated else "" for row, _ in listed)]
    for line, why in zip(aligned([COLUMNS, *cells]), said, strict=True):
        yield f"{line}  ({why})" if why else line


def _download(args: argparse.Namespace, terminal: Terminal) -> int:
    from mlx_harmony.models.hub.cache import Repository
    from mlx_harmony.models.hub.client import Hub
    from mlx_harmony.models.hub.download import Downloads, refuse_useless
    from mlx_harmony.models.hub.fit import fit_of_offer
    from mlx_harmony.models.hub.names import checked_revision, is_commit
    from mlx_harmony.models.hub_cache import hub_cache_folder

    offer = asyncio.run(Hub.of_environment().offer(args.id, args.revision))
    refuse_useless(offer)
    if offer.problem:
        raise HubRefused(offer.problem, param="id")
    repository = Repository(hub_cache_folder(), offer.id)
    missing = offer.bytes - sum(repository.here(file) for file in offer.files)
    if not args.json:
        for line in offer_lines(offer, fit_of_offer(offer), missing):
            terminal.line(line)
    if missing and not _agreed(args, terminal):
        return FAILED
    revision = offer.revision if is_commit(checked_revision(args.revision)) else checked_revision(args.revision)
    subject = {"id": offer.id, "revision": revision, "commit": offer.revision}
    try:
        asyncio.run(_shown(Downloads(), subject, _Meter(terminal)))
    except KeyboardInterrupt:
        terminal.warn("Paused: what has come is kept. Run the same command again to go on.")
        return INTERRUPTED
    path = str(repository.folder / "snapshots" / offer.revision)
    if args.json:
        told = {"id": offer.id, "revision": offer.revision, "path": path, "bytes": offer.bytes, "files": len(offer.files)}
        terminal.line(json.dumps(told, indent=2))
    else:
        terminal.line(f"{offer.id} is here: {path}")
    return DONE


def offer_lines(offer: "Offer", fit: "Fit", missing: int) -> Iterator[str]:
    """What is about to come."""
    here = offer.bytes - missing
    free = f", and {size(fit.free_bytes)} are free" if fit.free_bytes is not None else ""
    memory = {
        "fits": "It fits this machine's memory",
        "tight": "Its whole context does not fit this machine's memory, a shorter one does",
        "too large": "It does not fit this machine's memory",
        "unknown": "",
    }[fit.verdict]
    needs = f"{memory}: {size(fit.needs_bytes)} are needed{free}." if memory and fit.needs_bytes else ""
    yield from pairs(
        {
            "model": offer.id,
            "revision": offer.revision,
            "size": f"{size(offer.bytes)} in {len(offer.files)} files" + (f", {size(here)} of it here already" if here else ""),
            "licence": offer.licence,
            "memory": needs,
        }
    )


def _agreed(args: argparse.Namespace, terminal: Terminal) -> bool:
    """Whether a person who sits there says yes; a program has said so by asking for it."""
    if args.yes or not (sys.stdin.isatty() and terminal.watched):
        return True
    terminal.aside("Download it? [Y/n] ")
    try:
        answer = input("")
    except EOFError:
        answer = "n"
    if answer.strip().lower() not in NO:
        return True
    terminal.warn("Nothing was downloaded.")
    return False


async def _shown(runner: Runner, subject: dict[str, str], meter: "_Meter") -> None:
    """Run it, and tell all the while how far it is."""
    work = asyncio.ensure_future(runner(subject, meter.note))
    try:
        while not work.done():
            await asyncio.wait([work], timeout=LOOK_EVERY_S)
            meter.show()
        await work
    finally:
        work.cancel()
        await asyncio.wait([work])
        meter.clear()


class _Meter:
    """How far a download is, on stderr: a line that is rewritten for a person, a line for each tenth for a file."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._progress = Progress()
        self._said = ""
        self._step = 0
        self._notes: set[str] = set()

    def note(self, *files: JobFile, note: str = "") -> None:
        self._progress.note(*files)
        self._said = note

    def show(self) -> None:
        if self._terminal.watched:
            columns = shutil.get_terminal_size().columns
            self._terminal.progress(plain(f"{self._line()}  {self._said}".rstrip())[: columns - 1])
            return
        step = STEPS * self._progress.done_bytes // max(1, self._progress.total_bytes)
        if step > self._step:
            self._step = step
            self._terminal.warn(self._line())
        if self._said and self._said not in self._notes:
            self._notes.add(self._said)
            self._terminal.warn(self._said)

    def clear(self) -> None:
        if self._terminal.watched:
            self._terminal.progress("")

    def _line(self) -> str:
        done, total, rate = self._progress.done_bytes, self._progress.total_bytes, self._progress.rate()
        left = self._progress.seconds_left(rate)
        parts = [f"{100 * done // max(1, total)} %", f"{size(done)} of {size(total)}", f"{size(int(rate))}/s"]
        return "  ".join([*parts, *([f"{duration(left)} left"] if left else [])])


def duration(seconds: float) -> str:
    """A time in words: 40 s, 12 min, 3 h 5 min."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
