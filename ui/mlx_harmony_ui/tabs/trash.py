"""The trash: what was deleted, brought back one by one or removed for good after a question. Drives no model."""

import time

import gradio as gr

from mlx_harmony.errors import HarmonyError
from mlx_harmony.service import Service
from mlx_harmony_ui import failures, listing, present, words
from mlx_harmony_ui.components.surface import Commands, Handler, surface, text_of, wire
from mlx_harmony_ui.render import render
from mlx_harmony_ui.tabs.chats import chats_html


class Trash:
    """Handlers of the view. They hold no state of a tab."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def show(self, notice: present.Notice | None = None) -> str:
        """What lies in the trash now, under what is to be said."""
        try:
            items = await self._service.list_trash()
        except HarmonyError as error:
            items, notice = (), _failed(error)
        return render("trash", rows=listing.bin_rows(items, time.time()), total=listing.bin_total(items), notice=notice)

    async def restore(self, event: gr.EventData) -> tuple[object, object, str]:
        """One entry back where it was."""
        name, chat_id = text_of(event, "id", 64), text_of(event, "chat", 64)
        try:
            if text_of(event, "kind", 20) == "chat":
                await self._service.restore_chat(name)
                text = "“{}” is in the list of chats again."
            else:
                await self._service.undo_delete(name)
                text = "What was deleted of “{}” stands in the chat again."
            title = (await self._service.read_chat(chat_id)).summary.title
            notice = present.Notice(tone="quiet", headline="Restored.", text=text.format(words.shorten(title, 48)))
            chats: object = await chats_html(self._service, event)
        except HarmonyError as error:
            notice, chats = _failed(error), gr.skip()
        return await self.show(notice), chats, str(Commands().add("restored", chat=chat_id))

    async def empty(self) -> str:
        """All of it removed for good; the page has asked before."""
        try:
            total = listing.bin_total(await self._service.list_trash())
            await self._service.empty_trash()
            notice = present.Notice(tone="quiet", headline="Emptied.", text=f"{total} removed for good." if total else "")
        except HarmonyError as error:
            notice = _failed(error)
        return await self.show(notice)


def _failed(error: HarmonyError) -> present.Notice:
    return present.Notice(tone="bad", headline=failures.headline(error.code), text=f"{error.message} {error.hint}".strip())


def layout() -> gr.HTML:
    return surface("trash", "trash-view")


def connect(bridge: gr.HTML, view: gr.HTML, chats: gr.HTML, service: Service) -> Trash:
    """Bind the events of the view."""
    handlers = Trash(service)
    wire(bridge, "restore", Handler(handlers.restore, (view, chats, bridge)))
    wire(bridge, "empty_trash", Handler(handlers.empty, (view,)))
    return handlers
