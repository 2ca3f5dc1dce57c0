"""Squarified treemaps: weights become boxes that fill a given one, as near to squares as they go. Pure geometry; knows no models."""

from collections.abc import Sequence
from typing import NamedTuple


class Box(NamedTuple):
    """A rectangle from its top left corner."""

    left: float
    top: float
    width: float
    height: float

    def inside(self, edge: float, head: float = 0.0) -> "Box":
        """What is left within an edge on each side, and below a head."""
        width, height = max(0.0, self.width - 2 * edge), max(0.0, self.height - 2 * edge - head)
        return Box(self.left + edge, self.top + edge + head, width, height)


def squarify(weights: Sequence[float], box: Box) -> list[Box]:
    """A box for each weight, in their order; areas are as the weights. The largest should come first; none may be negative.

    After Bruls, Huizing and van Wijk, Squarified Treemaps (2000): a row along the shorter side takes one more as long as its worst box
    becomes no longer and thinner by that.
    """
    total = sum(weights)
    if not total or box.width <= 0 or box.height <= 0:
        return [Box(box.left, box.top, 0.0, 0.0) for _ in weights]
    areas = [weight * box.width * box.height / total for weight in weights]
    found: list[Box] = []
    while len(found) < len(areas):
        side = min(box.width, box.height)
        row = _row(areas[len(found) :], side)
        boxes, box = _laid(row, box)
        found += boxes
    return found


def _row(areas: list[float], side: float) -> list[float]:
    """As many areas as stand well beside one another along that side."""
    count = 1
    while count < len(areas) and _worst(areas[: count + 1], side) <= _worst(areas[:count], side):
        count += 1
    return areas[:count]


def _worst(row: list[float], side: float) -> float:
    """The worst proportion of a row's boxes: 1 for squares."""
    whole = sum(row)
    if not whole or not side or not min(row):
        return float("inf")
    return max(side * side * max(row) / (whole * whole), whole * whole / (side * side * min(row)))


def _laid(row: list[float], box: Box) -> tuple[list[Box], Box]:
    """The row's boxes, and what it leaves of the box."""
    upright = box.width >= box.height
    side = box.height if upright else box.width
    depth = min(sum(row) / side if side else 0.0, box.width if upright else box.height)
    boxes, at = [], 0.0
    for area in row:
        length = area / depth if depth else 0.0
        boxes.append(Box(box.left, box.top + at, depth, length) if upright else Box(box.left + at, box.top, length, depth))
        at += length
    if upright:
        return boxes, Box(box.left + depth, box.top, max(0.0, box.width - depth), box.height)
    return boxes, Box(box.left, box.top + depth, box.width, max(0.0, box.height - depth))
