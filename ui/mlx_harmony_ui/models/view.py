"""What is on this machine, as the Models tab shows it: the map of the disk, the table, the drawer, the bar. Pure; the clock is given."""

import zlib
from collections.abc import Sequence

import msgspec

from mlx_harmony.models.filtering import FORMATS
from mlx_harmony.models.holdings import Holding
from mlx_harmony.models.info import ModelInfo
from mlx_harmony.records import Record
from mlx_harmony_ui import words
from mlx_harmony_ui.listing import FORMATS as FORMAT_NAMES
from mlx_harmony_ui.models.aliases import Aliased, AliasView, aliases_of
from mlx_harmony_ui.models.cleaning import Bar, Suggestion, Used, suggestions
from mlx_harmony_ui.models.drawer import Drawer, Opened, drawer_of
from mlx_harmony_ui.models.rows import Heading, Other, Row, Standing, headings, others_of, rows_of
from mlx_harmony_ui.models.tiles import DiskMap, disk_map, taken
from mlx_harmony_ui.models.wanted import SIZES, Wanted, key_of
from mlx_harmony_ui.present import Notice

FORMAT_CHOICES = (("", "Any kind"), *((name, FORMAT_NAMES[name]) for name in FORMATS))
SIZE_CHOICES = tuple((key, name) for key, (name, _, _) in SIZES.items())


class Looked(Record):
    """What was found. `infos`, `aliases` and `beside` (other holdings) are those that the filter lets through, `every` all models.

    `aliased`: there are aliases, though the filter may let none through.
    """

    wanted: Wanted
    infos: tuple[ModelInfo, ...]
    every: tuple[ModelInfo, ...]
    holdings: tuple[Holding, ...]
    beside: tuple[Holding, ...]
    standing: Standing
    opened: Opened | None = None
    bar: Bar | None = None
    aliases: tuple[Aliased, ...] = ()
    aliased: bool = False
    free_bytes: int | None = None
    trash_bytes: int = 0
    notices: tuple[Notice, ...] = ()


class DiskView(Record):
    """All of the part, and what lies in the `trash`, "" for nothing. `mark` changes whenever anything else does.

    `offers_aliases`: there is none yet, and there are models that one could stand for.
    """

    rows: tuple[Row, ...]
    others: tuple[Other, ...]
    headings: tuple[Heading, ...]
    shown: str
    summary: str
    free: str
    map: DiskMap
    suggestions: tuple[Suggestion, ...]
    picked: tuple[str, ...]
    aliases: tuple[AliasView, ...] = ()
    offers_aliases: bool = False
    drawer: Drawer | None = None
    bar: Bar | None = None
    notices: tuple[Notice, ...] = ()
    only_starter: bool = False
    trash: str = ""
    mark: str = ""


def used_of(every: Sequence[ModelInfo], standing: Standing) -> Used:
    """Who uses the models: what is loaded, pinned, the default or named by a profile is kept."""
    infos = {info.entry.id: info for info in every}
    named = {info.entry.id for info in every if info.profiles}
    bases = {info.entry.base for info in every if info.entry.adapter}
    kept = frozenset({*standing.loaded, *standing.pinned, standing.chosen, *named, *bases})
    return Used(kept=kept, loaded=standing.loaded, chosen=standing.chosen, infos=infos)


def disk_view(looked: Looked, now_s: float) -> DiskView:
    """The part as it stands."""
    rows = rows_of(looked.infos, looked.standing, now_s)
    others = others_of(looked.beside, looked.every, now_s)
    whole = sum(map(taken, looked.holdings))
    view = DiskView(
        rows=rows,
        others=others,
        headings=headings(looked.wanted.filter),
        shown=_shown(len(rows), len(looked.every)),
        summary=f"{words.size(whole)} in {words.several(len(looked.holdings), 'thing')}",
        free=f"{words.size(looked.free_bytes)} free" if looked.free_bytes is not None else "",
        map=disk_map(looked.holdings, looked.standing.loaded, looked.wanted, now_s),
        suggestions=suggestions(looked.holdings, used_of(looked.every, looked.standing), now_s),
        picked=tuple(map(key_of, looked.wanted.picked)),
        aliases=aliases_of(looked.aliases, looked.standing.chosen, now_s),
        offers_aliases=not looked.aliased and len(looked.every) > 1,
        drawer=drawer_of(looked.opened, looked.standing, now_s) if looked.opened else None,
        bar=looked.bar,
        notices=looked.notices,
        trash=words.size(looked.trash_bytes) if looked.trash_bytes else "",
        only_starter=len(looked.every) == 1 and looked.every[0].entry.source == "bundled",
    )
    return msgspec.structs.replace(view, mark=f"{zlib.crc32(repr(view).encode('utf-8', 'replace')):08x}")


def _shown(shown: int, every: int) -> str:
    return words.several(every, "model") if shown == every else f"{words.count(shown)} of {words.several(every, 'model')}"
