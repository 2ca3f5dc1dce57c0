"""What a chat takes and where an answer came from: the context meter, and requests to copy. Drives no model."""

import re
from typing import get_args

import gradio as gr

from mlx_harmony.conversation.records import CopyKind
from mlx_harmony.errors import HarmonyError
from mlx_harmony.service import Service
from mlx_harmony_ui import failures
from mlx_harmony_ui.components.surface import Commands, ids_of, text_of
from mlx_harmony_ui.meter import meter
from mlx_harmony_ui.render import render
from mlx_harmony_ui.tabs.options import Options

_ADDRESS = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]{1,200}")


class Figures:
    """Handlers that count and copy. They hold no state of a tab."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._options = Options(service)

    async def context(self, event: gr.EventData) -> str:
        """The meter; nothing where there is nothing to count, or with options that cannot be sent."""
        chat_id = text_of(event, "chat")
        try:
            options = await self._options.of(event)
            use = await self._service.context(chat_id, text_of(event, "text"), options, ids_of(event, "attached"))
        except HarmonyError:
            use = None
        return render("meter", view=meter(use) if use else None, chat=chat_id)

    async def copy_as(self, event: gr.EventData) -> str:
        """The request that made an answer, for the clipboard."""
        commands = Commands()
        kinds: dict[str, CopyKind] = {kind: kind for kind in get_args(CopyKind)}
        address = text_of(event, "address", 300)
        try:
            text = await self._service.copy_as(
                text_of(event, "chat"),
                text_of(event, "message"),
                kinds.get(text_of(event, "kind", 20), "curl"),
                address if _ADDRESS.fullmatch(address) else "",
            )
            commands.add("clipboard", text=text)
        except HarmonyError as error:
            commands.fail(failures.told(error))
        return str(commands)
