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
    """`share` is 0 to 100 of the room for a prompt; `tone` is `over` once old messages no longer fit."""

    share: float
    tone: str
    text: str
    title: str


def meter(use: ContextUse) -> MeterView:
    share = min(1.0, use.total / use.limit) if use.limit > 0 else 1.0
    count = len(use.trimmed)
    text = f"{'≈ ' if use.counted == 'estimate' else ''}{words.count(use.total)} of {words.count(use.limit)} tokens"
    if count:
        text += f" · the oldest {'message is' if count == 1 else f'{words.count(count)} messages are'} no longer seen"
    title = f"What the next message sends, of {words.count(use.limit)} tokens; the model’s context is {words.count(use.context_length)}."
    title = f"{title} {_SURE[use.counted]}".strip()
    return MeterView(share=round(share * 100, 1), tone="over" if count else "near" if share >= NEARLY else "calm", text=text, title=title)
