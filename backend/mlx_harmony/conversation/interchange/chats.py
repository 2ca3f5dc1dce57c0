"""A chat of a conversation file, version 1 or 2, as a Chat of ours with every version of its messages. Pure; knows no storage.

What cannot be used is left out and said in a warning; nothing in a file can raise here.
"""

import re
from collections import Counter
from typing import Any, NamedTuple

import msgspec

from mlx_harmony.conversation.attachments import attachment, told
from mlx_harmony.conversation.history import title_of
from mlx_harmony.conversation.interchange import parents
from mlx_harmony.conversation.interchange.export import OWN, TYPED
from mlx_harmony.conversation.interchange.setups import setup_of
from mlx_harmony.conversation.interchange.values import numbers_of, options_of, own_options, seconds_of, text_of
from mlx_harmony.conversation.plan import new_id
from mlx_harmony.conversation.records import Attachment, Chat, ChatMessage, ChatSummary, Provenance, TurnOptions

LONGEST_TITLE = 200
UNNAMED = "Imported chat"
_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
_ROLES = ("system", "developer", "user", "assistant", "tool")


class Imported(NamedTuple):
    """A chat ready to be stored: parents first, versions oldest first. `shown` orders the ids so that of each place the last is shown."""

    chat: Chat
    shown: tuple[str, ...]
    warnings: tuple[str, ...]


class _Read(NamedTuple):
    """A message as the file has it; `rank` orders versions."""

    message: ChatMessage
    parent: str | None
    rank: float


def build_chat(raw: Any, key: str, now: float) -> Imported | None:
    """The chat; None where `raw` holds none. `key` is the id it stood under, `now` in seconds."""
    if not isinstance(raw, dict) or not isinstance(raw.get("messages"), list):
        return None
    notes: Counter[str] = Counter()
    note = notes.update
    metadata = raw["metadata"] if isinstance(raw.get("metadata"), dict) else {}
    own = metadata[OWN] if isinstance(metadata.get(OWN), dict) else {}
    options = _options(metadata, own, notes)
    created_at = _first(seconds_of(own.get("created_at"), now), seconds_of(metadata.get("created_at"), now))
    linear = not any(isinstance(each, dict) and "parent_id" in each for each in raw["messages"])
    read = _Reader(options, now, notes).read(raw["messages"], created_at or now)
    links = [(each.message.id, each.parent) for each in read]
    places = list(range(-1, len(read) - 1)) if linear else parents.resolve(links, lambda text: note([text]))
    messages, shown = _tree(read, places, chat_id := _usable_id(raw.get("chat_id"), key))
    summary = ChatSummary(
        id=chat_id,
        title=_title(own, metadata, messages),
        created_at=created_at if created_at is not None else min((each.created_at for each in messages), default=now),
        updated_at=_updated_at(own, metadata, messages, notes, now),
        messages=len(messages),
    )
    chat = Chat(summary=summary, messages=messages, options=options)
    said = tuple(f"{summary.title}: {text}{f' ({count} times)' if count > 1 else ''}." for text, count in notes.items())
    return Imported(chat, shown, said)


def with_fresh_ids(imported: Imported) -> Imported:
    """The same chat under ids that nothing else has."""
    fresh = {each.id: new_id() for each in imported.chat.messages}
    chat_id = new_id()
    messages = tuple(
        msgspec.structs.replace(
            each,
            id=fresh[each.id],
            chat_id=chat_id,
            parent_id=fresh[each.parent_id] if each.parent_id else None,
            seen_from=fresh.get(each.seen_from or ""),
        )
        for each in imported.chat.messages
    )
    summary = msgspec.structs.replace(imported.chat.summary, id=chat_id)
    chat = msgspec.structs.replace(imported.chat, summary=summary, messages=messages)
    return Imported(chat, tuple(fresh[each] for each in imported.shown), imported.warnings)


class _Reader:
    """Reads a chat's messages one after another; what one leaves unsaid is as with the one before."""

    def __init__(self, options: TurnOptions, now: float, notes: Counter[str]) -> None:
        self._options = options
        self._now = now
        self._notes = notes
        self._numbers: dict[str, Any] = {}

    def read(self, raws: list[Any], began: float) -> list[_Read]:
        """The messages that have a role and a text; what hung on one that was left out hangs on its parent."""
        read: list[_Read] = []
        left_out: dict[str, str | None] = {}
        for raw in raws:
            if not isinstance(raw, dict):
                self._notes["something that is no message was left out"] += 1
                continue
            parent = raw.get("parent_id") if isinstance(raw.get("parent_id"), str) else None
            parent = _above(parent, left_out)
            message = self._message(raw, read[-1].message.created_at if read else began)
            if message is None:
                self._notes["a message without a role or text was left out"] += 1
                left_out[str(raw.get("id"))] = parent
                continue
            own = raw[OWN] if isinstance(raw.get(OWN), dict) else {}
            position = own.get("position")
            read.append(_Read(self._with_own(message, own), parent, position if type(position) is int else 0))
        return read

    def _message(self, raw: dict[str, Any], before: float) -> ChatMessage | None:
        role, content = raw.get("role"), text_of(raw.get("content"))
        if role not in _ROLES or content is None:
            return None
        created_at = seconds_of(raw.get("timestamp"), self._now)
        self._numbers = raw["hyperparameters"] if isinstance(raw.get("hyperparameters"), dict) else self._numbers
        return ChatMessage(
            id=raw["id"] if isinstance(raw.get("id"), str) else "",
            chat_id="",
            role=role,
            content=content,
            created_at=created_at if created_at is not None else before,
            reasoning=text_of(raw.get("analysis")) or "",
            name=text_of(raw.get("name")),
            provenance=self._made() if role == "assistant" and self._options.model else None,
        )

    def _made(self) -> Provenance:
        options = self._options
        sampling, max_tokens = numbers_of(self._numbers, []) if self._numbers else (options.sampling, options.max_tokens)
        return Provenance(model=options.model or "", sampling=sampling, max_tokens=max_tokens, effort=options.effort)

    def _with_own(self, message: ChatMessage, own: dict[str, Any]) -> ChatMessage:
        """The message with what this release wrote beside version 2; as version 2 has it where that makes no sense."""
        if not own:
            return message
        plain = msgspec.to_builtins(msgspec.structs.replace(message, provenance=None), str_keys=True)
        given = {name: value for name, value in own.items() if name in ChatMessage.__struct_fields__}
        try:
            whole = msgspec.convert(plain | given, ChatMessage, str_keys=True)
            whole = msgspec.json.decode(msgspec.json.encode(whole), type=ChatMessage)
        except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
            self._notes["details of a message could not be read"] += 1
            return message
        kept = {name: getattr(message, name) for name in ("id", "chat_id", "role", "created_at", "reasoning", "name")}
        content, attachments = self._attached(message.content, whole.attachments, text_of(own.get(TYPED)) or "")
        state = "interrupted" if whole.state == "streaming" else whole.state
        return msgspec.structs.replace(whole, **kept, parent_id=None, versions=(), state=state, content=content, attachments=attachments)

    def _attached(self, content: str, attachments: tuple[Attachment, ...], typed: str) -> tuple[str, tuple[Attachment, ...]]:
        """What was typed and what came attached; where the two are not the message's content, all of that counts as typed."""
        clean = tuple(
            attachment(each.name, each.content, max(0, each.bytes), encoding=each.encoding, pasted=each.pasted) for each in attachments
        )
        if not clean or told(typed, clean) != content:
            if clean:
                self._notes["the attachments of a message are not what its text says and stay part of it"] += 1
            return content, ()
        return typed, clean


def _above(parent: str | None, left_out: dict[str, str | None]) -> str | None:
    """The nearest message above that was not left out."""
    passed: set[str] = set()
    while parent in left_out and parent not in passed:
        passed.add(parent)
        parent = left_out[parent]
    return parent


def _tree(read: list[_Read], places: list[int], chat_id: str) -> tuple[tuple[ChatMessage, ...], tuple[str, ...]]:
    """The messages with ids of their own and parents, and the ids as the file orders them."""
    ids: list[str] = []
    taken: set[str] = set()
    for name in (each.message.id for each in read):
        ids.append(name if _ID.fullmatch(name) and name not in taken else new_id())
        taken.add(ids[-1])
    order = parents.parents_first(places, [each.rank for each in read])
    messages = tuple(
        msgspec.structs.replace(
            read[at].message, id=ids[at], chat_id=chat_id, parent_id=ids[places[at]] if places[at] != parents.NO_PARENT else None
        )
        for at in order
    )
    return messages, tuple(ids)


def _options(metadata: dict[str, Any], own: dict[str, Any], notes: Counter[str]) -> TurnOptions:
    kept = own_options(own["options"]) if "options" in own else None
    if kept is not None:
        return kept
    unused: list[str] = []
    options = msgspec.structs.replace(options_of(metadata, unused), setup=setup_of(metadata, unused))
    if unused:
        notes[f"not used: {', '.join(dict.fromkeys(unused))}"] += 1
    return options


def _title(own: dict[str, Any], metadata: dict[str, Any], messages: tuple[ChatMessage, ...]) -> str:
    given = text_of(own.get("title")) or text_of(metadata.get("title")) or ""
    line = " ".join(given.split())[:LONGEST_TITLE]
    first = next((each.content for each in messages if each.role == "user" and each.content.strip()), "")
    return line or title_of(first) or UNNAMED


def _updated_at(own: dict[str, Any], metadata: dict[str, Any], messages: tuple[ChatMessage, ...], notes: Counter[str], now: float) -> float:
    newest = max((each.created_at for each in messages), default=None)
    said = _first(seconds_of(own.get("updated_at"), now), seconds_of(metadata.get("updated_at"), now))
    if newest is not None and (said is None or said < newest - 1):
        if said is not None:
            notes["its updated_at was older than its newest message and was mended"] += 1
        return min(newest, now)
    return min(said, now) if said is not None else now


def _usable_id(*values: Any) -> str:
    return next((value for value in values if isinstance(value, str) and _ID.fullmatch(value)), new_id())


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)
