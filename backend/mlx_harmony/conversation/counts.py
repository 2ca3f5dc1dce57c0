"""What a model has counted of a chat, kept so that the meter stays true while the model sleeps; and guesses for what it has not seen.

Knows no tokenizer and asks no model. The kept counts work on a connection, the rest is pure.
"""

import hashlib
import sqlite3
from collections.abc import Sequence

import msgspec

from mlx_harmony.context import context_of, prompt_room
from mlx_harmony.conversation.history import framed, prompt_of
from mlx_harmony.conversation.plan import Asked, Path, fitting
from mlx_harmony.conversation.records import ChatMessage, ContextUse
from mlx_harmony.records import GenerationRequest, Message, Record

CHARACTERS_PER_TOKEN = 4.0
USUAL_ANSWER = 1024
"""Tokens that Harmony leaves for an answer where nobody chose a length; other formats leave no more."""
_PER_MESSAGE = 4
"""Tokens around a message: who speaks, and where it begins and ends."""


class KeptCount(Record):
    """What a chat took when its model last counted it. `key` stands for the prompt, its limits and the model's files.

    `characters` are those of the prompt's messages, so that both together tell how long a token is in this chat.
    """

    key: str
    use: ContextUse
    characters: int


_decode = msgspec.json.Decoder(KeptCount).decode


def found(db: sqlite3.Connection, chat_id: str, model: str) -> KeptCount | None:
    """What the model last counted of the chat; None where nothing is kept, or nothing that this release understands."""
    row = db.execute("SELECT counted FROM counts WHERE chat_id = ? AND model = ?", (chat_id, model)).fetchone()
    try:
        return _decode(row["counted"]) if row else None
    except msgspec.DecodeError:
        return None


def keep(db: sqlite3.Connection, chat_id: str, model: str, count: KeptCount) -> None:
    """Keep it in place of what was counted before; nothing where the chat is gone."""
    query = "INSERT OR REPLACE INTO counts (chat_id, model, counted) SELECT id, ?, ? FROM chats WHERE id = ?"
    db.execute(query, (model, msgspec.json.encode(count), chat_id))


def kept_count(use: ContextUse, path: Path, asked: Asked) -> KeptCount:
    """What was just counted of this path, as it is kept: without what the cache spared, which changes."""
    use = msgspec.structs.replace(use, reused=None, seconds=None)
    return KeptCount(key=_key(path, asked), use=use, characters=_characters(prompt_of(path, asked.options, asked.created_at).messages))


def recalled(kept: KeptCount | None, path: Path, typed: Path, asked: Asked) -> ContextUse | None:
    """How much path and draft take by what was counted before; what was not is estimated. None where not even a limit is known."""
    if kept is None and asked.entry.context_length is None:
        return None
    same = kept is not None and kept.key == _key(path, asked)
    known = dict(kept.use.messages) if kept else {}
    per_token = _characters_per_token(kept)
    draft = sum(_guess(message, asked, per_token) for message in typed)
    if kept is not None and same:
        counted = "estimate" if typed else "before"
        sent = min(kept.use.sent + draft, kept.use.limit)
        return msgspec.structs.replace(kept.use, total=kept.use.total + draft, sent=sent, draft=draft, counted=counted)
    frame = _characters(framed((), asked.options, asked.created_at).messages) / per_token
    said = sum(known.get(message.id) or _guess(message, asked, per_token) for message in path)
    total = round(frame) + said + draft
    request = fitting(GenerationRequest(id="", prompt=prompt_of(path, asked.options, asked.created_at)), asked.options)
    whole = asked.entry.context_length or 0
    limit = kept.use.limit if kept else prompt_room(request, whole, USUAL_ANSWER)
    return ContextUse(
        total=total,
        sent=min(total, limit),
        limit=limit,
        context_length=kept.use.context_length if kept else context_of(request, whole),
        draft=draft,
        counted="estimate",
    )


def _key(path: Path, asked: Asked) -> str:
    """Equal for equal prompts under equal limits of a model whose files have not changed since."""
    prompt = prompt_of(path, asked.options, asked.created_at)
    request = fitting(GenerationRequest(id="", prompt=prompt), asked.options)
    entry = asked.entry
    return hashlib.sha256(msgspec.json.encode((request, entry.id, entry.path, entry.bytes, entry.modified_at))).hexdigest()


def _guess(message: ChatMessage, asked: Asked, per_token: float) -> int:
    told = prompt_of((message,), msgspec.structs.replace(asked.options, instructions="", setup=None), asked.created_at).messages
    return sum(_PER_MESSAGE + -(-_characters((each,)) // max(1, round(per_token))) for each in told)


def _characters(messages: Sequence[Message]) -> int:
    return sum(len(message.content) for message in messages)


def _characters_per_token(kept: KeptCount | None) -> float:
    """How long a token is in this chat, where enough of it was counted to say."""
    if kept is None or kept.characters < 400 or kept.use.total < 100:
        return CHARACTERS_PER_TOKEN
    return min(8.0, max(1.0, kept.characters / kept.use.total))
