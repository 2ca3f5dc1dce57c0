"""What guessing ahead brought for an answer, in words. Pure."""

from mlx_harmony.records import Speculated, SpeculationKind
from mlx_harmony_ui import words

WHO: dict[SpeculationKind, str] = {"none": "nobody", "lookup": "lookup", "draft": "draft model", "mixed": "lookup and draft model"}
PAUSED = "left off: here it costs more time than it saves"


def brought(guessed: Speculated) -> str:
    """`lookup: 64 of 80 drafted tokens accepted`, or why there were none."""
    if guessed.drafted:
        return f"{WHO[guessed.kind]}: {words.count(guessed.accepted)} of {words.count(guessed.drafted)} drafted tokens accepted"
    return PAUSED if guessed.paused else "nothing to guess"
