"""The map of the disk: families, variants, revisions and left-overs as tiles, coloured by what may go, none too small to press."""

from mlx_harmony.models.removal import Selected
from mlx_harmony_ui.models.tiles import LEAST_PX, Tile, disk_map, tone_of
from mlx_harmony_ui.models.wanted import Wanted, key_of
from tests.ui.models.made import GB, NOW, holding, revision

NONE: frozenset[str] = frozenset()


def tiles(*holdings: object, wanted: Wanted = Wanted(), loaded: frozenset[str] = NONE) -> tuple[Tile, ...]:  # noqa: B008
    return disk_map(holdings, loaded, wanted, NOW).tiles  # type: ignore[arg-type]


def test_colours_tell_what_may_go() -> None:
    starter = holding("starter", kind="bundled")
    assert tone_of(starter, NONE, NOW) == "fixed"
    assert tone_of(holding("a", days=200), frozenset({"a"}), NOW) == "loaded"
    assert [tone_of(holding("a", days=days), NONE, NOW) for days in (1, 45, 100)] == ["recent", "idle", "old"]
    # A model that has just been got was never read.
    assert tone_of(holding("a", days=1, last_used_at=0.0), NONE, NOW) == "recent"


def test_variants_of_one_base_stand_in_a_frame_and_are_called_by_what_differs() -> None:
    frame, large, small = tiles(holding("Qwen-8bit", 2 * GB), holding("Qwen-4bit", GB))
    assert (frame.level, frame.name, frame.head, frame.key, frame.size) == (1, "Qwen", True, "", "3.0 GB")
    assert [(each.short, each.key) for each in (large, small)] == [("8bit", "whole:Qwen-8bit"), ("4bit", "whole:Qwen-4bit")]
    assert frame.left <= small.left and small.left + small.width <= frame.left + frame.width


def test_a_model_alone_in_its_family_needs_no_frame_and_the_starter_cannot_go() -> None:
    (starter,) = tiles(holding("starter", kind="bundled"))
    assert (starter.level, starter.name, starter.key, starter.width, starter.height) == (2, "Starter", "", 100.0, 100.0)


def test_revisions_and_what_they_share_lie_within_their_model() -> None:
    two = holding("B", 5 * GB, revisions=(revision("b1" * 10, GB), revision("b2" * 10, 2 * GB, "main")))
    whole, old, new, shared = tiles(two)
    assert whole.head and whole.key == "whole:B"
    assert (old.tone, old.key) == ("spare", f"revision:{'b1' * 10}:B") and (new.tone, new.name) == ("recent", "b2b2b2b2 (main)")
    assert (shared.tone, shared.key, shared.size) == ("shared", "", "2.0 GB")


def test_a_half_download_has_a_tile_of_its_own() -> None:
    model, half = tiles(holding("A", 3 * GB, incomplete_bytes=GB))
    assert (model.key, half.key, half.tone) == ("whole:A", "half:A", "spare")
    assert "never got whole" in half.title
    (only,) = tiles(holding("A", 0, incomplete_bytes=GB))
    assert only.key == "half:A"


def test_the_smallest_is_large_enough_to_press_and_what_takes_no_room_is_left_out() -> None:
    wanted = Wanted(width=1200, height=260)
    large, small = tiles(holding("A", 900 * GB), holding("B", 100), holding("C", 0), wanted=wanted)
    assert small.width / 100 * 1200 * small.height / 100 * 260 > 0.9 * LEAST_PX**2
    assert large.sized and not small.wide
    assert tiles() == ()


def test_what_is_selected_is_marked_and_the_tones_that_occur_are_explained() -> None:
    wanted = Wanted(picked=(Selected(id="A"),))
    found = disk_map((holding("A"), holding("B", days=400)), NONE, wanted, NOW)
    assert [(each.key, each.picked) for each in found.tiles] == [("whole:A", True), ("whole:B", False)]
    assert [tone for tone, _ in found.tones] == ["recent", "old"]
    assert key_of(wanted.picked[0]) == "whole:A"
