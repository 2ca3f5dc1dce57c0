"""The two answers of a comparison: events folded into one pair of growing turns, and each turn as the column it stands in. Pure."""

import msgspec

from mlx_harmony.comparing import SIDES, Side, SideEvent
from mlx_harmony.conversation.records import Chat, TurnOptions, TurnStarted
from mlx_harmony.events import WAITING, Finished
from mlx_harmony.records import Record
from mlx_harmony_ui import words
from mlx_harmony_ui.comparing.settings import NAMES
from mlx_harmony_ui.live import LiveTurn, fold
from mlx_harmony_ui.present import AnswerView, Figure, Notice, ending, figures
from mlx_harmony_ui.present import answer as stored

NO_ROOM = ("out_of_memory", "unavailable")
"""The codes of what `load anyway` is the answer to."""
STAYED = Notice(
    tone="warn",
    headline="There is no room for both models at once",
    text="This one is loaded and answers as soon as the other has, and then takes its place.",
)
CUT = Notice(tone="warn", headline="Cut at the length limit", text="Raise “Longest answer” above to let it say more.")


class Asked(Record):
    """Who is asked, under the name that a person knows, and with which options."""

    name: str
    options: TurnOptions


class Pair(Record):
    """Both answers so far, and how each was asked for."""

    left: LiveTurn
    right: LiveTurn
    asked: tuple[Asked, Asked]

    def of(self, side: Side) -> LiveTurn:
        return self.left if side == "left" else self.right


class SideView(Record):
    """A column. `settings` is what it was asked with, in words; `chat_id` is what can be kept of it, "" for nothing.

    `chat` is the chat that it stands in, as soon as there is one. `waits`: it has no room yet; `anyway`: it can be loaded whatever is
    forecast.
    """

    side: Side
    name: str
    model: str
    model_name: str
    settings: str
    answer: AnswerView
    figures: tuple[Figure, ...] = ()
    chat_id: str = ""
    chat: str = ""
    waits: Notice | None = None
    anyway: bool = False


def nothing_yet(text: str, left: Asked, right: Asked) -> Pair:
    """A comparison of which nothing has come."""
    first, second = (LiveTurn(chat_id="", user_text=text, model=each.options.model or "") for each in (left, right))
    return Pair(left=first, right=second, asked=(left, right))


def folded(pair: Pair, came: SideEvent, now_s: float) -> Pair:
    """The pair after one more event of one side; `now_s` is any steady clock."""
    side, event = came
    turn = fold(pair.of(side), event, now_s)
    if isinstance(event, TurnStarted):
        turn = msgspec.structs.replace(turn, chat_id=event.chat_id)
    return msgspec.structs.replace(pair, left=turn) if side == "left" else msgspec.structs.replace(pair, right=turn)


def side_view(pair: Pair, side: Side, answer: AnswerView) -> SideView:
    """One column; `answer` is its growing answer as the chat would draw it."""
    turn, asked = pair.of(side), pair.asked[SIDES.index(side)]
    done = turn.finished
    waits = turn.stage == "loading" and turn.label.startswith(WAITING)
    told = done is not None and done.reason != "cancelled"
    return SideView(
        side=side,
        name=NAMES[side],
        model=turn.model,
        model_name=asked.name,
        settings=_settings(asked.options, done.seed if done is not None and told else None),
        answer=_alone(answer, turn, waits),
        figures=figures(done.usage, done.timings, done.speculation) if done is not None and told else (),
        chat_id=turn.chat_id if turn.stage in ("done", "failed") and any(voice.text or voice.name for voice in turn.voices) else "",
        chat=turn.chat_id,
        waits=STAYED if waits else None,
        anyway=waits or (turn.failed is not None and turn.failed.code in NO_ROOM),
    )


def kept_view(chat: Chat, side: Side) -> SideView | None:
    """A column as its chat holds it, for one that no program is comparing any more; None where there is no answer in it."""
    message = next((each for each in chat.messages if each.role == "assistant" and each.provenance), None)
    if message is None or message.provenance is None:
        return None
    model = message.provenance.model
    notice = CUT if message.state == "length" else ending(message.state, message.error)
    answer = stored(message)
    return SideView(
        side=side,
        name=NAMES[side],
        model=chat.options.model or model,
        model_name=words.shorten((chat.options.model or model).rpartition("/")[2], 48),
        settings=_settings(chat.options, message.provenance.sampling.seed),
        answer=msgspec.structs.replace(answer, message_id="", version="", can_go_on=False, notice=notice),
        figures=answer.figures,
        chat_id=chat.summary.id if message.content or message.reasoning or message.tool_calls else "",
        chat=chat.summary.id,
    )


def asked_text(chat: Chat) -> str:
    """What both were asked."""
    return next((message.content for message in chat.messages if message.role == "user"), "")


def _alone(answer: AnswerView, turn: LiveTurn, waits: bool) -> AnswerView:
    """The answer without what can only be done with it in a chat, and with how it ended."""
    done = turn.finished
    return msgspec.structs.replace(
        answer,
        message_id="",
        can_cancel=False,
        notice=answer.notice if done is None else _ending(done),
        repaired=done.repaired if done else "",
        note=done.note if done else "",
        progress=turn.label if waits else answer.progress,
        fraction=None if waits else answer.fraction,
    )


def _ending(done: Finished) -> Notice | None:
    match done.reason:
        case "length":
            return CUT
        case "cancelled":
            return ending("cancelled", None)
        case _:
            return None


def _settings(options: TurnOptions, drawn: int | None) -> str:
    """What a side was asked with; the seed that was `drawn` is told once it is known."""
    sampling = options.sampling
    seed = sampling.seed if sampling.seed >= 0 else drawn
    parts = [f"temperature {sampling.temperature:g}"]
    if sampling.temperature and seed is not None and seed >= 0:
        parts.append(f"seed {seed}")
    parts.append(f"{options.effort} effort")
    if options.max_tokens is not None:
        parts.append(f"at most {words.several(options.max_tokens, 'token')}")
    return " · ".join(parts).capitalize()
