"""Lists as shown: chats by day, what was found, the trash, the model pill. Pure records in and out; the clock is given."""

from datetime import datetime
from typing import Literal

from mlx_harmony.conversation.records import ChatSummary, SearchHit, TrashItem
from mlx_harmony.engine.protocols import ModelPhase, ModelState
from mlx_harmony.records import ModelEntry, Record
from mlx_harmony_ui import words

PHASES: dict[ModelPhase, str] = {"asleep": "asleep", "loading": "loading", "awake": "awake", "busy": "busy", "crashed": "stopped"}
SOURCES = {"bundled": "this app", "folder": "models folder", "hub_cache": "Hugging Face cache"}
FORMATS = {"harmony": "Harmony", "template": "chat template", "raw": "plain text", "unsupported": "not supported"}

SPEAKERS = {"user": "You", "assistant": "Answer", "tool": "Tool"}
PLACES = 3
ROWS = 100
"""Chats in the list at first."""
MORE_ROWS = 400


class ChatRow(Record):
    id: str
    title: str
    exact: str


class ChatGroup(Record):
    name: str
    chats: tuple[ChatRow, ...]


class ChatList(Record):
    """The part of the list that is shown; `older` chats lie below it, `more` is how many to ask for to see some of them."""

    groups: tuple[ChatGroup, ...]
    older: int = 0
    more: int = 0


class Piece(Record):
    """A stretch of plain text; `marked` where it is what was searched for."""

    text: str
    marked: bool = False


class Place(Record):
    """A message that was found: who spoke, and what stands around the words."""

    message_id: str
    speaker: str
    pieces: tuple[Piece, ...]


class FoundRow(Record):
    """One chat that was found: its title and the first places in it; `more` places are not listed."""

    id: str
    title: tuple[Piece, ...]
    name: str
    exact: str
    places: tuple[Place, ...]
    more: int = 0


class BinRow(Record):
    """Something in the trash; all but the id is text. `excerpt` is how what was deleted begins."""

    id: str
    kind: Literal["chat", "message"]
    chat_id: str
    title: str
    held: str
    when: str
    exact: str
    excerpt: str


class ModelChoice(Record):
    """A model that a chat could talk to; all but the flags is text. A `broken` one cannot be chosen, another with a `problem` can."""

    id: str
    name: str
    size: str
    phase: ModelPhase
    phase_text: str
    problem: str
    broken: bool
    chosen: bool


class Pill(Record):
    """The model this chat talks to, and the others it could talk to."""

    name: str
    title: str
    size: str
    phase: ModelPhase
    phase_text: str
    choices: tuple[ModelChoice, ...]


def chats(found: tuple[ChatSummary, ...], now_s: float, rows: int = ROWS) -> ChatList:
    """The `rows` chats last used; fewer than ROWS are never shown where there are more."""
    shown = max(rows, ROWS)
    newest = sorted(found, key=lambda chat: chat.updated_at, reverse=True)
    return ChatList(groups=chat_groups(tuple(newest[:shown]), now_s), older=max(0, len(newest) - shown), more=shown + MORE_ROWS)


def chat_groups(chats: tuple[ChatSummary, ...], now_s: float) -> tuple[ChatGroup, ...]:
    """Chats under the day they were last used, newest first."""
    today = datetime.fromtimestamp(now_s).astimezone().date()
    groups: dict[str, list[ChatRow]] = {}
    for chat in sorted(chats, key=lambda chat: chat.updated_at, reverse=True):
        row = ChatRow(id=chat.id, title=chat.title or "New chat", exact=words.exact(chat.updated_at))
        groups.setdefault(words.day(chat.updated_at, today), []).append(row)
    return tuple(ChatGroup(name=name, chats=tuple(rows)) for name, rows in groups.items())


def found_rows(hits: tuple[SearchHit, ...]) -> tuple[FoundRow, ...]:
    """The chats of the hits, the best first, each with at most `PLACES` of its messages."""
    chats: dict[str, list[SearchHit]] = {}
    for hit in hits:
        chats.setdefault(hit.chat_id, []).append(hit)
    rows = []
    for chat_id, found in chats.items():
        title = next((pieces(hit.snippet, hit.matches) for hit in found if hit.message_id is None), (Piece(text=found[0].title),))
        places = tuple(_place(hit.message_id, hit) for hit in found if hit.message_id is not None)
        rows.append(
            FoundRow(
                id=chat_id,
                title=title,
                name=found[0].title,
                exact=words.exact(found[0].updated_at),
                places=places[:PLACES],
                more=max(0, len(places) - PLACES),
            )
        )
    return tuple(rows)


def _place(message_id: str, hit: SearchHit) -> Place:
    return Place(message_id=message_id, speaker=SPEAKERS.get(hit.role or "", ""), pieces=pieces(hit.snippet, hit.matches))


def pieces(text: str, matches: tuple[tuple[int, int], ...]) -> tuple[Piece, ...]:
    """The text cut at its matches."""
    cut: list[Piece] = []
    at = 0
    for start, end in matches:
        cut += [Piece(text=text[at:start]), Piece(text=text[start:end], marked=True)]
        at = end
    return tuple(piece for piece in (*cut, Piece(text=text[at:])) if piece.text)


def bin_rows(items: tuple[TrashItem, ...], now_s: float) -> tuple[BinRow, ...]:
    """What lies in the trash, the last deleted first."""
    today = datetime.fromtimestamp(now_s).astimezone().date()
    return tuple(
        BinRow(
            id=item.id,
            kind=item.kind,
            chat_id=item.chat_id,
            title=item.title or "New chat",
            held=_held(item),
            when=words.day(item.trashed_at, today).lower() if now_s - item.trashed_at < 172_800 else words.dated(item.trashed_at),
            exact=words.exact(item.trashed_at),
            excerpt=_unless(item.title, " ".join(item.excerpt.split())),
        )
        for item in items
    )


def _unless(title: str, excerpt: str) -> str:
    return "" if excerpt == title else excerpt


def _held(item: TrashItem) -> str:
    if item.kind == "chat":
        return f"Chat with {words.several(item.messages, 'message')}"
    return "A message of this chat" if item.messages == 1 else f"A message of this chat and {item.messages - 1} that followed it"


def bin_total(items: tuple[TrashItem, ...]) -> str:
    """All that emptying would remove, in words; "" for nothing."""
    chats = sum(item.kind == "chat" for item in items)
    held = sum(item.messages for item in items if item.kind == "chat")
    single = sum(item.messages for item in items if item.kind == "message")
    parts = []
    if chats:
        parts.append(f"{words.several(chats, 'chat')} with {words.several(held, 'message')}")
    if single:
        parts.append(words.several(single, "message") + (" of other chats" if chats else ""))
    return " and ".join(parts)


def phase_text(state: ModelState | None) -> str:
    """Where a model stands, in a word or two."""
    text = PHASES[state.phase if state else "asleep"]
    return f"{text} {words.percent(state.fraction)}" if state and state.phase == "loading" else text


def _choice(entry: ModelEntry, state: ModelState | None, chosen: bool) -> ModelChoice:
    return ModelChoice(
        id=entry.id,
        name=words.shorten("Starter" if entry.source == "bundled" else entry.id, 44),
        size="alias" if entry.source == "alias" else words.size(entry.bytes),
        phase=state.phase if state else "asleep",
        phase_text="" if entry.source == "alias" else phase_text(state),
        problem=entry.problem or (state.trouble if state else ""),
        broken=bool(entry.problem),
        chosen=chosen,
    )


def pill(entries: tuple[ModelEntry, ...], states: tuple[ModelState, ...], chosen: str) -> Pill:
    """The pill for the model `chosen`, which may no longer be on this machine."""
    standing = {state.id: state for state in states}
    rows = tuple(_choice(entry, standing.get(entry.id), entry.id == chosen) for entry in entries)
    row = next((row for row in rows if row.id == chosen), None)
    if row is None:
        name = words.shorten(chosen, 28)
        return Pill(name=name, title=f"{chosen} is not on this machine", size="", phase="crashed", phase_text="missing", choices=rows)
    name = words.shorten(row.name, 28)
    about = row.phase_text or "an alias; each answer says which model gave it"
    return Pill(name=name, title=f"{row.id}: {about}", size=row.size, phase=row.phase, phase_text=row.phase_text, choices=rows)
