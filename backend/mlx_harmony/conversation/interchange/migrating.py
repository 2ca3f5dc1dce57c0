"""A conversation file of any version as one of version 2. Knows neither the app's own chats nor a terminal, and writes no file that stays.

The file goes through a store of its own in a folder that vanishes, so it comes out as the app itself would export it.
"""

import tempfile
from pathlib import Path

from mlx_harmony.conversation.interchange.export import as_json
from mlx_harmony.conversation.interchange.importing import import_chats
from mlx_harmony.conversation.store import Store
from mlx_harmony.records import Record


class Migrated(Record):
    """A file as version 2. `title` and `messages`, versions included, of each of its chats, in the file's order."""

    data: bytes
    chats: tuple[tuple[str, int], ...]
    warnings: tuple[str, ...] = ()


async def migrated(source: Path) -> Migrated:
    """The file as version 2; models keep the names they have in it. Raises InvalidRequest, with `param` file, where it cannot be read."""
    with tempfile.TemporaryDirectory(prefix="mlx-harmony-") as folder:
        store = await Store.open(Path(folder) / "chats.sqlite3")
        try:
            report = await import_chats(store, source, lambda model: model)
            by_id = {whole.chat.summary.id: whole for whole in await store.whole_chats()}
        finally:
            await store.close()
    chats = [by_id[chat_id] for chat_id in report.imported]
    return Migrated(
        data=as_json(chats),
        chats=tuple((whole.chat.summary.title, len(whole.chat.messages)) for whole in chats),
        warnings=report.warnings,
    )
