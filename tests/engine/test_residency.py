"""Who goes when a model is to be loaded: the longest idle, as few as make room, never a busy or a pinned one; and who was idle too long."""

import pytest

from mlx_harmony.engine.residency import Limits, Plan, Resident, capacity, ends_at, make_room, overdue, surplus
from mlx_harmony.errors import OutOfMemory, Unavailable
from mlx_harmony.records import MemoryNeed
from mlx_harmony.settings import Settings

GB = 10**9


def resident(name: str, gigabytes: float = 1, used_at: float = 0.0, *, busy: bool = False) -> Resident:
    return Resident(id=name, reserved=int(gigabytes * GB), taken=int(gigabytes * GB), used_at=used_at, busy=busy)


def need(least: float, usual: float | None = None, free: float | None = None) -> MemoryNeed:
    usual = least if usual is None else usual
    return MemoryNeed(least=int(least * GB), usual=int(usual * GB), free=None if free is None else int(free * GB))


def budget(gigabytes: float, *pinned: str, models: int = 10) -> Limits:
    return Limits(models=models, budget_bytes=int(gigabytes * GB), pinned=frozenset(pinned))


def test_used_last_stays_and_the_longest_idle_goes() -> None:
    """R092: A, B, A, then C with room for two: B goes."""
    loaded = (resident("a", used_at=3), resident("b", used_at=2))
    assert make_room("c", None, loaded, Limits(models=2)) == Plan(going=("b",))


def test_nobody_goes_where_there_is_room() -> None:
    assert make_room("c", need(1), (resident("a"),), budget(2)) == Plan()
    assert make_room("c", need(1, free=1), (resident("a"),), Limits()) == Plan()
    assert make_room("c", None, (resident("a"),), Limits()) == Plan()


def test_as_many_go_as_the_budget_asks_for() -> None:
    loaded = tuple(resident(name, 2, at) for at, name in enumerate("abc"))
    assert make_room("d", need(3), loaded, budget(6)).going == ("a", "b")


def test_what_is_free_counts_with_what_the_going_ones_give_back() -> None:
    loaded = (resident("a", 2, 1), resident("b", 2, 2))
    assert make_room("c", need(2.5, free=1), loaded, Limits()).going == ("a",)
    assert make_room("c", need(4, free=1), loaded, Limits()).going == ("a", "b")
    with pytest.raises(OutOfMemory):
        make_room("c", need(5.5, free=1), loaded, Limits())


def test_a_small_one_is_spared_where_the_next_makes_room_alone() -> None:
    loaded = (resident("small", 0.5, 1), resident("large", 4, 2))
    assert make_room("c", need(4), loaded, budget(5)).going == ("large",)


def test_what_a_model_may_still_come_to_take_is_not_given_away() -> None:
    growing = (Resident(id="a", reserved=3 * GB, taken=1 * GB),)
    assert make_room("c", need(2.5, free=5), growing, Limits()) == Plan()
    assert make_room("c", need(2.5, free=3), growing, Limits()) == Plan(going=("a",))


def test_a_tight_model_takes_what_it_gets() -> None:
    """With its usual context it never fits, with a short one it does: others go only as far as that needs."""
    loaded = (resident("a", 2, 1), resident("b", 2, 2))
    assert make_room("c", need(3, usual=9), loaded, budget(5)).going == ("a",)


def test_one_larger_than_the_budget_is_refused_with_both_sizes() -> None:
    with pytest.raises(OutOfMemory, match=r"at least 9\.0 GB .* budget is 5\.0 GB") as refused:
        make_room("c", need(9), (resident("a"),), budget(5))
    assert "load it anyway" in refused.value.hint and refused.value.param == "model"


def test_one_larger_than_the_machine_is_refused_with_both_sizes() -> None:
    with pytest.raises(OutOfMemory, match=r"at least 9\.0 GB .* machine has for models 3\.0 GB"):
        make_room("c", need(9, free=2), (resident("a"),), budget(50))


def test_busy_ones_are_waited_for_and_nobody_goes_meanwhile() -> None:
    loaded = (resident("idle", 1, 1), resident("busy", 3, 2, busy=True))
    assert make_room("c", need(3), loaded, budget(4)) == Plan(waits_for=("busy",))
    assert make_room("c", None, (resident("busy", busy=True),), Limits(models=1)) == Plan(waits_for=("busy",))


def test_pinned_ones_never_go() -> None:
    loaded = (resident("pinned", 3, 1), resident("b", 1, 2))
    assert make_room("c", need(1), loaded, budget(4, "pinned")).going == ("b",)
    with pytest.raises(OutOfMemory, match=r"pinned models \(pinned\) take 3\.0 GB") as refused:
        make_room("c", need(2), loaded, budget(4, "pinned"))
    assert "Unpin" in refused.value.hint
    with pytest.raises(Unavailable, match="No more than 1 models"):
        make_room("c", None, (resident("pinned"),), Limits(models=1, pinned=frozenset({"pinned"})))


def test_a_pinned_one_that_is_busy_is_not_waited_for() -> None:
    with pytest.raises(Unavailable):
        make_room("c", None, (resident("p", busy=True),), Limits(models=1, pinned=frozenset({"p"})))


def test_load_anyway_refuses_nothing_and_waits_for_nobody() -> None:
    loaded = (resident("idle", 1, 1), resident("busy", 3, 2, busy=True), resident("pinned", 1, 0))
    assert make_room("c", need(9), loaded, budget(5, "pinned"), force=True) == Plan(going=("idle",))
    assert make_room("c", need(0.5), (resident("a", 1, 1),), budget(5), force=True) == Plan()


def test_a_model_makes_no_room_for_itself() -> None:
    assert make_room("a", need(3), (resident("a", 3),), budget(4)) == Plan()


def test_what_all_may_take_is_the_least_of_what_is_known() -> None:
    loaded = (resident("a", 2),)
    assert capacity(None, loaded, Limits()) is None
    assert capacity(need(1, free=3), loaded, Limits()) == 5 * GB
    assert capacity(need(1, free=3), loaded, budget(4)) == 4 * GB
    assert capacity(MemoryNeed(least=1, usual=1, limit=3 * GB), loaded, Limits()) == 3 * GB


def test_lowered_limits_let_the_longest_idle_go() -> None:
    loaded = (resident("a", 1, 1), resident("b", 1, 2, busy=True), resident("c", 1, 3), resident("p", 1, 0))
    assert surplus(loaded, Limits(models=2, pinned=frozenset({"p"}))) == ("a", "c")
    assert surplus(loaded, budget(3, "p")) == ("a",)
    assert surplus(loaded, Limits(models=4)) == ()


def test_idle_time_runs_for_who_is_neither_busy_nor_pinned() -> None:
    limits = Limits(idle_s=10, pinned=frozenset({"p"}))
    loaded = (resident("a", used_at=5), resident("b", used_at=5, busy=True), resident("p", used_at=5), resident("d", used_at=8))
    assert [ends_at(each, limits) for each in loaded] == [15, None, None, 18]
    assert overdue(loaded, limits, 14.9) == ()
    assert overdue(loaded, limits, 15) == ("a",)
    assert overdue(loaded, Limits(), 10**9) == ()


def test_limits_are_what_the_settings_say() -> None:
    settings = Settings(home="", max_models=5, memory_budget_mb=8000, idle_minutes=2, pinned_models=("a", "b"))
    assert Limits.of(settings) == Limits(models=5, budget_bytes=8 * GB, idle_s=120, pinned=frozenset({"a", "b"}))
