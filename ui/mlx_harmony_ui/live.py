"""The growing answer: events folded into one frozen record. Knows neither Gradio nor HTML, and reads no clock of its own."""

from typing import Literal

import msgspec

from mlx_harmony.conversation.records import Attachment, TurnEvent, TurnStarted
from mlx_harmony.events import (
    Counted,
    Failed,
    Finished,
    Loading,
    MessageEnded,
    MessageStarted,
    Prefill,
    Queued,
    Routed,
    TextDelta,
    ToolCallDelta,
    Trimmed,
)
from mlx_harmony.records import Record
from mlx_harmony_ui.voices import Voice

Stage = Literal["sending", "queued", "loading", "reading", "writing", "done", "failed"]


class LiveTurn(Record):
    """One answer so far. `fraction` belongs to loading and reading; `done`, `total` and `cached` are prompt tokens.

    `again`: it takes the place of what the history shows; `edited`: with a question typed anew; `greeted`: the chat is new and begins
    with words of its own. `base` counts the voices that an answer which goes on had before: the events' indexes begin after them.
    `unseen` counts messages that no longer fit the context.
    """

    chat_id: str
    user_text: str
    attachments: tuple[Attachment, ...] = ()
    again: bool = False
    edited: bool = False
    greeted: bool = False
    base: int = 0
    unseen: int = 0
    answer_id: str = ""
    user_id: str = ""
    model: str = ""
    stage: Stage = "sending"
    position: int = 0
    fraction: float = 0.0
    label: str = ""
    done: int = 0
    total: int = 0
    cached: int = 0
    voices: tuple[Voice, ...] = ()
    finished: Finished | None = None
    failed: Failed | None = None

    @property
    def started(self) -> bool:
        """Both ends of the turn are on disk."""
        return bool(self.answer_id)


def fold(turn: LiveTurn, event: TurnEvent, now_s: float) -> LiveTurn:
    """The turn after one more event; `now_s` is any steady clock."""
    match event:
        case TurnStarted():
            return _with(turn, user_id=event.user_message_id, answer_id=event.assistant_message_id, model=event.model)
        case Queued():
            return _with(turn, stage="queued", position=event.position)
        case Loading():
            return _with(turn, stage="loading", fraction=event.fraction, label=event.stage)
        case Routed():
            return _with(turn, model=event.model)
        case Prefill():
            share = event.done / event.total if event.total else 1.0
            return _with(turn, stage="reading", fraction=share, done=event.done, total=event.total, cached=event.cached)
        case Trimmed():
            return _with(turn, unseen=len(event.messages))
        case Counted():
            return turn
        case MessageStarted():
            return _opened(turn, event, now_s)
        case TextDelta():
            return _extended(turn, turn.base + event.index, event.text)
        case ToolCallDelta():
            return _extended(turn, turn.base + event.index, event.arguments, event.name)
        case MessageEnded():
            return _closed(turn, event, now_s)
        case Finished():
            return _with(turn, stage="done", finished=event, voices=_all_closed(turn.voices, now_s))
        case Failed():
            return _with(turn, stage="failed", failed=event, voices=_all_closed(turn.voices, now_s))


def _opened(turn: LiveTurn, event: MessageStarted, now_s: float) -> LiveTurn:
    if _goes_on(turn, event):
        last = msgspec.structs.replace(turn.voices[-1], started_s=now_s, ended_s=None)
        return _with(turn, stage="writing", base=turn.base - 1, voices=(*turn.voices[:-1], last))
    voice = Voice(
        index=turn.base + event.index,
        channel=event.channel,
        recipient=event.recipient,
        content_type=event.content_type,
        started_s=now_s,
    )
    return _with(turn, stage="writing", voices=(*turn.voices, voice))


def _goes_on(turn: LiveTurn, event: MessageStarted) -> bool:
    """The model takes up the very message at which its answer was cut."""
    if not turn.base or event.index or event.recipient or len(turn.voices) != turn.base:
        return False
    return turn.voices[-1].channel == event.channel and turn.voices[-1].part != "call"


def _extended(turn: LiveTurn, index: int, text: str, name: str = "") -> LiveTurn:
    voices = tuple(
        msgspec.structs.replace(voice, text=voice.text + text, name=name or voice.name) if voice.index == index else voice
        for voice in turn.voices
    )
    return _with(turn, voices=voices)


def _closed(turn: LiveTurn, event: MessageEnded, now_s: float) -> LiveTurn:
    voices = tuple(
        msgspec.structs.replace(voice, ended_s=now_s, stop_token=event.stop_token, raw=event.raw, tokens=event.tokens)
        if voice.index == turn.base + event.index
        else voice
        for voice in turn.voices
    )
    return _with(turn, voices=voices)


def _all_closed(voices: tuple[Voice, ...], now_s: float) -> tuple[Voice, ...]:
    return tuple(msgspec.structs.replace(voice, ended_s=now_s) if voice.ended_s is None else voice for voice in voices)


def _with(turn: LiveTurn, **changes: object) -> LiveTurn:
    return msgspec.structs.replace(turn, **changes)
