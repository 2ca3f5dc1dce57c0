"""What a chat that is not kept yet shows: nothing, or the words that its setup has it begin with. Drives no model and keeps nothing."""

from itertools import count

import msgspec

from mlx_harmony.conversation.records import TurnOptions
from mlx_harmony.service import Service
from mlx_harmony_ui import present
from mlx_harmony_ui.render import render

_stamps = count(1)


def greeting_html(service: Service, options: TurnOptions) -> str:
    """The history of a new chat with these options. Its message has no id, so that nothing can be done to it before it is kept."""
    said = tuple(present.answer(msgspec.structs.replace(message, id="")) for message in service.unkept_chat(options).messages)
    view = present.HistoryView(chat_id="", title="New chat" if said else "", items=said)
    return render("history", view=view, stamp=f"new-{next(_stamps)}")
