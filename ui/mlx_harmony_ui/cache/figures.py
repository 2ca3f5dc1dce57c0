"""How a model's cache stands, in four figures. Pure records in and out."""

from mlx_harmony.cache_records import CacheState
from mlx_harmony.records import Record
from mlx_harmony_ui import words

NOTHING = "–"


class Figure(Record):
    """One number with its name and what it is of."""

    name: str
    value: str
    of: str
    title: str = ""


class Tier(Record):
    """How full one tier is; `share` is 0 to 100, and `full` where hardly any room is left."""

    name: str
    share: float
    text: str
    full: bool = False


def figures(state: CacheState, counting: bool) -> tuple[Figure, ...]:
    """Hits, tokens and seconds saved since the model was loaded; dashes while it is not."""
    asked = counting and state.requests > 0
    rate = words.percent(state.hits / state.requests) if asked else NOTHING
    share = words.percent(state.tokens_reused / state.tokens_asked) if asked and state.tokens_asked else ""
    idle = "counted from the first message on" if counting else "counted while the model is awake"
    return (
        Figure(
            name="Hit rate",
            value=rate,
            of=f"{words.count(state.hits)} of {words.several(state.requests, 'prompt')}" if asked else idle,
            title="Prompts of which something was reused",
        ),
        Figure(
            name="Tokens saved",
            value=words.count(state.tokens_reused) if asked else NOTHING,
            of=f"{share} of the {words.count(state.tokens_asked)} asked" if share else idle,
            title="Tokens that did not have to be read again",
        ),
        Figure(
            name="Time saved",
            value=words.moment(state.seconds_saved) if asked and state.seconds_saved else ("0 s" if asked else NOTHING),
            of="at the pace this model reads here" if asked else idle,
            title="What reading those tokens would have taken",
        ),
    )


def tiers(state: CacheState, counting: bool) -> tuple[Tier, ...]:
    """Memory and disk against their budgets; a model that sleeps has no memory."""
    memory = _tier("In memory", state.memory_bytes, state.memory_budget)
    return (
        memory if counting else Tier(name="In memory", share=0.0, text="none while it sleeps"),
        _tier("On disk", state.disk_bytes, state.disk_budget),
    )


def _tier(name: str, used: int, budget: int) -> Tier:
    if not budget:
        return Tier(name=name, share=0.0, text=words.size(used) if used else "not used")
    share = min(1.0, used / budget)
    return Tier(
        name=name,
        share=max(round(share * 100, 1), 0.1 if used else 0.0),
        text=f"{words.size(used)} of {words.size(budget)}",
        full=share > 0.95,
    )
