"""How models are shown in the terminal: a table of all, a sheet of one, a forecast. Pure; knows no flags and reads no files."""

import argparse
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from mlx_harmony.cli.terminal import plain
from mlx_harmony.models.info import ModelInfo
from mlx_harmony.models.outlook import Needs
from mlx_harmony.prompting.records import ProfileRow
from mlx_harmony.records import ModelEntry
from mlx_harmony.routing.choosing import because
from mlx_harmony.routing.records import AliasRow

UNITS = ("B", "kB", "MB", "GB", "TB")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(b|kb?|mb?|gb?|tb?)?", re.IGNORECASE)
SHORT_REVISION = 8
LONGEST_TITLE = 48

NeedsOf = Callable[[ModelEntry], Needs | None]
Cell = Callable[[ModelInfo, Needs | None], str]

_COLUMNS: dict[str, Cell] = {
    "MODEL": lambda info, _: info.entry.id,
    "SIZE": lambda info, _: size(info.disk_bytes),
    "NEEDS": lambda _, needs: size(needs.forecast.total) if needs else "",
    "WEIGHTS": lambda info, _: amount(info.parameters),
    "BITS": lambda info, _: str(info.entry.bits or ""),
    "FORMAT": lambda info, _: info.entry.format,
    "ARCHITECTURE": lambda info, _: info.entry.architecture,
    "CONTEXT": lambda info, _: str(info.entry.context_length or ""),
    "USED": lambda info, _: day(info.last_used_at),
    "FROM": lambda info, _: info.entry.source.replace("_", " "),
}
_WHERE_ANY: dict[str, Cell] = {
    "CHATS": lambda info, _: str(info.chats or ""),
    "PROFILES": lambda info, _: ", ".join(info.profiles),
}
"""Columns that are left out where no model has anything in them."""
_WIDE: dict[str, Cell] = {
    "THINKING": lambda info, _: info.thinking,
    "TOOLS": lambda info, _: info.tools,
    "DRAFTS": lambda info, _: ", ".join(info.drafts),
    "MODIFIED": lambda info, _: day(info.entry.modified_at),
    "REVISIONS": lambda info, _: ", ".join(revision[:SHORT_REVISION] for revision in info.revisions),
    "PATH": lambda info, _: info.entry.folder,
}


def model_lines(infos: Iterable[ModelInfo], needs_of: NeedsOf, *, wide: bool = False) -> Iterator[str]:
    """A table with aligned columns, what is wrong with a model after its row; or one line that says there is nothing."""
    listed = [(info, None if info.entry.problem else needs_of(info.entry)) for info in infos]
    if not listed:
        yield "No models."
        return
    sometimes = {name: cell for name, cell in _WHERE_ANY.items() if any(cell(info, needs) for info, needs in listed)}
    columns = _COLUMNS | sometimes | (_WIDE if wide else {})
    rows = [[cell(info, needs) for cell in columns.values()] for info, needs in listed]
    said = ["", *(info.entry.problem or shortage(needs) for info, needs in listed)]
    for line, problem in zip(aligned([list(columns), *rows]), said, strict=True):
        yield f"{line}  ({problem})" if problem else line


def profile_lines(profiles: Sequence[ProfileRow]) -> Iterator[str]:
    """A table of the profiles; nothing where there are none."""
    rows = [[row.name, row.model, row.prompt_config or ""] for row in profiles]
    said = ["", *(row.problem for row in profiles)]
    for line, problem in zip(aligned([["PROFILE", "MODEL", "PROMPT CONFIG"], *rows]) if rows else [], said, strict=False):
        yield f"{line}  ({problem})" if problem else line


def alias_lines(rows: Sequence[AliasRow]) -> Iterator[str]:
    """The aliases: whom each leads to, a line for each way, in the order in which they count, and what is wrong with one."""
    cells = [["ALIAS", "ANSWERED BY"]]
    for row in rows:
        cells += [["" if at else row.alias.name, way] for at, way in enumerate(_ways(row))]
    yield from aligned(cells)


def _ways(row: AliasRow) -> tuple[str, ...]:
    alias = row.alias
    models = ", ".join(alias.models)
    turns = len(alias.models) > 1 and alias.strategy == "round_robin"
    wrong = alias.problem or (f"not here: {', '.join(row.missing)}" if row.missing else "")
    ways = (
        *(f"{rule.model} where {because(rule)}" for rule in alias.rules),
        f"{models} in turns" if turns else models,
        f"where they cannot: {', '.join(alias.fallbacks)}" if alias.fallbacks else "",
        f"({wrong})" if wrong else "",
    )
    return tuple(way for way in ways if way) or ("",)


def info_lines(info: ModelInfo, needs: Needs | None) -> Iterator[str]:
    """All that is known of one model, a line for each fact; what is not known is left out."""
    entry = info.entry
    facts = {
        "model": entry.id,
        "family": info.family,
        "folder": entry.folder,
        "adapter of": entry.base,
        "on disk": size(info.disk_bytes),
        "needs": f"{size(needs.forecast.total)} with {needs.forecast.context} tokens" if needs else "",
        "weights": amount(info.parameters),
        "bits": str(entry.bits or ""),
        "architecture": entry.architecture,
        "format": entry.format,
        "thinking": info.thinking,
        "tools": info.tools,
        "context": f"{entry.context_length} tokens" if entry.context_length else "",
        "revision": " ".join(filter(None, (info.revision, info.ref and f"({info.ref})"))),
        "other revisions": ", ".join(revision for revision in info.revisions if revision != info.revision),
        "modified": moment(entry.modified_at),
        "last used": moment(info.last_used_at),
        "drafts": ", ".join(info.drafts),
        "profiles": ", ".join(info.profiles),
        "chats": _chats(info),
        "complete": "yes" if info.complete else f"no: {info.lacks}",
        "problem": "" if entry.problem == info.lacks else entry.problem,
        "memory": shortage(needs),
    }
    yield from pairs(facts)


def _chats(info: ModelInfo) -> str:
    """How many, and the latest by title, each made short and harmless for the one line."""
    if not info.chats:
        return ""
    more = info.chats - len(info.latest_chats)
    names = [plain(_short(" ".join(each.title.split()))) for each in info.latest_chats]
    return f"{info.chats}: {'; '.join((*names, *([f'and {more} more'] if more > 0 else [])))}"


def _short(title: str) -> str:
    return title if len(title) <= LONGEST_TITLE else f"{title[: LONGEST_TITLE - 1]}…"


def forecast_lines(entry: ModelEntry, needs: Needs) -> Iterator[str]:
    """What a model will need, part by part, beside what is free."""
    found = needs.forecast
    facts = {
        "model": entry.id,
        "context": f"{found.context} tokens",
        "weights": size(found.weights) + (", as float32" if found.plain else ""),
        "KV": size(found.kv),
        "working": size(found.working),
        "together": size(found.total),
        "free": "not known from here" if needs.free is None else size(needs.free),
        "verdict": needs.verdict,
    }
    yield from pairs(facts)


def pairs(facts: dict[str, str]) -> Iterator[str]:
    """A line for each fact that there is, the values below each other."""
    told = {name: value for name, value in facts.items() if value}
    return iter(aligned([[name, value] for name, value in told.items()]))


def aligned(rows: list[list[str]]) -> list[str]:
    """Rows of the same length as lines, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def shortage(needs: Needs | None) -> str:
    """What a person should know before loading, "" where the model fits."""
    match needs and needs.verdict:
        case "too large":
            return f"It does not fit: {size(needs.free or 0)} of memory are free." if needs else ""
        case "tight":
            return f"Its whole context does not fit: {size(needs.free or 0)} of memory are free." if needs else ""
    return ""


def size(number: int) -> str:
    """Bytes in words: 13.4 MB."""
    value = float(number)
    for unit in UNITS:
        if value < 1000 or unit == UNITS[-1]:
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == UNITS[0] else f"{value:.1f} {unit}"


def bytes_of(text: str) -> int:
    """The other way round, for a flag: 500MB, 2.5 GB or a bare number of bytes."""
    found = _SIZE.fullmatch(text.strip())
    if not found:
        raise argparse.ArgumentTypeError(f"must be a size such as 500MB or 2.5GB, not {text!r}")
    power = "bkmgt".index((found[2] or "b")[0].lower())
    return int(float(found[1]) * 1000**power)


def amount(number: int | None) -> str:
    """How many weights, in short: 8.2B, 596M."""
    if not number:
        return ""
    for unit, each in (("T", 10**12), ("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= each:
            return f"{number / each:.3g}{unit}"
    return str(number)


def day(at: float | None) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(at)) if at else ""


def moment(at: float | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at)) if at else ""
