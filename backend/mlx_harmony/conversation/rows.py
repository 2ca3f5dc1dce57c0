"""How a ChatMessage becomes a row and a row a ChatMessage. Pure; knows no SQL beyond the names of the columns."""

import sqlite3

import msgspec

from mlx_harmony.conversation.records import Attachment, ChatMessage, ChatSummary, TurnOptions
from mlx_harmony.errors import StorageError

_decode_message = msgspec.json.Decoder(ChatMessage).decode
_decode_options = msgspec.json.Decoder(TurnOptions).decode


def message_details(message: ChatMessage) -> bytes:
    """All of a message that has no column of its own, as JSON; `content`, `versions` and the texts of attachments are left empty."""
    emptied = tuple(msgspec.structs.replace(each, content="") for each in message.attachments)
    return msgspec.json.encode(msgspec.structs.replace(message, content="", versions=(), attachments=emptied))


def attached_text(message: ChatMessage) -> str:
    """The texts of a message's attachments for their column, each below its name, so that both are searched."""
    return "".join(f"\n{each.name}\n{each.content}" for each in message.attachments)


def message_of(row: sqlite3.Row, versions: tuple[str, ...]) -> ChatMessage:
    """The message of a row. Raises StorageError where its details cannot be read."""
    try:
        kept = _decode_message(row["details"])
    except msgspec.DecodeError as error:
        raise _damaged(row) from error
    attachments = _with_texts(kept.attachments, row) if kept.attachments else ()
    return msgspec.structs.replace(kept, content=row["content"], state=row["state"], versions=versions, attachments=attachments)


def _with_texts(attachments: tuple[Attachment, ...], row: sqlite3.Row) -> tuple[Attachment, ...]:
    """The attachments with their texts cut out of the column again."""
    text, at = row["attached"], 0
    whole = []
    for each in attachments:
        start = at + len(f"\n{each.name}\n")
        at = start + each.characters
        whole.append(msgspec.structs.replace(each, content=text[start:at]))
    if at != len(text):
        raise _damaged(row)
    return tuple(whole)


def _damaged(row: sqlite3.Row) -> StorageError:
    return StorageError(f"A message of this chat is damaged ({row['id']}).", hint="Delete the chat or open another one.")


def options_bytes(options: TurnOptions) -> bytes:
    return msgspec.json.encode(options)


def options_of(data: bytes) -> TurnOptions:
    """The options of a chat; what an older or newer program wrote and this one cannot read gives the defaults."""
    try:
        return _decode_options(data)
    except msgspec.DecodeError:
        return TurnOptions()


def summary_of(row: sqlite3.Row) -> ChatSummary:
    return ChatSummary(
        id=row["id"], title=row["title"], created_at=row["created_at"], updated_at=row["updated_at"], messages=row["messages"]
    )
