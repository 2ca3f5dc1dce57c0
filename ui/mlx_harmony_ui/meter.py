"""How much of the context the next message would take, as shown above the composer. Pure records in and out."""

from mlx_harmony.conversation.records import ContextUse
from mlx_harmony.records import Record
from mlx_harmony_ui import words

NEARLY = 0.8
_SURE = {
    "now": "",
    "before": "Counted when the model was last awake.",
    "estimate": "In part an estimate, for the model is asleep; it is exact once the model is awake.",
}


class MeterView(Record):
    """`share` is 0 to 100 of the room for a prompt; `tone` is `over` once old messages no longer fit.

    `cost` is what sending would take, "" where that is not known.
    """

    share: float
    tone: str
    text: str
    title: str
    cost: str = ""


def meter(use: ContextUse) -> MeterView:
    share = min(1.0, use.total / use.limit) if use.limit > 0 else 1.0
    count = len(use.trimmed)
    text = f"{'≈ ' if use.counted == 'estimate' else ''}{words.count(use.total)} of {words.count(use.limit)} tokens"
    if count:
        text += f" · the oldest {'message is' if count == 1 else f'{words.count(count)} messages are'} no longer seen"
    title = f"What the next message sends, of {words.count(use.limit)} tokens; the model’s context is {words.count(use.context_length)}."
    title = f"{title} {_SURE[use.counted]}".strip()
    tone = "over" if count else "near" if share >= NEARLY else "calm"
    return MeterView(share=round(share * 100, 1), tone=tone, text=text, title=title, cost=cost(use))


def cost(use: ContextUse) -> str:
    """What of the next prompt need not be read again, what must be, and how long that takes here."""
    if use.reused is None:
        return ""
    parts = [f"{words.several(use.reused, 'token')} reused"] if use.reused else []
    parts.append(f"{words.count(max(0, use.sent - use.reused))} to read")
    if use.seconds is not None:
        parts.append(f"about {words.moment(use.seconds)}")
    return ", ".join(parts)
