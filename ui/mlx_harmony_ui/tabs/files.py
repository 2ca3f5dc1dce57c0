"""Files that the page has taken in: what came of them, in words. The files themselves go over routes of their own."""

import gradio as gr

from mlx_harmony.conversation.records import Limits
from mlx_harmony.errors import HarmonyError
from mlx_harmony.service import Service
from mlx_harmony_ui import failures, words
from mlx_harmony_ui.components.surface import Commands, ids_of, record_of, texts_of
from mlx_harmony_ui.render import render
from mlx_harmony_ui.tabs.chats import listed

WARNINGS = 4


class Files:
    """The handler that tells of an import. It holds no state of a tab."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def imported(self, event: gr.EventData) -> tuple[object, str]:
        """After files were taken in: the list of chats anew, and in words what came, what was mended and what was left out."""
        commands = Commands()
        ids, refused = ids_of(event, "imported", 100_000), record_of(event, "refused")
        said = []
        try:
            if len(ids) == 1:
                title = (await self._service.read_chat(ids[0])).summary.title
                said = [f"Imported “{words.shorten(title, 48)}”."]
                commands.add("go", id=ids[0])
            elif ids or not refused:
                said = [f"Imported {words.count(len(ids))} chats."]
            said += [*remarks(texts_of(event, "warnings")), *refusals(refused)]
            commands.add("say", text=" ".join(said), tone="bad" if refused else "")
        except HarmonyError as error:
            commands.fail(failures.told(error))
        return await listed(self._service, event, commands), str(commands)


def remarks(warnings: tuple[str, ...]) -> list[str]:
    """What was mended or left out; of many the first ones."""
    more = len(warnings) - WARNINGS
    return [*warnings[:WARNINGS], *([f"And {more} more remark{'s' if more > 1 else ''}."] if more > 0 else [])]


def refusals(refused: dict[str, object]) -> list[str]:
    """Why files were not taken in, by their names."""
    return [f"“{words.shorten(name)}” could not be imported. {why}" for name, why in refused.items() if isinstance(why, str)]


def drop_html(limits: Limits) -> str:
    """The veil for files that are dragged over the page, with what each place takes."""
    return render("drop", limits=limits, largest=_megabytes(limits.attachment_bytes), largest_chats=_megabytes(limits.chats_bytes))


def _megabytes(amount: int) -> str:
    return f"{amount // 2**20} MB"
