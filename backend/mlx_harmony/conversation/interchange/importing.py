"""Bringing the chats of a file into the store: each on its own, under fresh ids where its own are taken, and never over another."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from mlx_harmony.conversation.interchange.chats import Imported, build_chat, with_fresh_ids
from mlx_harmony.conversation.interchange.reading import check_size, read_document, refused
from mlx_harmony.conversation.records import ImportReport
from mlx_harmony.conversation.store import Store
from mlx_harmony.errors import StorageError

FindModel = Callable[[str], str | None]
"""The id on this machine of a model that a file names by its path or id; None where it is not here."""


async def import_chats(store: Store, source: bytes | Path, find_model: FindModel) -> ImportReport:
    """Store every chat of the file. Raises InvalidRequest where it holds none, StorageError where none could be stored."""
    drafts, warnings = await asyncio.to_thread(_drafts, source)
    imported: list[str] = []
    lost: StorageError | None = None
    for draft in drafts:
        warnings += draft.warnings
        title = draft.chat.summary.title
        model = draft.chat.options.model
        found = find_model(model) if model is not None else None
        if model is not None and found is None:
            warnings.append(f"{title}: its model {model[:100]} is not on this machine; the default model will answer.")
        options = msgspec.structs.replace(draft.chat.options, model=found)
        try:
            kept = await _kept(store, draft._replace(chat=msgspec.structs.replace(draft.chat, options=options)))
        except StorageError as error:
            lost = error
            warnings.append(f"{title}: {error.message}")
        else:
            imported.append(kept)
            if kept != draft.chat.summary.id:
                warnings.append(f"{title}: it is here already and was imported as a copy.")
    if lost is not None and not imported:
        raise lost
    return ImportReport(imported=tuple(imported), warnings=tuple(warnings))


async def _kept(store: Store, draft: Imported) -> str:
    """The id under which the chat was stored: a fresh one where its own, or one of its messages', is taken."""
    if not await store.any_taken(draft.chat):
        try:
            await store.add_chat(draft.chat, draft.shown)
            return draft.chat.summary.id
        except StorageError:
            # Another import may have stored the same chat at this very moment.
            if not await store.any_taken(draft.chat):
                raise
    fresh = with_fresh_ids(draft)
    await store.add_chat(fresh.chat, fresh.shown)
    return fresh.chat.summary.id


def _drafts(source: bytes | Path) -> tuple[list[Imported], list[str]]:
    document = read_document(source if isinstance(source, bytes) else _bytes_of(source))
    warnings = list(document.warnings)
    drafts: list[Imported] = []
    taken: set[str] = set()
    now = time.time()
    for key, raw in document.chats:
        built = build_chat(raw, key, now)
        if built is None:
            warnings.append(f"The chat {key[:64]!r} holds no list of messages and was left out.")
            continue
        if built.chat.summary.id in taken:
            warnings.append(f"{built.chat.summary.title}: another chat of the file has its id, so it got a new one.")
            built = with_fresh_ids(built)
        taken.add(built.chat.summary.id)
        drafts.append(built)
    if not drafts and warnings:
        raise refused(f"The file holds no chat that could be read. {warnings[-1]}")
    return drafts, warnings


def _bytes_of(path: Path) -> bytes:
    try:
        check_size(path.stat().st_size)
        return path.read_bytes()
    except OSError as error:
        raise refused(f"The file {path.name} could not be read: {error.strerror}.") from error
