"""Acts on single messages: another version shown, a chat forked, a message deleted and brought back. Drives no model."""

import gradio as gr

from mlx_harmony.conversation.records import Chat
from mlx_harmony.errors import HarmonyError
from mlx_harmony.service import Service
from mlx_harmony_ui import failures
from mlx_harmony_ui.components.surface import Commands, text_of
from mlx_harmony_ui.tabs.chats import details_html, find_message, history_html, listed

Drawn = tuple[object, object, object, str]
"""What a change of the messages draws: history, details, chats, bridge."""


class Messages:
    """Handlers over the messages of a kept chat. They hold no state of a tab."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def version(self, event: gr.EventData) -> tuple[str, str, str]:
        """Another version of a message takes its place in the chat, with what followed it."""
        chat_id, message_id = text_of(event, "chat"), text_of(event, "message")
        commands = Commands()
        try:
            chat = await self._service.show_version(chat_id, message_id)
        except HarmonyError as error:
            return gr.skip(), gr.skip(), str(commands.fail(error.message))
        answer = message_id if find_message(chat, message_id) else ""
        return await history_html(chat), details_html(chat, answer), str(commands)

    async def fork(self, event: gr.EventData) -> tuple[object, str]:
        """A new chat up to a message, opened at once."""
        commands = Commands()
        try:
            copy = await self._service.fork(text_of(event, "chat"), text_of(event, "message"))
        except HarmonyError as error:
            return gr.skip(), str(commands.fail(failures.told(error)))
        commands.add("go", id=copy.summary.id).add("say", text="This is a new chat with the messages up to there.")
        return await listed(self._service, event, commands), str(commands)

    async def drop(self, event: gr.EventData) -> Drawn:
        """A message and what followed it into the bin, with the way back offered at once."""
        chat_id, message_id = text_of(event, "chat"), text_of(event, "message")
        commands = Commands()
        try:
            before = await self._service.read_chat(chat_id)
            token = await self._service.delete_message(chat_id, message_id)
            chat = await self._service.read_chat(chat_id)
            commands.add("say", text=_gone(before, message_id), undo=chat_id, token=token)
        except HarmonyError as error:
            return gr.skip(), gr.skip(), gr.skip(), str(commands.fail(failures.told(error)))
        return await history_html(chat), details_html(chat, ""), await listed(self._service, event, commands), str(commands)

    async def undrop(self, event: gr.EventData) -> Drawn:
        """A deleted message back in its place."""
        commands = Commands()
        try:
            await self._service.undo_delete(text_of(event, "token", 64))
            chat = await self._service.read_chat(text_of(event, "chat"))
        except HarmonyError as error:
            return gr.skip(), gr.skip(), gr.skip(), str(commands.fail(failures.told(error)))
        return await history_html(chat), details_html(chat, ""), await listed(self._service, event, commands), str(commands)


def _gone(before: Chat, message_id: str) -> str:
    """What was deleted, in words."""
    ids = [message.id for message in before.messages]
    followed = len(ids) - ids.index(message_id) - 1 if message_id in ids else 0
    if not followed:
        return "Deleted one message."
    return f"Deleted {followed + 1} messages: this one and what followed it."
