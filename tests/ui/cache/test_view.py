"""The Cache tab as shown: four figures, their course with honest axes, and every state with what to do next."""

from typing import Any

import msgspec
import pytest

from mlx_harmony.cache_records import CacheKeeper, CachePoint, CacheRequest, CacheState, Reuse
from mlx_harmony.engine.protocols import ModelState
from mlx_harmony_ui.cache.course import ceiling, courses
from mlx_harmony_ui.cache.figures import figures, tiers
from mlx_harmony_ui.cache.view import CacheView, Looked, cache_view
from mlx_harmony_ui.render import render
from tests.fixtures.kept import ENTRIES, HISTORY, MB, NOW, STATE, TITLES

AWAKE = ModelState(id="starter", phase="awake", fraction=1.0)
HERE = CacheKeeper(model="starter", folder="/m/starter", awake=True)
HOSTILE = "</span><script>window.pwned=1</script><!--n]--><img src=x onerror=window.pwned=1>"


def view(state: CacheState = STATE, standing: ModelState | None = AWAKE, **looked: Any) -> CacheView:
    whole = Looked(model="starter", state=state, standing=standing, keepers=(HERE,), titles=TITLES)
    return cache_view(msgspec.structs.replace(whole, **looked), NOW)


def test_four_figures_tell_what_the_cache_is_worth() -> None:
    rate, tokens, seconds = figures(STATE, counting=True)
    assert (rate.value, rate.of) == ("86 %", "12 of 14 prompts")
    assert (tokens.value, tokens.of) == ("13,880", "91 % of the 15,204 asked")
    assert (seconds.value, seconds.of) == ("12.4 s", "at the pace this model reads here")
    memory, disk = tiers(STATE, counting=True)
    assert (memory.text, memory.share, disk.text) == ("6.0 MB of 2.0 GB", 0.3, "6.0 MB of 10 GB")


def test_a_model_that_sleeps_or_was_asked_nothing_has_no_figures_yet() -> None:
    assert {figure.value for figure in figures(STATE, counting=False)} == {"–"}
    assert {figure.of for figure in figures(CacheState(), counting=True)} == {"counted from the first message on"}


def test_a_tier_that_is_full_or_not_used_says_so() -> None:
    memory, disk = tiers(CacheState(memory_bytes=99, memory_budget=100), counting=True)
    assert memory.full and (disk.text, disk.share) == ("not used", 0.0)
    assert tiers(STATE, counting=False)[0].text == "none while it sleeps"
    assert tiers(CacheState(memory_bytes=1, memory_budget=10**9), counting=True)[0].share == 0.1


def test_the_course_begins_at_zero_and_is_told_in_words() -> None:
    tokens, room, rate, seconds = courses(STATE, NOW)
    assert [each.name for each in (tokens, room, rate, seconds)] == ["Tokens of all prompts", "Room taken", "Hit rate", "Time saved"]
    assert tokens.marks[0] == (0.0, "16,000") and tokens.marks[-1] == (100.0, "0")
    assert tokens.label.endswith("asked 0 at first and 15,204 now; reused 0 at first and 13,880 now.")
    assert [line.value for line in room.lines] == ["6.0 MB", "6.0 MB"]
    assert tokens.lines[0].path.startswith("M0 100H100V91.88H200") and tokens.lines[0].path.endswith("H1000V4.97")
    assert tokens.lines[0].area.endswith("V100H0Z")


def test_the_hit_rate_goes_up_to_all_prompts_and_begins_with_the_first() -> None:
    rate, seconds = courses(STATE, NOW)[2:]
    assert [mark for _, mark in rate.marks] == ["100 %", "50 %", "0"]
    (line,) = rate.lines
    # Nothing was asked at the first moment; then 0 of 1, 0 of 2, 1 of 3, and 12 of 14 now.
    assert line.path.startswith("M0 100H111.1V100H222.2V67") and line.value == "86 %"
    assert (seconds.lines[0].value, seconds.marks[0][1]) == ("12.4 s", "16.0 s")
    quiet = msgspec.structs.replace(STATE, requests=0, seconds_saved=0.0, history=tuple(still(point) for point in HISTORY))
    assert [each.name for each in courses(quiet, NOW)] == ["Tokens of all prompts", "Room taken"]


def still(point: CachePoint) -> CachePoint:
    return msgspec.structs.replace(point, requests=0, hits=0, seconds_saved=0.0)


def test_a_budget_is_drawn_once_it_is_near_and_told_in_words_before() -> None:
    far = courses(STATE, NOW)[1]
    assert [line.kind for line in far.lines] == ["memory", "disk"] and far.marks[0][1] == "8.0 MB"
    assert far.label.endswith("in memory at most 2.0 GB; on disk at most 10 GB.")
    near = courses(msgspec.structs.replace(STATE, memory_budget=24 * MB), NOW)[1]
    *_, limit = near.lines
    assert (limit.kind, limit.name, limit.value, limit.path, limit.area) == ("memory budget", "at most in memory", "24 MB", "M0 0H1000", "")
    assert near.marks[0][1] == "24 MB"
    assert 'd=""' not in render("cache", view=view(msgspec.structs.replace(STATE, memory_budget=24 * MB)))
    unset = courses(msgspec.structs.replace(STATE, memory_budget=0, disk_budget=0), NOW)[1]
    assert "at most" not in unset.label


def test_there_is_no_course_before_there_are_two_moments() -> None:
    for history in ((), HISTORY[:1]):
        assert courses(msgspec.structs.replace(STATE, history=history), HISTORY[0].at) == ()


def test_the_course_goes_on_while_nothing_happens() -> None:
    earlier, later = courses(STATE, NOW), courses(STATE, NOW + 3600)
    assert earlier[0].ends != later[0].ends
    assert earlier == courses(STATE, NOW + 10)
    assert len(courses(msgspec.structs.replace(STATE, history=HISTORY[:1]), NOW)) == 3


@pytest.mark.parametrize(("most", "end"), [(0, 2), (3, 4), (20, 20), (21, 24), (99, 100), (100, 100), (101, 120), (13_000, 16_000)])
def test_an_axis_ends_at_a_round_number_above_all_values(most: int, end: int) -> None:
    assert ceiling(most) == end


def test_an_empty_cache_says_what_fills_it() -> None:
    html = render("cache", view=view(CacheState(memory_budget=MB)))
    assert "Nothing is kept of this model yet." in html and "Clear memory" not in html and "Latest prompts" not in html


def test_a_model_that_sleeps_can_be_loaded_from_here_and_one_that_is_gone_cannot() -> None:
    asleep = view(standing=None)
    assert (asleep.phase_text, asleep.can_load) == ("asleep", True)
    assert view(standing=ModelState(id="starter", phase="loading", fraction=0.4)).phase_text == "loading 40 %"
    gone = CacheKeeper(model="/old/some-model", folder="/old/some-model")
    left = view(standing=None, model=gone.model, keepers=(HERE, gone))
    assert [choice.name for choice in left.choices] == ["Starter", "some-model (no longer here)"]
    assert not left.can_load


def test_a_disk_that_cannot_be_written_and_a_cache_that_is_off_are_said() -> None:
    (notice,) = view(msgspec.structs.replace(STATE, problem="No space left on device.")).notices
    assert notice.tone == "warn" and notice.text.startswith("No space left on device.")
    off = msgspec.structs.replace(STATE, memory_budget=0, disk_budget=0)
    assert view(off).notices[0].headline == "The prompt cache is switched off"
    assert view(off, standing=None).notices == ()


def test_clearing_says_before_what_goes() -> None:
    shown = view()
    assert shown.clear_memory.startswith("This frees 6.0 MB of memory, pinned entries included. 1 entry of it is not on disk")
    assert shown.clear_disk.startswith("This removes 6.0 MB from the disk") and shown.clear_disk.endswith("There is no way back.")
    nothing = view(CacheState())
    assert (nothing.clear_memory, nothing.clear_disk) == ("", "")


def test_a_limit_of_the_settings_is_told() -> None:
    assert view().most == ""
    limited = view(msgspec.structs.replace(STATE, most_entries=50))
    assert "At most 50 chats, as set" in render("cache", view=limited)


def test_its_mark_changes_with_what_is_shown_and_only_then() -> None:
    assert view().mark == view().mark
    assert view(msgspec.structs.replace(STATE, hits=13)).mark != view().mark


def test_texts_of_prompts_stay_text() -> None:
    entry = msgspec.structs.replace(ENTRIES[0], text=HOSTILE)
    asked = CacheRequest(
        at=NOW, reuse=Reuse(prompt=9, reason="differs", position=1), kept_text=HOSTILE, asked_text=f"x{HOSTILE}", chat="c", place=HOSTILE
    )
    state = msgspec.structs.replace(STATE, entries=(entry,), recent=(asked,), problem=HOSTILE)
    html = render("cache", view=view(state, titles={"c": HOSTILE}))
    assert "<script" not in html and "<img" not in html
    assert html.count("<!--n]-->") == 1
