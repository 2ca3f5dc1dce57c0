"""Forking: the path to a message becomes a chat of its own. Pure; knows no storage."""

import time

import msgspec

from mlx_harmony.conversation.plan import new_id
from mlx_harmony.conversation.records import Chat, ChatMessage, ChatSummary

LONGEST_TITLE = 200
_MARK = " (fork)"


def forked(chat: Chat, path: tuple[ChatMessage, ...]) -> Chat:
    """A new chat that holds the path under ids of its own. It keeps the date its original began on, so that prompts begin the same."""
    chat_id = new_id()
    title = chat.summary.title[: LONGEST_TITLE - len(_MARK)].removesuffix(_MARK) + _MARK
    summary = ChatSummary(id=chat_id, title=title, created_at=chat.summary.created_at, updated_at=time.time(), messages=len(path))
    copies: list[ChatMessage] = []
    fresh = {message.id: new_id() for message in path}
    for message in path:
        copy = msgspec.structs.replace(
            message,
            id=fresh[message.id],
            chat_id=chat_id,
            parent_id=copies[-1].id if copies else None,
            seen_from=fresh.get(message.seen_from or ""),
            state="interrupted" if message.state == "streaming" else message.state,
            versions=(),
        )
        copies.append(copy)
    return Chat(summary=summary, messages=tuple(copies), options=chat.options)
