"""How a cache stood over time, as two small charts: honest axes from zero, and the same in words. Pure; times are the machine's own."""

from collections.abc import Callable, Sequence
from datetime import datetime
from math import floor, log10

from mlx_harmony.cache_records import CachePoint, CacheState
from mlx_harmony.records import Record
from mlx_harmony_ui import words

WIDTH, HEIGHT = 1000, 100
"""Of the drawing, in units that are stretched over its place: lines keep their width, and words stand beside it."""


COARSE_S = 60.0


class Line(Record):
    """One quantity: `path` is its line, `area` what lies under it, `value` how it stands now; `kind` gives its colour and its dashes."""

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
    kind: str
    name: str
    values: tuple[int, ...]


def courses(state: CacheState, now_s: float) -> tuple[Course, ...]:
    """Tokens and bytes over time, up to now; nothing before there are two moments to tell of."""
    history = _until(now_s, state)
    if len(history) < 2 or history[-1].at <= history[0].at:
        return ()
    asked = _Quantity(kind="asked", name="asked", values=tuple(point.tokens_asked for point in history))
    reused = _Quantity(kind="reused", name="reused", values=tuple(point.tokens_reused for point in history))
    memory = _Quantity(kind="memory", name="in memory", values=tuple(point.memory_bytes for point in history))
    disk = _Quantity(kind="disk", name="on disk", values=tuple(point.disk_bytes for point in history))
    times = [point.at for point in history]
    return (
        _course("Tokens of all prompts", times, (asked, reused), words.count),
        _course("Room taken", times, (memory, disk), words.size),
    )


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
    )
    return (*state.history[:-1], now) if now.at == last.at else (*state.history, now)


def _course(name: str, times: Sequence[float], quantities: Sequence[_Quantity], told: Callable[[int], str]) -> Course:
    top = ceiling(max(value for quantity in quantities for value in quantity.values))
    begins, ends = _moments(times[0], times[-1])
    said = "; ".join(f"{each.name} {told(each.values[0])} at first and {told(each.values[-1])} now" for each in quantities)
    return Course(
        name=name,
        label=f"{name}, from {begins} to {ends}: {said}.",
        lines=tuple(_line(each, times, top, told) for each in quantities),
        marks=((0.0, told(top)), (50.0, told(top // 2)), (100.0, "0")),
        begins=begins,
        ends=ends,
    )


def _line(quantity: _Quantity, times: Sequence[float], top: int, told: Callable[[int], str]) -> Line:
    """A line in steps: between two moments nothing is known to have changed."""
    span = times[-1] - times[0]
    across = [round((at - times[0]) / span * WIDTH, 1) for at in times]
    down = [round(HEIGHT - value / top * HEIGHT, 2) for value in quantity.values]
    path = f"M{across[0]:g} {down[0]:g}" + "".join(f"H{x:g}V{y:g}" for x, y in zip(across[1:], down[1:], strict=True))
    return Line(
        kind=quantity.kind,
        name=quantity.name,
        value=told(quantity.values[-1]),
        path=path,
        area=f"{path}V{HEIGHT}H{across[0]:g}Z",
    )


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
