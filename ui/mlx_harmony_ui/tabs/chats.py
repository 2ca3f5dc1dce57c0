"""Chats as kept: opening, listing, renaming, deleting, looking into an answer. Each handler turns ids from one tab into HTML."""

import asyncio
import time
from itertools import count

import gradio as gr

from mlx_harmony.conversation.records import Chat, ChatMessage
from mlx_harmony.errors import ChatNotFound, HarmonyError
from mlx_harmony.service import Service
from mlx_harmony_ui import failures, listing, present, words
from mlx_harmony_ui.components.surface import Commands, number_of, text_of
from mlx_harmony_ui.details import details
from mlx_harmony_ui.render import render
from mlx_harmony_ui.running import Desk
from mlx_harmony_ui.tabs.chosen import pill_html, starter_html
from mlx_harmony_ui.tabs.found import led_to
from mlx_harmony_ui.tabs.greeting import greeting_html
from mlx_harmony_ui.tabs.options import tuning_html

_stamps = count(1)


class Chats:
    """Handlers over the kept chats. They hold no state of a tab: the tab says which chat it means."""

    def __init__(self, service: Service, desk: Desk) -> None:
        self._service = service
        self._desk = desk

    async def open(self, event: gr.EventData, request: gr.Request) -> tuple[object, ...]:
        """history, tuning, details, starter, chats, pill, bridge for the chat of that id, or for a new one; `at` names a message to show.

        The list of chats is drawn at a tab's first asking only: later it could be older than what another event has drawn.
        """
        commands = Commands().add("theme", name=self._service.settings.theme)
        ask, at, shown = number_of(event, "ask"), text_of(event, "at", 64), present.WINDOW
        if told := self._service.notices():
            commands.add("notice", text=" ".join(told))
        try:
            chat = await self._find(text_of(event, "chat"))
            if chat and at:
                chat, shown = await led_to(self._service, chat, at, commands)
            chats = await chats_html(self._service, event) if ask <= 1 else gr.skip()
        except HarmonyError as error:
            return *(gr.skip() for _ in range(6)), str(commands.add("opened", ask=ask).fail(failures.told(error)))
        if chat is None and text_of(event, "chat"):
            commands.add("gone")
        options = chat.options if chat else self._service.default_options()
        running = self._desk.of(request.session_hash)
        return (
            await history_html(chat, shown, running.turn.answer_id if running else "") if chat else greeting_html(self._service, options),
            tuning_html(self._service, options, ask, begun=chat is not None),
            details_html(chat, at if find_message(chat, at) else ""),
            starter_html(self._service, options.model),
            chats,
            pill_html(self._service, options.model or ""),
            str(commands),
        )

    async def earlier(self, event: gr.EventData, request: gr.Request) -> str:
        """A longer window of the same chat."""
        shown = max(present.WINDOW, min(number_of(event, "shown"), 100_000))
        running = self._desk.of(request.session_hash)
        return await history_html(await self._find(text_of(event, "chat")), shown, running.turn.answer_id if running else "")

    async def look(self, event: gr.EventData, request: gr.Request) -> tuple[object, object, str]:
        """history, chats, bridge, as other windows have left them since this one drew them.

        While the page watches an answer of another window come, the list stays and nothing is said.
        """
        commands = Commands()
        chat_id, watching = text_of(event, "chat", 64), number_of(event, "watching")
        history: object = gr.skip()
        try:
            chat = await self._find(chat_id)
            chats = gr.skip() if watching else await chats_html(self._service, event)
        except HarmonyError:
            return gr.skip(), gr.skip(), str(commands)
        if chat is None and chat_id:
            commands.add("gone", id=chat_id)
        elif chat and not self._desk.of(request.session_hash) and present.mark(chat) != text_of(event, "mark", 64):
            history = await history_html(chat, max(present.WINDOW, min(number_of(event, "shown"), 100_000)))
            if not watching:
                commands.add("say", text="This chat has changed in another window. What is new is shown.")
        return history, chats, str(commands)

    async def search(self, event: gr.EventData) -> tuple[object, object]:
        try:
            return await chats_html(self._service, event), gr.skip()
        except HarmonyError as error:
            return gr.skip(), str(Commands().fail(failures.told(error)))

    async def rename(self, event: gr.EventData) -> tuple[object, str]:
        commands = Commands()
        try:
            await self._service.rename_chat(text_of(event, "chat"), text_of(event, "title", 10_000))
        except HarmonyError as error:
            commands.fail(error.message)
        return await listed(self._service, event, commands), str(commands)

    async def remove(self, event: gr.EventData) -> tuple[object, str]:
        """Into the bin, with the way back offered at once."""
        commands = Commands()
        chat_id = text_of(event, "chat")
        try:
            title = (await self._service.read_chat(chat_id)).summary.title
            await self._service.delete_chat(chat_id)
            commands.add("say", text=f"Deleted “{words.shorten(title, 48)}”.", undo=chat_id)
        except HarmonyError as error:
            commands.fail(error.message)
        return await listed(self._service, event, commands), str(commands)

    async def undo(self, event: gr.EventData) -> tuple[object, str]:
        commands = Commands()
        try:
            await self._service.restore_chat(text_of(event, "chat"))
        except HarmonyError as error:
            commands.fail(error.message)
        return await listed(self._service, event, commands), str(commands)

    async def copy(self, event: gr.EventData) -> str:
        """The answer's text as the model wrote it."""
        return await self._told(event, "clipboard")

    async def as_text(self, event: gr.EventData) -> str:
        """The same text, to be read in the answer's place."""
        return await self._told(event, "as_text")

    async def _told(self, event: gr.EventData, do: str) -> str:
        """The command by which the page gets an answer's text; none for an answer that is gone."""
        commands = Commands()
        try:
            message = find_message(await self._find(text_of(event, "chat")), text_of(event, "message"))
        except HarmonyError as error:
            return str(commands.fail(failures.told(error)))
        return str(commands.add(do, message=message.id, text=message.content) if message else commands)

    async def details(self, event: gr.EventData) -> str:
        return details_html(await self._find(text_of(event, "chat")), text_of(event, "message"), bool(number_of(event, "raw")))

    async def _find(self, chat_id: str) -> Chat | None:
        if not chat_id:
            return None
        try:
            return await self._service.read_chat(chat_id)
        except ChatNotFound:
            return None


async def history_html(chat: Chat | None, shown: int = present.WINDOW, without: str = "") -> str:
    """A window of the chat; drawn in a thread, so that long texts seen for the first time keep no other answer waiting.

    Its stamp tells the page when the chat was read: a window that took long is not drawn over a later one.
    """
    stamp = next(_stamps)

    def drawn() -> str:
        view = present.history(chat, shown, without) if chat else present.HistoryView(chat_id="", title="", items=())
        return render("history", view=view, stamp=stamp)

    return await asyncio.to_thread(drawn)


def details_html(chat: Chat | None, message_id: str, raw: bool = False) -> str:
    """The details of one answer, of the last where none is named; with `raw`, token by token."""
    message = find_message(chat, message_id)
    return render("details", view=details(message, raw) if message else None)


def find_message(chat: Chat | None, message_id: str) -> ChatMessage | None:
    answers = [message for message in chat.messages if message.role == "assistant"] if chat else []
    if not message_id:
        return answers[-1] if answers else None
    return next((message for message in answers if message.id == message_id), None)


async def listed(service: Service, event: gr.EventData, commands: Commands) -> object:
    """The list of chats drawn anew; where it cannot be read, it stays as it is and that is said."""
    try:
        return await chats_html(service, event)
    except HarmonyError as error:
        commands.fail(failures.told(error))
        return gr.skip()


async def chats_html(service: Service, event: gr.EventData) -> str:
    """The list as the page has it: what is searched for, else the chats last used, as many as it has asked for.

    `asked` is the page's number for having asked, so that it can tell an answer that another one has overtaken.
    """
    query, asked = text_of(event, "query", 1000), number_of(event, "asked")
    if query.strip():
        return render("found", rows=listing.found_rows(await service.search(query)), asked=asked)
    return render("chats", view=listing.chats(await service.list_chats(), time.time(), number_of(event, "rows")), asked=asked)
