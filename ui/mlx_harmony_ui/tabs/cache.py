"""The Cache tab: what a model keeps of what it read, looked at, pinned, dropped and cleared from here. Files go by the API's own door."""

import asyncio
import time

import gradio as gr

from mlx_harmony.cache_records import CacheAction, CacheKeeper, CacheState
from mlx_harmony.errors import HarmonyError
from mlx_harmony.service import Service
from mlx_harmony_ui import failures, present
from mlx_harmony_ui.cache.view import Looked, cache_view
from mlx_harmony_ui.components.surface import Commands, Handler, surface, text_of, wire
from mlx_harmony_ui.render import render
from mlx_harmony_ui.tabs.chosen import chosen_model

DONE: dict[str, tuple[CacheAction, str]] = {
    "pin": ("pin", "Pinned, with all that it goes on from. It is kept until you unpin, drop or clear it."),
    "unpin": ("unpin", "No longer pinned."),
    "drop": ("drop", "Dropped."),
    "clear_memory": ("clear_memory", "The memory is cleared."),
    "clear_disk": ("clear_disk", "The disk is cleared."),
}
"""What the page may ask for, and what is said when it is done."""


class Cache:
    """Handlers of the tab. They hold no state of a tab: the page says which model it looks at."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def show(self, event: gr.EventData) -> str:
        """The tab as it stands."""
        return await self._drawn(text_of(event, "model", 4096))

    async def look(self, event: gr.EventData) -> tuple[object, str]:
        """The same for a page that shows it already: nothing is drawn where nothing has changed since."""
        html = await self._drawn(text_of(event, "model", 4096), shown=text_of(event, "mark", 64))
        return html or gr.skip(), str(Commands().add("cache_looked"))

    async def act(self, event: gr.EventData) -> tuple[str, str]:
        """Pin, unpin or drop an entry, or clear a tier; the page has asked before."""
        model, entry = self._model(text_of(event, "model", 4096)), text_of(event, "entry", 200)
        action, said = DONE.get(text_of(event, "action", 20), ("look", ""))
        commands, state = Commands(), None
        try:
            state = await self._service.caches.act(model, action, entry)
            commands.add("cache_say", text=said)
        except HarmonyError as error:
            commands.add("cache_say", text=failures.told(error), tone="bad")
        return await self._drawn(model, state), str(commands)

    def _model(self, asked: str) -> str:
        return asked or chosen_model(self._service, None)

    async def _drawn(self, asked: str, state: CacheState | None = None, shown: str = "") -> str:
        """The tab's HTML; "" where `shown` is the mark of just that. Made in a thread: a large tree keeps no answer waiting."""
        looked = await self._looked(asked, state)

        def drawn() -> str:
            view = cache_view(looked, time.time())
            return "" if view.mark == shown else render("cache", view=view)

        return await asyncio.to_thread(drawn)

    async def _looked(self, asked: str, state: CacheState | None) -> Looked:
        model = self._model(asked)
        standing = {each.id: each for each in self._service.model_states()}
        notices: tuple[present.Notice, ...] = ()
        titles: dict[str, str] = {}
        keepers: tuple[CacheKeeper, ...] = ()
        try:
            state = state or await self._service.caches.look(model)
            keepers = await self._service.caches.kept()
            titles = await self._titles(state)
        except HarmonyError as error:
            state = state or CacheState()
            notices = (present.Notice(tone="bad", headline=failures.headline(error.code), text=f"{error.message} {error.hint}".strip()),)
        if model not in {keeper.model for keeper in keepers}:
            keepers = (CacheKeeper(model=model, folder=""), *keepers)
        return Looked(
            model=model,
            state=state,
            standing=standing.get(model),
            keepers=keepers,
            titles=titles,
            notices=notices,
        )

    async def _titles(self, state: CacheState) -> dict[str, str]:
        """The titles of the chats that are told of, by their ids."""
        wanted = {chat for entry in state.entries for chat in entry.chats} | {request.chat for request in state.recent}
        if not wanted - {""}:
            return {}
        return {chat.id: chat.title for chat in await self._service.list_chats() if chat.id in wanted}


def layout() -> gr.HTML:
    return surface("cache", "cache-view")


def connect(bridge: gr.HTML, view: gr.HTML, service: Service) -> Cache:
    """Bind the events of the tab."""
    handlers = Cache(service)
    wire(bridge, "cache", Handler(handlers.look, (view, bridge), queue=False))
    wire(bridge, "cache_act", Handler(handlers.act, (view, bridge)))
    return handlers
