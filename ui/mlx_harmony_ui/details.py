"""How one answer was made, for the side panel: its voices on a staff, its lanes, figures and provenance. Pure records in and out."""

import msgspec

from mlx_harmony.conversation.records import ChatMessage, Lane, Provenance
from mlx_harmony.kv_ranges import KV_FIELDS
from mlx_harmony.ranges import SAMPLING_FIELDS, TURN_FIELDS, said_token_ids
from mlx_harmony.records import CHANNELS, Record, Speculated, Timings, Usage
from mlx_harmony_ui import guesses, words
from mlx_harmony_ui.voices import Part, Voice, of_message

STAFF: tuple[tuple[Part, str], ...] = (("answer", "final"), ("aside", "commentary"), ("thinking", "analysis"), ("call", "tool"))
_LEAST_WIDTH = 3.0
LITTLE = 8
"""Fewer tokens to read are nothing to ask about."""
MOST_TOKENS = 3000
"""Tokens of one lane drawn at once."""


class Note(Record):
    """One message on its line of the staff. Percent of the staff's width."""

    left: float
    width: float
    title: str


class StaffLine(Record):
    kind: Part
    name: str
    notes: tuple[Note, ...]


class Token(Record):
    """One token as the model wrote it; `text` is "" where it is not known, `control` one that is no text."""

    id: int
    text: str
    control: bool = False


class LaneView(Record):
    """One message as written; plain text throughout. `written` is filled where the raw tokens are to be shown, `more` counts the rest."""

    kind: Part
    role: str
    channel: str
    text: str
    raw: str
    recipient: str
    content_type: str
    stop_token: str
    tokens: str
    written: tuple[Token, ...] = ()
    more: int = 0


class Fact(Record):
    label: str
    value: str
    title: str = ""


class FactTable(Record):
    name: str
    rows: tuple[Fact, ...]


class DetailsView(Record):
    """`read_again` is the model in whose cache it stands why the prompt was not reused whole, "" where it was."""

    message_id: str
    staff: tuple[StaffLine, ...]
    staff_label: str
    lanes: tuple[LaneView, ...]
    tables: tuple[FactTable, ...]
    mended: str = ""
    raw: bool = False
    can_copy: bool = False
    read_again: str = ""
    chat_id: str = ""


def details(message: ChatMessage, raw: bool = False) -> DetailsView:
    """Everything known of how `message` came to be; with `raw`, token by token."""
    voices = of_message(message)
    tables = (
        FactTable(name="Figures", rows=_figures(message.usage, message.timings) + _guesses(message.speculation)),
        FactTable(name="Made with", rows=_made(message)),
    )
    return DetailsView(
        message_id=message.id,
        staff=staff(voices),
        staff_label="The order of the voices: " + ", ".join(_name(voice) for voice in voices),
        lanes=_lanes(message, voices, raw),
        tables=tuple(table for table in tables if table.rows),
        mended=message.repaired,
        raw=raw,
        can_copy=message.provenance is not None,
        read_again=_read_again(message),
        chat_id=message.chat_id,
    )


def _read_again(message: ChatMessage) -> str:
    """The model in whose cache it stands why not all of the prompt was reused; "" where all but its end was."""
    usage = message.usage
    if usage is None or message.provenance is None or usage.prompt_tokens - usage.cached_tokens < LITTLE:
        return ""
    return message.provenance.model


def staff(voices: tuple[Voice, ...]) -> tuple[StaffLine, ...]:
    """Every voice as a note as long as its share of the tokens (of the text, where tokens were not counted)."""
    weights = [float(voice.tokens or max(1, len(voice.text) // 4)) for voice in voices]
    whole = sum(weights) or 1.0
    notes: dict[Part, list[Note]] = {kind: [] for kind, _ in STAFF}
    at = 0.0
    for voice, weight in zip(voices, weights, strict=True):
        width = weight / whole * 100
        shown = min(max(width, _LEAST_WIDTH), 100 - at) if at < 100 - _LEAST_WIDTH else _LEAST_WIDTH
        left = min(at, 100 - _LEAST_WIDTH)
        notes[voice.part].append(Note(left=round(left, 2), width=round(shown, 2), title=f"{_name(voice)}: {_tokens(voice)}"))
        at += width
    return tuple(StaffLine(kind=kind, name=name, notes=tuple(notes[kind])) for kind, name in STAFF)


def _name(voice: Voice) -> str:
    return f"tool call {voice.name}" if voice.part == "call" else voice.channel


def _tokens(voice: Voice) -> str:
    return f"{words.count(voice.tokens)} tokens" if voice.tokens else f"{words.count(len(voice.text))} characters"


def _lanes(message: ChatMessage, voices: tuple[Voice, ...], raw: bool) -> tuple[LaneView, ...]:
    if not message.lanes:
        return tuple(_lane(voice) for voice in voices)
    shown = []
    for voice, lane in zip(voices, message.lanes, strict=True):
        view = msgspec.structs.replace(_lane(voice), role=lane.role)
        tokens = written(lane) if raw else ()
        shown.append(msgspec.structs.replace(view, written=tokens[:MOST_TOKENS], more=max(0, len(tokens) - MOST_TOKENS)))
    return tuple(shown)


def written(lane: Lane) -> tuple[Token, ...]:
    """The tokens of a lane with the text of each, half a character as its bytes; without texts where they cannot be told apart."""
    data = lane.raw.encode()
    if sum(lane.sizes) != len(data):
        return tuple(Token(id=number, text="") for number in lane.ids)
    tokens, at = [], 0
    for number, size in zip(lane.ids, lane.sizes, strict=True):
        piece = data[at : at + size]
        text = piece.decode("utf-8", "backslashreplace")
        tokens.append(Token(id=number, text=text, control=text.startswith("<|") and text.endswith("|>")))
        at += size
    return tuple(tokens)


def _lane(voice: Voice) -> LaneView:
    return LaneView(
        kind=voice.part,
        role="assistant",
        channel=voice.channel,
        text=voice.text,
        raw=voice.raw,
        recipient=voice.recipient or "",
        content_type=voice.content_type or "",
        stop_token=voice.stop_token,
        tokens=_tokens(voice),
    )


def _figures(usage: Usage | None, timings: Timings | None) -> tuple[Fact, ...]:
    rows: list[Fact] = []
    if usage:
        rows += [
            Fact(label="Prompt", value=f"{words.count(usage.prompt_tokens)} tokens"),
            Fact(label="Cached", value=f"{words.count(usage.cached_tokens)} tokens", title="Did not have to be read again"),
            Fact(label="Written", value=f"{words.count(usage.completion_tokens)} tokens"),
            Fact(label="of it thinking", value=f"{words.count(usage.reasoning_tokens)} tokens"),
        ]
    if timings:
        rows += [
            Fact(label="Waited", value=words.duration(timings.queued_ms / 1000)),
            Fact(label="Reading", value=words.duration(timings.prompt_ms / 1000)),
            Fact(label="First token", value=words.duration(timings.first_token_ms / 1000)),
            Fact(label="Writing", value=words.duration(timings.predicted_ms / 1000)),
            Fact(label="Speed", value=words.rate(timings.predicted_per_second)),
        ]
    if timings and timings.kv_bytes:
        held = f"{words.count(timings.kv_length)} tokens, {words.size(timings.kv_bytes)}"
        rows.append(Fact(label="KV", value=held, title="What the model's caches held at the end, and their memory"))
    return tuple(rows)


def _guesses(guessed: Speculated | None) -> tuple[Fact, ...]:
    """What guessing ahead brought; why it did not, where that is known."""
    if guessed is None:
        return ()
    rows = [Fact(label="Guessed ahead", value=guesses.brought(guessed))]
    if guessed.draft_model:
        rows.append(Fact(label="Draft model", value=words.shorten(guessed.draft_model, 28), title=guessed.draft_model))
    if guessed.note:
        rows.append(Fact(label="Draft model", value=guessed.note))
    return tuple(rows)


def _made(message: ChatMessage) -> tuple[Fact, ...]:
    rows = [Fact(label="When", value=words.exact(message.created_at))]
    if message.provenance:
        rows += _provenance(message.provenance)
    return tuple(rows)


def _provenance(made: Provenance) -> list[Fact]:
    rows = [
        Fact(label="Model", value=words.shorten(made.model, 28), title=made.model),
        Fact(label="Weights", value=words.shorten(made.fingerprint, 16), title=made.fingerprint),
        Fact(label="Effort", value=made.effort),
        Fact(label="Seed", value=str(made.seed)),
        Fact(label="App", value=made.version),
        Fact(label="mlx", value=made.numerics.mlx),
        Fact(label="mlx-lm", value=made.numerics.mlx_lm),
        Fact(label="Device", value=words.shorten(made.numerics.device, 28), title=made.numerics.device),
        Fact(label="Computed in", value=made.numerics.types, title="The types of the weights in memory"),
    ]
    rows += [Fact(label=label, value=words.shorten(text, 28), title=text) for label, text in _texts(made)]
    for field in TURN_FIELDS:
        tokens = getattr(made, field.name)
        rows += [] if tokens is None else [Fact(label=field.label, value=f"{words.count(tokens)} tokens")]
    for field in SAMPLING_FIELDS:
        value = getattr(made.sampling, field.name)
        if field.name != "seed" and value != field.default:
            rows.append(Fact(label=field.label, value=f"{value:g}"))
    chosen = ((field.label, getattr(made.kv, field.name)) for field in KV_FIELDS)
    rows += [Fact(label=label, value=f"{value:g}") for label, value in chosen if value is not None]
    return [row for row in rows if row.value]


def _texts(made: Provenance) -> tuple[tuple[str, str], ...]:
    """What is no number of what made an answer, "" where it is as usual."""
    return (
        ("Identity", made.identity or ""),
        ("Instructions", " ".join(made.instructions.split())),
        ("Tools", ", ".join(tool.name or tool.kind for tool in made.tools)),
        ("Channels", ", ".join(made.channels) if made.channels != CHANNELS else ""),
        ("Stop at", ", ".join(made.stop)),
        ("End tokens", ", ".join(made.end_tokens)),
        ("Loop detection", made.loop_detection if made.loop_detection != "cheap" else ""),
        ("Spared by XTC", said_token_ids(made.sampling.xtc_special_tokens)),
        ("Token biases", words.count(len(made.sampling.logit_bias)) if made.sampling.logit_bias else ""),
    )
