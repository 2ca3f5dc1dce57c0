"""Who goes when a model is to be loaded, and which model has been idle for too long: the policy of room. Pure.

It knows no engines, no clocks and no processes. What a model takes is counted as the most of what it was forecast to take and of what it
was seen to take; what the machine has is what is free now and what the loaded models have of it already.
"""

from collections.abc import Iterable, Sequence

from mlx_harmony.errors import OutOfMemory, Unavailable
from mlx_harmony.records import MemoryNeed, Record
from mlx_harmony.settings import Settings

MEGABYTE = 1_000_000
GIGABYTE = 1e9
ANYWAY = "Choose a smaller model or quantisation, raise the memory budget in the settings, or load it anyway."
UNPIN = "Unpin one of them, raise the limit in the settings, or load it anyway."


class Limits(Record):
    """What the loaded models may come to together. `budget_bytes` 0: what the machine has; `idle_s` 0: an idle one stays loaded.

    The models of the ids in `pinned` go only when somebody unloads them.
    """

    models: int = 3
    budget_bytes: int = 0
    idle_s: float = 0.0
    pinned: frozenset[str] = frozenset()

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        return cls(
            models=settings.max_models,
            budget_bytes=settings.memory_budget_mb * MEGABYTE,
            idle_s=settings.idle_minutes * 60.0,
            pinned=frozenset(settings.pinned_models),
        )


class Resident(Record):
    """A model that is loaded, or for whose load there is room already. `busy`: it answers, or is still being loaded.

    `reserved` bytes are what it was forecast to take, `taken` what it takes so far, `used_at` seconds on the caller's clock.
    """

    id: str
    reserved: int = 0
    taken: int = 0
    used_at: float = 0.0
    busy: bool = False

    @property
    def bytes(self) -> int:
        return max(self.reserved, self.taken)


class Plan(Record):
    """What makes room: the models that go, the longest idle first; or those that have to come to rest before anything is decided."""

    going: tuple[str, ...] = ()
    waits_for: tuple[str, ...] = ()


def make_room(model: str, need: MemoryNeed | None, residents: Sequence[Resident], limits: Limits, *, force: bool = False) -> Plan:
    """Who goes so that this model can be loaded, the longest idle first, none that is pinned or busy.

    Raises OutOfMemory, with both sizes, for one that is larger than all there is, and Unavailable or OutOfMemory where pinned models leave
    too little. `force` neither refuses nor waits: what can go goes, and it is loaded whatever is left.
    """
    others = [each for each in residents if each.id != model]
    least, usual = (need.least, need.usual) if need else (0, 0)
    room = capacity(need, others, limits)
    if not force and room is not None and least > room:
        raise _too_large(model, least, room, limits)
    idle = sorted((each for each in others if not each.busy and each.id not in limits.pinned), key=lambda each: each.used_at)
    for wanted in (usual, least):
        if (going := _fewest(idle, others, wanted, room, limits)) is not None:
            return Plan(going=tuple(each.id for each in going))
    if force:
        return Plan(going=tuple(each.id for each in idle))
    staying = [each for each in others if each.id in limits.pinned]
    if not _fits(staying, least, room, limits):
        raise _pinned(model, least, staying, limits)
    return Plan(waits_for=tuple(each.id for each in others if each.busy and each.id not in limits.pinned))


def surplus(residents: Sequence[Resident], limits: Limits) -> tuple[str, ...]:
    """Who goes after the limits were lowered: the longest idle, as far as that helps. A busy model stays, and so does a pinned one."""
    going: list[str] = []
    budget = limits.budget_bytes or None
    for each in sorted(residents, key=lambda each: each.used_at):
        left = [other for other in residents if other.id not in going]
        if len(left) <= limits.models and (budget is None or _total(left) <= budget):
            break
        if not each.busy and each.id not in limits.pinned:
            going.append(each.id)
    return tuple(going)


def capacity(need: MemoryNeed | None, residents: Iterable[Resident], limits: Limits) -> int | None:
    """Bytes for all models together, None where nothing is known: the budget, what the machine sets, what is free and taken already."""
    known = [limits.budget_bytes] if limits.budget_bytes else []
    if need is not None and need.limit is not None:
        known.append(need.limit)
    if need is not None and need.free is not None:
        known.append(need.free + sum(each.taken for each in residents))
    return min(known, default=None)


def overdue(residents: Iterable[Resident], limits: Limits, now: float) -> tuple[str, ...]:
    """The models whose idle time is over."""
    return tuple(each.id for each in residents if (end := ends_at(each, limits)) is not None and end <= now)


def ends_at(resident: Resident, limits: Limits) -> float | None:
    """When a model's idle time is over, on the caller's clock; None for one that is busy or pinned, or where idle models stay."""
    stays = resident.busy or resident.id in limits.pinned or not limits.idle_s
    return None if stays else resident.used_at + limits.idle_s


def _fewest(idle: list[Resident], others: list[Resident], wanted: int, room: int | None, limits: Limits) -> list[Resident] | None:
    """As few of the idle ones as make room, the longest idle first; None where all of them do not."""
    going: list[Resident] = []
    while not _fits(_without(others, going), wanted, room, limits):
        if len(going) == len(idle):
            return None
        going = idle[: len(going) + 1]
    # A small one that went first may stay after all where the last one alone makes room.
    for each in going[-2::-1]:
        spared = [other for other in going if other is not each]
        if _fits(_without(others, spared), wanted, room, limits):
            going = spared
    return going


def _without(residents: list[Resident], going: list[Resident]) -> list[Resident]:
    return [each for each in residents if each not in going]


def _fits(staying: list[Resident], wanted: int, room: int | None, limits: Limits) -> bool:
    return len(staying) < limits.models and (room is None or _total(staying) + wanted <= room)


def _total(residents: Iterable[Resident]) -> int:
    return sum(each.bytes for each in residents)


def _too_large(model: str, least: int, room: int, limits: Limits) -> OutOfMemory:
    whose = "the memory budget is" if room == limits.budget_bytes else "this machine has for models"
    return OutOfMemory(f"The model {model} needs at least {_gb(least)} of memory, and {whose} {_gb(room)}.", hint=ANYWAY, param="model")


def _pinned(model: str, least: int, staying: list[Resident], limits: Limits) -> Unavailable | OutOfMemory:
    names = ", ".join(each.id for each in staying)
    if len(staying) >= limits.models:
        return Unavailable(f"No more than {limits.models} models may be loaded, and these are pinned: {names}.", hint=UNPIN, param="model")
    pinned = f"the pinned models ({names}) take {_gb(_total(staying))}"
    return OutOfMemory(f"The model {model} needs at least {_gb(least)} of memory, and {pinned}.", hint=UNPIN, param="model")


def _gb(size: int) -> str:
    return f"{size / GIGABYTE:.1f} GB"
