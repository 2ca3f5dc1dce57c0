"""Chats as files: given to the browser to keep, and taken from a file the person chose. Touches no disk of this machine itself."""

import re

import gradio as gr

from mlx_harmony.conversation.records import ImportReport
from mlx_harmony.errors import HarmonyError
from mlx_harmony.service import Service
from mlx_harmony_ui import failures
from mlx_harmony_ui.components.surface import Commands, text_of
from mlx_harmony_ui.tabs.chats import chats_html

LARGEST_FILE = 6_000_000
"""Characters of a file that the page sends in one event; the gate refuses larger bodies."""
WARNINGS = 4


class Files:
    """Handlers for export and import. They hold no state of a tab."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def export(self, event: gr.EventData) -> str:
        """The open chat as JSON or Markdown, or with no chat named all of them as JSON."""
        commands = Commands()
        chat_id, kind = text_of(event, "chat"), text_of(event, "kind", 20)
        try:
            name = file_name((await self._service.read_chat(chat_id)).summary.title) if chat_id else "chats"
            if kind == "markdown":
                commands.add("download", name=f"{name}.md", type="text/markdown", text=await self._service.export_markdown(chat_id))
            else:
                text = (await self._service.export_json(chat_id or None)).decode()
                commands.add("download", name=f"{name}.json", type="application/json", text=text)
        except HarmonyError as error:
            commands.add("say", text=failures.told(error))
        return str(commands)

    async def import_chats(self, event: gr.EventData) -> tuple[object, str]:
        """The chats of a file beside those that are here; says what was mended or left out, and opens a single one."""
        commands = Commands()
        text = text_of(event, "text", LARGEST_FILE)
        if not text:
            return gr.skip(), str(commands.add("say", text="That file is empty, or larger than the page can take in."))
        try:
            report = await self._service.import_chats(text.encode("utf-8", "replace"))
        except HarmonyError as error:
            return gr.skip(), str(commands.add("say", text=failures.told(error)))
        if len(report.imported) == 1:
            commands.add("go", id=report.imported[0])
        return await chats_html(self._service), str(commands.add("say", text=reported(report)))


def reported(report: ImportReport) -> str:
    """What an import brought, in words."""
    number = len(report.imported)
    said = [f"Imported {'one chat' if number == 1 else f'{number} chats'}.", *report.warnings[:WARNINGS]]
    if len(report.warnings) > WARNINGS:
        said.append(f"And {len(report.warnings) - WARNINGS} more remarks.")
    return " ".join(said)


def file_name(title: str) -> str:
    """A title as the name of a file on any system."""
    return re.sub(r"[^\w-]+", "-", title).strip("-_")[:60] or "chat"
