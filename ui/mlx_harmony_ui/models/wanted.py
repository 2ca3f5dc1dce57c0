"""What the page asks to see of the models: which ones, in which order, which one beside the list, and what is selected. Pure.

A page may send anything: whatever makes no sense counts as not sent.
"""

from collections.abc import Mapping
from typing import Any

from mlx_harmony.models.filtering import FORMATS, SORTS, Filter
from mlx_harmony.models.removal import Selected
from mlx_harmony.records import Record

GIGABYTE = 1_000_000_000
SIZES: dict[str, tuple[str, int, int]] = {
    "": ("Any size", 0, 0),
    "small": ("Under 1 GB", 0, GIGABYTE - 1),
    "middle": ("1 to 5 GB", GIGABYTE, 5 * GIGABYTE - 1),
    "large": ("5 to 20 GB", 5 * GIGABYTE, 20 * GIGABYTE - 1),
    "huge": ("20 GB and more", 20 * GIGABYTE, 0),
}
"""The sizes to choose from: name, least and most bytes."""
LONGEST_TEXT = 200
MOST_PICKED = 500
LEAST_PX, MOST_PX = 240, 4000


class Wanted(Record):
    """`opened` is the model beside the list, `picked` what is selected; the map of the disk is drawn for `width` × `height` pixels."""

    filter: Filter = Filter()
    opened: str = ""
    picked: tuple[Selected, ...] = ()
    width: int = 1200
    height: int = 260


def wanted_of(sent: Mapping[str, Any]) -> Wanted:
    """What a page has sent."""
    _, least, most = SIZES.get(_text(sent, "size"), SIZES[""])
    kind, sort = _text(sent, "format"), _text(sent, "sort")
    return Wanted(
        filter=Filter(
            text=_text(sent, "text")[: LONGEST_TEXT + 1],
            format=kind if kind in FORMATS else "",
            sort=sort if sort in SORTS else "",
            reverse=sent.get("reverse") is True,
            min_bytes=least,
            max_bytes=most,
        ),
        opened=_text(sent, "opened"),
        picked=picked_of(sent.get("picked")),
        width=_pixels(sent, "width", 1200),
        height=_pixels(sent, "height", 260),
    )


def picked_of(sent: object) -> tuple[Selected, ...]:
    """The selection, without what is none."""
    keys = [each for each in sent if isinstance(each, str)] if isinstance(sent, list) else []
    return tuple(found for each in dict.fromkeys(keys[:MOST_PICKED]) if (found := selected(each)) is not None)


def key_of(selection: Selected) -> str:
    """One thing that may go, as the page names it."""
    if selection.incomplete_only:
        return f"half:{selection.id}"
    return f"revision:{selection.revision}:{selection.id}" if selection.revision else f"whole:{selection.id}"


def selected(key: str) -> Selected | None:
    """What a key of `key_of` means; None for anything else."""
    kind, _, rest = key.partition(":")
    match kind:
        case "whole" if rest:
            return Selected(id=rest)
        case "half" if rest:
            return Selected(id=rest, incomplete_only=True)
        case "revision":
            revision, _, model = rest.partition(":")
            return Selected(id=model, revision=revision) if revision and model else None
    return None


def _text(sent: Mapping[str, Any], name: str) -> str:
    value = sent.get(name)
    return value if isinstance(value, str) and len(value) <= 4096 else ""


def _pixels(sent: Mapping[str, Any], name: str, usual: int) -> int:
    value = sent.get(name)
    return max(LEAST_PX, min(value, MOST_PX)) if isinstance(value, int) and not isinstance(value, bool) else usual
