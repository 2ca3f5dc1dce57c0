"""A conversation file that is hostile in every text it holds. Knows the records; the page shows what comes of them."""

import json
import re
import time

from mlx_harmony.conversation.attachments import attachment
from mlx_harmony.conversation.interchange import export
from mlx_harmony.conversation.records import Chat, ChatMessage, ChatSummary, Lane, Provenance, TurnOptions, WholeChat
from mlx_harmony.events import Failed
from mlx_harmony.records import Numerics, ToolCall
from tests.ui.hostile import SNIPPETS

PAIRS = 25
"""Questions with their answers in a chat: fewer than the page draws at once."""
BATCHES = [SNIPPETS[at : at + PAIRS] for at in range(0, len(SNIPPETS), PAIRS)]


def chat_id(batch: int) -> str:
    return f"bad{batch:04x}"


def hostile_file() -> bytes:
    """All snippets as messages in a few chats, and each as the title of an empty one."""
    full = [WholeChat(chat=_chat(number, batch), positions=(0,) * len(batch) * 2) for number, batch in enumerate(BATCHES)]
    titles = [WholeChat(chat=Chat(summary=_summary(f"face{at:04x}", text), messages=()), positions=()) for at, text in enumerate(SNIPPETS)]
    return export.as_json([*full, *titles])


def _chat(number: int, batch: tuple[str, ...]) -> Chat:
    messages: list[ChatMessage] = []
    for at, text in enumerate(batch):
        messages.append(_question(f"{chat_id(number)}a{at:02x}", chat_id(number), text, messages))
        messages.append(_answer(f"{chat_id(number)}b{at:02x}", chat_id(number), text, messages))
    options = TurnOptions(model=one_line(batch[0]), identity=batch[1], instructions="\n".join(batch), stop=(one_line(batch[2]),))
    return Chat(summary=_summary(chat_id(number), batch[0]), messages=tuple(messages), options=options)


def _question(message_id: str, chat: str, text: str, before: list[ChatMessage]) -> ChatMessage:
    file = attachment(f"{text}.txt", text, len(text))
    parent = before[-1].id if before else None
    at = time.time() - 1000 + len(before)
    return ChatMessage(
        id=message_id, chat_id=chat, role="user", content=text, created_at=at, parent_id=parent, attachments=(file,), name=text
    )


def _answer(message_id: str, chat: str, text: str, before: list[ChatMessage]) -> ChatMessage:
    call = Lane(
        channel="commentary", text=json.dumps({"code": text}), recipient=f"functions.{text}", content_type=text, stop_token=text, raw=text
    )
    return ChatMessage(
        id=message_id,
        chat_id=chat,
        role="assistant",
        content=text,
        created_at=time.time() - 1000 + len(before),
        parent_id=before[-1].id,
        reasoning=text,
        tool_calls=(ToolCall(id=text, name=text, arguments=call.text),),
        state="failed",
        lanes=(
            Lane(channel="analysis", text=text, raw=text, stop_token=text),
            Lane(channel="commentary", text=text, raw=text),
            call,
            Lane(channel="final", text=text, raw=text),
        ),
        provenance=Provenance(
            model=one_line(text),
            fingerprint=text,
            numerics=Numerics(device=text, types=text, mlx=text, mlx_lm=text),
            identity=text,
            instructions=text,
            stop=(text,),
            version=text,
        ),
        error=Failed(code="generation_failed", message=text, hint=text),
        repaired=text,
        note=text,
    )


def _summary(identity: str, title: str) -> ChatSummary:
    now = time.time() - 1000
    return ChatSummary(id=identity, title=title, created_at=now, updated_at=now)


def one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text)[:200]
