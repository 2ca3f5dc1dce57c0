"""What is shown of a chat: records in, view records out. Pure; knows neither Gradio nor templates, and reads no clock."""

import zlib
from typing import Literal

from mlx_harmony.conversation.records import Chat, ChatMessage, MessageState
from mlx_harmony.events import Failed
from mlx_harmony.records import Record, Speculated, Timings, Usage
from mlx_harmony_ui import codeblock, failures, guesses, markup, words
from mlx_harmony_ui.attached import AttachmentView, card
from mlx_harmony_ui.live import LiveTurn
from mlx_harmony_ui.voices import Part, Voice, call_line, call_source, of_message

WINDOW = 60
"""Messages of a chat drawn at once; earlier ones come when asked for."""
WINDOW_CHARACTERS = 400_000

Tone = Literal["quiet", "warn", "bad"]


class Figure(Record):
    """One number under an answer, with the sentence that explains it."""

    label: str
    value: str
    title: str


class Notice(Record):
    """What a person should know about an answer's end."""

    tone: Tone
    headline: str
    text: str = ""


class PartView(Record):
    """One voice as shown. `blocks` is safe HTML; `line` and `time` are plain text; `held`: cut here, so never folded by itself."""

    kind: Part
    key: str
    blocks: tuple[str, ...] = ()
    line: str = ""
    name: str = ""
    time: str = ""
    running: bool = False
    held: bool = False


class AnswerView(Record):
    """One answer as shown; `progress` is drawn while nothing is written yet; `before` and `after` are versions.

    `report` tells of a failure in full, to be copied.
    """

    key: str
    message_id: str
    parts: tuple[PartView, ...] = ()
    notice: Notice | None = None
    repaired: str = ""
    note: str = ""
    figures: tuple[Figure, ...] = ()
    model: str = ""
    version: str = ""
    before: str = ""
    after: str = ""
    running: bool = False
    progress: str = ""
    fraction: float | None = None
    can_go_on: bool = False
    can_cancel: bool = False
    report: str = ""
    unseen: bool = False


class AskView(Record):
    """The person's own message; `text` is shown as typed; `before` and `after` are versions; `kept`: it can be acted on."""

    key: str
    message_id: str
    text: str
    attachments: tuple[AttachmentView, ...] = ()
    version: str = ""
    before: str = ""
    after: str = ""
    kept: bool = False


class TurnView(Record):
    """The live pair: what was asked and the answer so far."""

    chat_id: str
    ask: AskView
    answer: AnswerView


class HistoryView(Record):
    """The window of a chat: `earlier` messages lie above it. `last` is the last message's id; `mark` changes whenever the chat does.

    `seen_from` is the oldest message that the last answer's model saw, "" where it saw all of them.
    """

    chat_id: str
    title: str
    items: tuple[AskView | AnswerView, ...]
    earlier: int = 0
    last: str = ""
    mark: str = ""
    seen_from: str = ""


def history(chat: Chat, shown: int = WINDOW, without: str = "") -> HistoryView:
    """The last `shown` messages; `without` is the id of an answer that is being drawn elsewhere, left out with its question."""
    messages = [message for message in chat.messages if message.role in ("user", "assistant")]
    cut = next((index for index, message in enumerate(messages) if message.id == without), len(messages))
    if without and cut < len(messages) and cut and messages[cut - 1].role == "user":
        cut -= 1
    kept = messages[:cut]
    window = _window(kept, shown)
    return HistoryView(
        chat_id=chat.summary.id,
        title=chat.summary.title,
        items=tuple(ask(message) if message.role == "user" else answer(message) for message in window),
        earlier=len(kept) - len(window),
        last=chat.messages[-1].id if chat.messages else "",
        mark=mark(chat),
        seen_from=next((message.seen_from or "" for message in reversed(kept) if message.role == "assistant"), ""),
    )


def _window(messages: list[ChatMessage], shown: int) -> list[ChatMessage]:
    """The last messages; where no number was asked for, also no more of them than can be drawn at once."""
    window = messages[-shown:]
    room = WINDOW_CHARACTERS
    for count, message in enumerate(reversed(window)):
        room -= len(message.content) + len(message.reasoning)
        if shown == WINDOW and room < 0 and count >= 2:
            return window[len(window) - count :]
    return window


def mark(chat: Chat) -> str:
    """A short word for what is shown of a chat, by which a page can tell whether it still shows that."""
    seen = tuple((each.id, each.state, len(each.content), each.versions) for each in chat.messages)
    return f"{zlib.crc32(repr(seen).encode('utf-8', 'replace')):08x}"


def ask(message: ChatMessage) -> AskView:
    place, before, after = version(message)
    return AskView(
        key=f"u-{message.id}",
        message_id=message.id,
        text=message.content,
        attachments=tuple(map(card, message.attachments)),
        version=place,
        before=before,
        after=after,
        kept=True,
    )


def answer(message: ChatMessage) -> AnswerView:
    """A stored answer as shown."""
    running = message.state == "streaming"
    place, before, after = version(message)
    return AnswerView(
        key=f"a-{message.id}",
        message_id=message.id,
        parts=_parts(message),
        notice=ending(message.state, message.error),
        repaired=message.repaired,
        note=message.note,
        figures=figures(message.usage, message.timings, message.speculation),
        model=message.provenance.model if message.provenance else "",
        version=place,
        before=before,
        after=after,
        running=running,
        progress="Being written in another window" if running else "",
        can_go_on=message.state in ("cancelled", "length", "interrupted", "failed") and bool(message.content or message.reasoning),
        unseen=message.seen_from is not None,
        report=failures.report(message),
    )


def _parts(message: ChatMessage) -> tuple[PartView, ...]:
    """The voices of a stored answer; one that did not come to its end holds its last voice open."""
    voices = [voice for voice in of_message(message) if voice.text or voice.name]
    cut = message.state not in ("complete", "streaming")
    return tuple(part(voice, message.id, held=cut and voice is voices[-1]) for voice in voices)


def part(voice: Voice, message_id: str, drawn: tuple[str, ...] | None = None, held: bool = False) -> PartView:
    """One voice as shown; `drawn` is its HTML where somebody keeps it while it grows; `held` keeps it open."""
    running = voice.ended_s is None
    key = f"{message_id}-{voice.index}"
    match voice.part:
        case "call":
            language, source = call_source(voice)
            body = codeblock.code(source, language)
            return PartView(
                kind="call",
                key=key,
                blocks=(body,),
                line=call_line(voice),
                name=voice.name or voice.recipient or "",
                running=running,
                held=held,
            )
        case "thinking":
            time = "" if running or not voice.seconds else words.moment(voice.seconds)
            return PartView(kind="thinking", key=key, blocks=drawn or markup.blocks(voice.text), time=time, running=running, held=held)
        case kind:
            return PartView(kind=kind, key=key, blocks=drawn or markup.blocks(voice.text), running=running)


def growing(turn: LiveTurn, drawn: dict[int, tuple[str, ...]]) -> TurnView:
    """The live turn; `drawn` holds the HTML of each voice that is text."""
    key = turn.answer_id or "next"
    over = turn.stage in ("done", "failed")
    waiting = not over and len(turn.voices) <= turn.base and turn.stage != "writing"
    view = AnswerView(
        key=f"a-{key}",
        message_id=turn.answer_id,
        parts=tuple(part(voice, key, drawn.get(voice.index), turn.stage == "failed" and voice is turn.voices[-1]) for voice in turn.voices),
        notice=_failure(turn.failed) if turn.failed else None,
        model=turn.model,
        running=not over,
        progress=_progress(turn) if waiting else "",
        fraction=turn.fraction if waiting and turn.stage in ("loading", "reading") else None,
        can_cancel=waiting and turn.stage in ("queued", "loading", "reading"),
        unseen=turn.unseen > 0,
    )
    asked = AskView(
        key=f"u-{turn.user_id or 'next'}", message_id=turn.user_id, text=turn.user_text, attachments=tuple(map(card, turn.attachments))
    )
    return TurnView(chat_id=turn.chat_id, ask=asked, answer=view)


def _progress(turn: LiveTurn) -> str:
    match turn.stage:
        case "queued":
            others = turn.position - 1
            return "Next in line" if others < 1 else f"Waiting for {others} other answer{'s' if others > 1 else ''}"
        case "loading":
            return f"Loading the model · {words.percent(turn.fraction)}"
        case "reading":
            kept = f", {words.count(turn.cached)} of them kept from before" if turn.cached else ""
            return f"Reading {words.count(turn.total)} tokens · {words.percent(turn.fraction)}{kept}"
        case _:
            return "Sending"


def ending(state: MessageState, error: Failed | None) -> Notice | None:
    """What to say about how an answer ended; nothing where it is simply complete."""
    match state:
        case "complete" | "streaming":
            return None
        case "cancelled":
            return Notice(tone="quiet", headline="Stopped")
        case "length":
            text = "Raise “Longest answer” under Tuning to let it say more."
            return Notice(tone="warn", headline="Cut at the length limit", text=text)
        case "interrupted":
            if error:
                return _failure(error)
            return Notice(tone="warn", headline="Interrupted", text="The app stopped here. What was written is kept.")
        case "failed":
            return _failure(error) if error else Notice(tone="bad", headline=failures.headline("internal"))


def _failure(failed: Failed) -> Notice:
    tone: Tone = "warn" if failed.code == "engine_crashed" else "bad"
    return Notice(tone=tone, headline=failures.headline(failed.code), text=failures.explain(failed))


def version(message: ChatMessage) -> tuple[str, str, str]:
    """`2 of 3` where this place of the chat has several answers, and the ids of the ones before and after it."""
    ids = message.versions
    if len(ids) < 2 or message.id not in ids:
        return "", "", ""
    at = ids.index(message.id)
    return f"{at + 1} of {len(ids)}", ids[at - 1] if at else "", ids[at + 1] if at + 1 < len(ids) else ""


def figures(usage: Usage | None, timings: Timings | None, guessed: Speculated | None = None) -> tuple[Figure, ...]:
    """The numbers under an answer, in reading order."""
    found: list[Figure] = []
    if timings and timings.first_token_ms:
        value = words.duration(timings.first_token_ms / 1000)
        found.append(Figure(label="first token", value=value, title="From sending to the first token"))
    if timings and timings.predicted_ms:
        value = words.rate(timings.predicted_per_second)
        found.append(Figure(label="", value=value, title="Tokens written each second"))
    if usage:
        found += [
            Figure(label="prompt", value=words.count(usage.prompt_tokens), title="Tokens of the prompt, the whole chat included"),
            Figure(label="cached", value=words.count(usage.cached_tokens), title="Tokens of the prompt that did not have to be read again"),
            Figure(label="new", value=words.count(usage.completion_tokens), title="Tokens written, thinking included"),
        ]
    if guessed and guessed.drafted:
        value = f"{words.count(guessed.accepted)} of {words.count(guessed.drafted)}"
        found.append(Figure(label="guessed", value=value, title=guesses.brought(guessed)))
    return tuple(found)
