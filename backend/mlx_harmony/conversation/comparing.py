"""A replay beside its original: whether it came out the same, and if not, what it was made with that has changed. Pure."""

import msgspec

from mlx_harmony.conversation.records import ChatMessage, Provenance
from mlx_harmony.events import Finished
from mlx_harmony.records import Numerics


def replayed(end: Finished, original: ChatMessage, again: ChatMessage) -> Finished:
    """The end of a replay, with a note that says how it compares with the original."""
    note = " ".join(part for part in (end.note, _compared(end, original, again)) if part)
    return msgspec.structs.replace(end, note=note)


def same_weights(one: str, other: str) -> bool:
    """Whether two fingerprints are of one model, as far as both tell.

    Answers of earlier releases have one without the part after the dot, which knows the contents of the weights.
    """
    if "." in one and "." in other:
        return one == other
    return _without_contents(one) == _without_contents(other)


def _without_contents(fingerprint: str) -> tuple[str, str]:
    weights, _, adapter = fingerprint.partition("-")
    return weights.partition(".")[0], adapter


def _compared(end: Finished, original: ChatMessage, again: ChatMessage) -> str:
    before, after = _written(original), _written(again)
    if before == after:
        return "Replay: the same answer as before, to the last token."
    if end.reason == "cancelled":
        return "Replay: stopped before it could be compared."
    if original.state != "complete" and (again.reasoning + again.content).startswith(original.reasoning + original.content):
        return "Replay: the same as before, as far as that answer goes."
    made, now = original.provenance, again.provenance
    if made and now and made.fingerprint and now.fingerprint and not same_weights(made.fingerprint, now.fingerprint):
        return "Replay: another answer than before. The model’s weights have changed since."
    if made and made.continued:
        return "Replay: another answer than before, which was cut and went on in a second run."
    return f"Replay: another answer than before. {_reason(made, now)}"


def _written(answer: ChatMessage) -> str:
    """All that the model wrote, as it wrote it."""
    return "".join(lane.raw or lane.text for lane in answer.lanes) or answer.reasoning + answer.content


def _reason(made: Provenance | None, now: Provenance | None) -> str:
    """What differs between the two, as far as that is known."""
    then, since = _surroundings(made), _surroundings(now)
    changed = [name for name in since if then.get(name, since[name]) != since[name]]
    if changed:
        return f"That one was made {_listed(then, changed)}; this one {_listed(since, changed)}."
    if made is None or made.numerics == Numerics() or then.keys() != since.keys():
        return "Another device or other versions may count a little differently."
    return "Both were made on the same device, by the same versions."


def _surroundings(made: Provenance | None) -> dict[str, str]:
    """What computed an answer, by how it is said; without what was not kept."""
    if made is None:
        return {}
    said = {
        "on": made.numerics.device,
        "in": made.numerics.types,
        "by mlx": made.numerics.mlx,
        "by mlx-lm": made.numerics.mlx_lm,
        "by MLX Harmony": made.version,
    }
    return {name: value for name, value in said.items() if value}


def _listed(said: dict[str, str], names: list[str]) -> str:
    return ", ".join(f"{name} {said[name]}" for name in names)
