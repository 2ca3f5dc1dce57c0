"""What a search of the hub found, as rows with a badge that says whether each fits this machine. Pure; the clock is given.

All of it comes from the hub: it is text, and nothing else.
"""

import zlib
from collections.abc import Collection, Sequence
from typing import NamedTuple

import msgspec

from mlx_harmony.models.hub.fit import Fit
from mlx_harmony.models.hub.offers import Found
from mlx_harmony.models.outlook import Verdict
from mlx_harmony.records import ModelEntry, Record
from mlx_harmony_ui import words
from mlx_harmony_ui.present import Notice

FITS: dict[Verdict, str] = {"fits": "fits", "tight": "tight", "too large": "will not fit", "unknown": ""}
STARTS = ("gpt-oss-20b", "Qwen3-4B", "Llama-3.2-3B", "gemma-3-4b", "Mistral-7B")
"""Names to begin with, that say how large they are."""
MOST_LOCAL = 12
GONE = "—"


class Find(Record):
    """One model of the hub. All but flags is text; `here`: it is on this machine and can be used, in whatever revision."""

    id: str
    name: str
    about: str
    licence: str
    downloads: str
    downloads_exact: str
    changed: str
    changed_exact: str
    size: str
    bits: str
    fit: Verdict
    fit_text: str
    fit_title: str
    gated: bool
    here: bool
    opened: bool


class Local(Record):
    """A model on this machine, for those who cannot ask the hub."""

    id: str
    name: str
    size: str


class FindsView(Record):
    """All of the list. `begun`: something was searched for; else `starts` are names to begin with, `local` what is here all the same."""

    text: str = ""
    begun: bool = False
    offline: bool = False
    rows: tuple[Find, ...] = ()
    shown: str = ""
    starts: tuple[str, ...] = ()
    local: tuple[Local, ...] = ()
    notice: Notice | None = None
    mark: str = ""


class Searched(NamedTuple):
    """A search and what came of it: models with their fit, or why there are none. `found` is None where nothing was asked yet."""

    text: str = ""
    found: Sequence[tuple[Found, Fit]] | None = None
    notice: Notice | None = None
    offline: bool = False


def finds_view(searched: Searched, models: Collection[ModelEntry], opened: str, now_s: float) -> FindsView:
    """The list as it stands; `models` are those on this machine, `opened` is the one whose offer is looked at."""
    here = {entry.id for entry in models if entry.source == "hub_cache" and not entry.problem}
    rows = tuple(_find(found, fit, found.id in here, found.id == opened, now_s) for found, fit in searched.found or ())
    begun = searched.found is not None
    view = FindsView(
        text=searched.text,
        begun=begun,
        offline=searched.offline,
        rows=rows,
        shown=_shown(len(rows), searched.text) if rows else "",
        starts=() if begun or searched.offline or searched.notice else STARTS,
        local=_local(models) if not begun and (searched.offline or searched.notice) else (),
        notice=searched.notice,
    )
    return msgspec.structs.replace(view, mark=f"{zlib.crc32(repr(view).encode('utf-8', 'replace')):08x}")


def fit_title(fit: Fit) -> str:
    """What the badge says on hover."""
    if fit.needs_bytes is None:
        return "The hub does not say how large it is; opening it tells more." if fit.verdict == "unknown" else ""
    needs = f"Needs about {words.size(fit.needs_bytes)} of memory"
    if fit.free_bytes is None:
        return f"{needs}; what is free is not known here"
    less = ", with less context than its whole" if fit.verdict == "tight" else ""
    return f"{needs}{less}; {words.size(fit.free_bytes)} are free"


def _find(found: Found, fit: Fit, here: bool, opened: bool, now_s: float) -> Find:
    owner, _, name = found.id.rpartition("/")
    about = (words.shorten(owner, 32), _compact(found.parameters) + " parameters" if found.parameters else "")
    return Find(
        id=found.id,
        name=words.shorten(name, 52),
        about=" · ".join(filter(None, (*about, "" if found.mlx else "not made for MLX"))),
        licence=words.shorten(found.licence, 24) or GONE,
        downloads=_compact(found.downloads),
        downloads_exact=words.several(found.downloads, "download"),
        changed=words.ago(found.modified_at, now_s) if found.modified_at else GONE,
        changed_exact=words.exact(found.modified_at) if found.modified_at else "",
        size=words.size(found.bytes) if found.bytes else GONE,
        bits=str(found.bits) if found.bits else GONE,
        fit=fit.verdict,
        fit_text=FITS[fit.verdict],
        fit_title=fit_title(fit),
        gated=found.gated,
        here=here,
        opened=opened,
    )


def _local(models: Collection[ModelEntry]) -> tuple[Local, ...]:
    usable = [entry for entry in models if not entry.problem]
    return tuple(Local(id=entry.id, name=words.shorten(_name(entry), 52), size=words.size(entry.bytes)) for entry in usable[:MOST_LOCAL])


def _name(entry: ModelEntry) -> str:
    return "Starter" if entry.source == "bundled" else entry.id


def _shown(count: int, text: str) -> str:
    if not text:
        return f"The {words.several(count, 'model')} made for MLX that {'is' if count == 1 else 'are'} downloaded most"
    return f"{words.several(count, 'model')} for “{words.shorten(text, 60)}”"


def _compact(amount: int) -> str:
    """A number as people say it where the exact one does not matter: 1.2M, 20.9B."""
    for unit, letter in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if amount >= unit:
            return f"{amount / unit:.3g}{letter}"
    return str(amount)
