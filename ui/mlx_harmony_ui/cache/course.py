"""How a cache stood over time, as small charts: honest axes from zero, and the same in words. Pure; times are the machine's own."""

from collections.abc import Callable, Sequence
from datetime import datetime
from math import floor, log10

from mlx_harmony.cache_records import CachePoint, CacheState
from mlx_harmony.records import Record
from mlx_harmony_ui import words

WIDTH, HEIGHT = 1000, 100
"""Of the drawing, in units that are stretched over its place: lines keep their width, and words stand beside it."""


COARSE_S = 60.0
NEAR_BUDGET = 8
"""A budget is drawn once what it is for takes one part in so many of it: before that, its line would flatten all others."""


class Line(Record):
    """One quantity: `path` is its line, `area` what lies under it, "" for a limit; `value` how it stands now.

    `kind` gives its colour and its dashes.
    """

    kind: str
    name: str
    value: str
    path: str
    area: str


class Course(Record):
    """One chart. `marks` are heights in percent from the top with what stands there; `begins` and `ends` are moments."""

    name: str
    label: str
    lines: tuple[Line, ...]
    marks: tuple[tuple[float, str], ...]
    begins: str
    ends: str


class _Quantity(Record):
    """`budget` is how far it may go, 0 where nothing limits it."""

    kind: str
    name: str
    values: tuple[int, ...]
    budget: int = 0

    @property
    def near(self) -> bool:
        """Whether its budget is drawn."""
        return 0 < self.budget <= NEAR_BUDGET * max(self.values)


class _Chart(Record):
    """What one chart is of: `told` says a value in words; `top` is where its axis ends, 0 where the values say that."""

    name: str
    quantities: tuple[_Quantity, ...]
    told: Callable[[int], str]
    top: int = 0


def courses(state: CacheState, now_s: float) -> tuple[Course, ...]:
    """Tokens, hits, seconds and bytes over time, up to now; nothing before there are two moments to tell of."""
    history = _until(now_s, state)
    charts = (
        (_Chart(name="Tokens of all prompts", quantities=_tokens(history), told=words.count), history),
        (_Chart(name="Room taken", quantities=_room(history, state), told=words.size), history),
        _hit_rate(history),
        (_Chart(name="Time saved", quantities=_seconds(history), told=_milliseconds), history),
    )
    return tuple(_course(chart, [point.at for point in points]) for chart, points in charts if _tells(chart, points))


def _tells(chart: _Chart, points: Sequence[CachePoint]) -> bool:
    """Whether there are two moments, and anything to show of them."""
    return len(points) >= 2 and points[-1].at > points[0].at and (chart.told is not _milliseconds or any(chart.quantities[0].values))


def _tokens(history: Sequence[CachePoint]) -> tuple[_Quantity, ...]:
    return (
        _Quantity(kind="asked", name="asked", values=tuple(point.tokens_asked for point in history)),
        _Quantity(kind="reused", name="reused", values=tuple(point.tokens_reused for point in history)),
    )


def _room(history: Sequence[CachePoint], state: CacheState) -> tuple[_Quantity, ...]:
    memory, disk = (tuple(getattr(point, name) for point in history) for name in ("memory_bytes", "disk_bytes"))
    return (
        _Quantity(kind="memory", name="in memory", values=memory, budget=state.memory_budget),
        _Quantity(kind="disk", name="on disk", values=disk, budget=state.disk_budget),
    )


def _hit_rate(history: Sequence[CachePoint]) -> tuple[_Chart, Sequence[CachePoint]]:
    """In percent of all prompts so far; it begins with the first prompt."""
    points = [point for point in history if point.requests]
    values = tuple(round(point.hits / point.requests * 100) for point in points)
    rate = _Quantity(kind="reused", name="of all prompts so far", values=values)
    return _Chart(name="Hit rate", quantities=(rate,), told=_percent, top=100), points


def _seconds(history: Sequence[CachePoint]) -> tuple[_Quantity, ...]:
    return (_Quantity(kind="reused", name="of reading", values=tuple(round(point.seconds_saved * 1000) for point in history)),)


def _percent(value: int) -> str:
    return words.percent(value / 100)


def _milliseconds(value: int) -> str:
    return words.duration(value / 1000)


def _until(now_s: float, state: CacheState) -> tuple[CachePoint, ...]:
    """The history with how it stands now, which ends it: coarse enough not to be drawn anew at every look."""
    if not state.history:
        return ()
    last = state.history[-1]
    now = CachePoint(
        at=max(last.at, now_s // COARSE_S * COARSE_S),
        memory_bytes=state.memory_bytes,
        disk_bytes=state.disk_bytes,
        tokens_asked=state.tokens_asked,
        tokens_reused=state.tokens_reused,
        seconds_saved=state.seconds_saved,
        requests=state.requests,
        hits=state.hits,
    )
    return (*state.history[:-1], now) if now.at == last.at else (*state.history, now)


def _course(chart: _Chart, times: Sequence[float]) -> Course:
    told, drawn = chart.told, [each for each in chart.quantities if each.near]
    most = max([max(each.values) for each in chart.quantities] + [each.budget for each in drawn])
    top = chart.top or ceiling(most)
    begins, ends = _moments(times[0], times[-1])
    said = [f"{each.name} {told(each.values[0])} at first and {told(each.values[-1])} now" for each in chart.quantities]
    said += [f"{each.name} at most {told(each.budget)}" for each in chart.quantities if each.budget]
    return Course(
        name=chart.name,
        label=f"{chart.name}, from {begins} to {ends}: {'; '.join(said)}.",
        lines=(*(_line(each, times, top, told) for each in chart.quantities), *(_limit(each, top, told) for each in drawn)),
        marks=((0.0, told(top)), (50.0, told(top // 2)), (100.0, "0")),
        begins=begins,
        ends=ends,
    )


def _line(quantity: _Quantity, times: Sequence[float], top: int, told: Callable[[int], str]) -> Line:
    """A line in steps: between two moments nothing is known to have changed."""
    span = times[-1] - times[0]
    across = [round((at - times[0]) / span * WIDTH, 1) for at in times]
    down = [_height(value, top) for value in quantity.values]
    path = f"M{across[0]:g} {down[0]:g}" + "".join(f"H{x:g}V{y:g}" for x, y in zip(across[1:], down[1:], strict=True))
    return Line(
        kind=quantity.kind,
        name=quantity.name,
        value=told(quantity.values[-1]),
        path=path,
        area=f"{path}V{HEIGHT}H{across[0]:g}Z",
    )


def _limit(quantity: _Quantity, top: int, told: Callable[[int], str]) -> Line:
    """The budget of a quantity, as it is now: it is set, and has no history."""
    path = f"M0 {_height(quantity.budget, top):g}H{WIDTH}"
    return Line(kind=f"{quantity.kind} budget", name=f"at most {quantity.name}", value=told(quantity.budget), path=path, area="")


def _height(value: int, top: int) -> float:
    return round(HEIGHT - value / top * HEIGHT, 2)


def ceiling(most: int) -> int:
    """The end of an axis: a round number at or above it, whose half is round too."""
    if most <= 20:
        return next(end for end in (2, 4, 10, 20) if end >= most)
    unit: int = 10 ** (floor(log10(most)) - 1)
    return next(unit * step for step in (10, 12, 16, 20, 24, 30, 40, 50, 60, 80, 100) if unit * step >= most)


def _moments(first: float, last: float) -> tuple[str, str]:
    """Both ends of the axis, with the day where they are not of the same one."""
    one, other = (datetime.fromtimestamp(each).astimezone() for each in (first, last))
    if one.date() != other.date():
        return one.strftime("%d %b, %H:%M").lstrip("0"), other.strftime("%d %b, %H:%M").lstrip("0")
    form = "%H:%M:%S" if last - first < 600 else "%H:%M"
    return one.strftime(form), other.strftime(form)
