"""What waits to be sent with the next message, and what came with earlier ones. The page holds ids, the service the texts."""

import asyncio
from contextlib import suppress

import gradio as gr

from mlx_harmony.conversation.records import Attachment
from mlx_harmony.errors import HarmonyError
from mlx_harmony.service import Service
from mlx_harmony_ui import attached, failures
from mlx_harmony_ui.components.surface import Commands, ids_of, number_of, text_of
from mlx_harmony_ui.render import render

MOST_COUNTS = 500


class Attaching:
    """Handlers over attachments. What they keep is how many tokens a text has for a model, which never changes."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._counts: dict[tuple[str, str], int] = {}

    async def tray(self, event: gr.EventData) -> str:
        """The chips of those of the page's ids that still wait; `ask` lets the page tell an answer that came late."""
        commands = Commands()
        try:
            waiting = await self._service.waiting(ids_of(event, "attached"))
            # In a thread: looking for a model may scan folders.
            model = (await asyncio.to_thread(self._service.find_model, text_of(event, "model", 1000) or None)).id
        except HarmonyError as error:
            return str(commands.fail(failures.told(error)))
        chips = [attached.chip(each, await self._tokens(each, model)) for each in waiting]
        html = render("tray", chips=chips)
        return str(commands.add("tray", ask=number_of(event, "ask"), ids=[each.id for each in waiting], html=html))

    async def detach(self, event: gr.EventData) -> None:
        """Let go of one that waits; where that cannot be kept, it is let go of within a week."""
        with suppress(HarmonyError):
            await self._service.detach(text_of(event, "attachment", 64))

    async def into_text(self, event: gr.EventData) -> str:
        """The text of one that waits, for the message box; the page then lets go of it."""
        commands = Commands()
        name = text_of(event, "attachment", 64)
        try:
            for each in await self._service.waiting((name,)):
                commands.add("insert", id=name, text=each.content)
        except HarmonyError as error:
            commands.fail(failures.told(error))
        return str(commands)

    async def attachment(self, event: gr.EventData) -> str:
        """The text of one that came with a message, or waits, for its card."""
        commands = Commands()
        name, message_id = text_of(event, "attachment", 64), text_of(event, "message", 64)
        try:
            waiting = () if message_id else await self._service.waiting((name,))
            found = waiting[0] if waiting else await self._service.read_attachment(text_of(event, "chat", 64), message_id, name)
            commands.add("attachment", id=name, text=found.content)
        except HarmonyError as error:
            commands.fail(failures.told(error))
        return str(commands)

    async def _tokens(self, attachment: Attachment, model: str) -> int | None:
        """Counted by the model's own tokenizer; None while nobody can be asked."""
        key = (attachment.id, model)
        if key not in self._counts:
            try:
                tokens = await self._service.count_text(attachment.content, model)
            except HarmonyError:
                tokens = None
            if tokens is None:
                return None
            if len(self._counts) >= MOST_COUNTS:
                self._counts.clear()
            self._counts[key] = tokens
        return self._counts[key]
