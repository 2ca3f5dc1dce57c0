"""The way from a search to the message it found: the version it stands on is shown, in a window long enough to hold it."""

from mlx_harmony.conversation.records import Chat
from mlx_harmony.errors import ChatNotFound
from mlx_harmony.service import Service
from mlx_harmony_ui import present
from mlx_harmony_ui.components.surface import Commands

AROUND = 10
"""Messages drawn above the one that was looked for."""


async def led_to(service: Service, chat: Chat, message_id: str, commands: Commands) -> tuple[Chat, int]:
    """The chat with that message on its shown path, and how many messages to draw; a message that is gone is said."""
    if message_id not in {message.id for message in chat.messages}:
        try:
            chat = await service.show_version(chat.summary.id, message_id)
        except ChatNotFound:
            commands.add("say", text="That message is no longer in this chat.")
            return chat, present.WINDOW
    ids = [message.id for message in chat.messages]
    commands.add("sought", message=message_id)
    return chat, max(present.WINDOW, len(ids) - ids.index(message_id) + AROUND)
