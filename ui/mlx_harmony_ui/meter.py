"""How much of the context the next message would take, as shown above the composer. Pure records in and out."""

from mlx_harmony.context import ANSWER_SHARE
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
    """`share` is 0 to 100 of the room for a prompt that is taken; `tone` is `over` once old messages no longer fit.

    `cost` is what sending would take, "" where that is not known.
    """

    share: float
    tone: str
    text: str
    title: str
    cost: str = ""


def meter(use: ContextUse) -> MeterView:
    """What the next message sends. One line beside its cost, also where numbers have six digits."""
    share = min(1.0, use.sent / use.limit) if use.limit > 0 else 1.0
    over = _is_over(use)
    sent = f"{'≈ ' if use.counted == 'estimate' else ''}{words.count(use.sent)} of {words.count(use.limit)}"
    oldest = f"oldest {words.count(len(use.trimmed))}" if use.trimmed else "oldest"
    text = f"{sent} sent · {words.count(use.total)} in all · {oldest} unseen" if over else f"{sent} tokens"
    title = " ".join(filter(None, (_sends(use), _room(use), _SURE[use.counted])))
    tone = "over" if over else "near" if share >= NEARLY else "calm"
    return MeterView(share=round(share * 100, 1), tone=tone, text=text, title=title, cost=cost(use))


def _is_over(use: ContextUse) -> bool:
    return bool(use.trimmed) or use.total > use.sent


def _sends(use: ContextUse) -> str:
    limit = words.count(use.limit)
    if not _is_over(use):
        return f"What the next message sends, of {limit} tokens that it may."
    gone = len(use.trimmed)
    oldest = "oldest message is" if gone == 1 else f"oldest {words.count(gone)} messages are" if gone else "oldest messages are"
    return (
        f"Of {words.count(use.total)} tokens with what you are typing, the next message sends {words.count(use.sent)}: "
        f"it may send {limit}, so the {oldest} not seen by the model."
    )


def _room(use: ContextUse) -> str:
    """Why a prompt may not have the whole context."""
    kept, whole = use.context_length - use.limit, words.count(use.context_length)
    if kept > use.context_length // ANSWER_SHARE:
        return f"The context holds {whole}; this chat’s prompts are kept shorter than that."
    return f"The context holds {whole}, of which {words.count(kept)} stay free for the answer." if kept > 0 else ""


def cost(use: ContextUse) -> str:
    """What of the next prompt need not be read again, what must be, and how long that takes here."""
    if use.reused is None:
        return ""
    reused = words.count(use.reused) if _is_over(use) else words.several(use.reused, "token")
    parts = [f"{reused} reused"] if use.reused else []
    parts.append(f"{words.count(max(0, use.sent - use.reused))} to read")
    if use.seconds is not None:
        parts.append(f"about {words.moment(use.seconds)}")
    return ", ".join(parts)
