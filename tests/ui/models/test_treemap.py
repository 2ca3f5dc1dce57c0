"""Squarified treemaps: areas are as the weights, nothing overlaps or stands out, and boxes are no thin strips."""

import pytest

from mlx_harmony_ui.models.treemap import Box, squarify

WHOLE = Box(10, 20, 600, 400)


@pytest.mark.parametrize("weights", [[1.0], [6, 6, 4, 3, 2, 2, 1], [100, 1, 1, 1], [5.0] * 30])
def test_areas_are_as_the_weights_within_the_box(weights: list[float]) -> None:
    boxes = squarify(weights, WHOLE)
    unit = WHOLE.width * WHOLE.height / sum(weights)
    for weight, box in zip(weights, boxes, strict=True):
        assert box.width * box.height == pytest.approx(weight * unit)
        assert box.left >= WHOLE.left - 1e-6 and box.left + box.width <= WHOLE.left + WHOLE.width + 1e-6
        assert box.top >= WHOLE.top - 1e-6 and box.top + box.height <= WHOLE.top + WHOLE.height + 1e-6


def test_no_two_boxes_overlap_and_the_paper_s_example_is_as_square_as_there() -> None:
    boxes = squarify([6, 6, 4, 3, 2, 2, 1], Box(0, 0, 6, 4))
    for at, one in enumerate(boxes):
        for other in boxes[at + 1 :]:
            across = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
            down = min(one.top + one.height, other.top + other.height) - max(one.top, other.top)
            assert across < 1e-6 or down < 1e-6
    assert max(max(box.width / box.height, box.height / box.width) for box in boxes) < 3


def test_nothing_becomes_nothing() -> None:
    assert squarify([], WHOLE) == []
    assert squarify([0.0, 0.0], WHOLE) == [Box(10, 20, 0, 0)] * 2
    assert squarify([1.0], Box(0, 0, 0, 0)) == [Box(0, 0, 0, 0)]
    assert Box(0, 0, 10, 10).inside(20) == Box(20, 20, 0, 0)
