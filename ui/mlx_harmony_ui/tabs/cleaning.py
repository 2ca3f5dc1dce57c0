"""Deleting models from the Models tab, after a question; undoing that; and the trash they lie in until it is emptied."""

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import gradio as gr

from mlx_harmony.errors import HarmonyError
from mlx_harmony.models.holdings import Holding
from mlx_harmony.models.removal import Removal, Selected
from mlx_harmony.service import Service
from mlx_harmony_ui import present, words
from mlx_harmony_ui.components.surface import Commands, Handler, ids_of, record_of, surface, text_of, wire
from mlx_harmony_ui.models import view
from mlx_harmony_ui.models.cleaning import Bar, Used, bar_of, mark_of, question_of
from mlx_harmony_ui.models.discarded import discarded_of
from mlx_harmony_ui.models.rows import Standing
from mlx_harmony_ui.models.wanted import picked_of
from mlx_harmony_ui.render import render
from mlx_harmony_ui.tabs.chosen import chosen_model

CHANGED = "What is on the disk has changed since you looked. This is how it stands now."


class CleaningUp:
    """Handlers of the tab's cleaning. `forget` has the disk read again."""

    def __init__(self, service: Service, forget: Callable[[], None]) -> None:
        self._service = service
        self._forget = forget

    async def ask(self, event: gr.EventData) -> tuple[object, str]:
        """The question for what is selected."""
        try:
            removal = await self._service.cleaning.plan(picked_of(record_of(event, "wanted").get("picked")))
        except HarmonyError as error:
            return gr.skip(), str(Commands().add("models_say", text=told(error), tone="bad"))
        return await self._asked(removal), str(Commands().add("models_ask", mark=mark_of(removal)))

    async def remove(self, event: gr.EventData) -> tuple[object, str]:
        """Move it into the trash: exactly what was asked about, else the question is put again."""
        try:
            removal = await self._service.cleaning.plan(picked_of(record_of(event, "wanted").get("picked")))
            if mark_of(removal) != text_of(event, "mark", 64):
                return await self._asked(removal, CHANGED), str(Commands().add("models_ask", mark=mark_of(removal)))
            removed = await self._service.cleaning.remove(removal)
        except HarmonyError as error:
            return gr.skip(), str(Commands().add("models_say", text=told(error), tone="bad").add("models_changed"))
        self._forget()
        unloaded = f" {', '.join(removed.unloaded)} {'was' if len(removed.unloaded) == 1 else 'were'} unloaded." if removed.unloaded else ""
        text = f"{words.size(removal.freed_bytes)} moved to the trash; emptying it frees them.{unloaded}"
        ids = [each.id for each in removed.trashed]
        return gr.skip(), str(Commands().add("models_gone", text=text, ids=ids))

    async def restore(self, event: gr.EventData) -> tuple[str, str]:
        """Bring these back where they were."""
        ids, commands = ids_of(event, "ids"), Commands()
        restored, notice = [], None
        try:
            for name in ids:
                restored.append((await self._service.cleaning.restore(name)).model)
        except HarmonyError as error:
            notice = _failed(error)
            commands.add("models_say", text=told(error), tone="bad")
        else:
            commands.add("models_say", text=f"{', '.join(dict.fromkeys(restored))} is back as it was.")
        self._forget()
        return await self.trash(notice), str(commands.add("models_changed"))

    async def empty(self, event: gr.EventData) -> tuple[str, str]:
        """Delete for good; the page has asked before."""
        notice, commands = None, Commands()
        try:
            freed = await self._service.cleaning.empty(ids_of(event, "ids") or None)
            commands.add("models_say", text=f"{words.size(freed)} are free again.")
        except HarmonyError as error:
            notice = _failed(error)
        self._forget()
        return await self.trash(notice), str(commands.add("models_changed"))

    async def show(self) -> str:
        """The trash as it stands."""
        return await self.trash()

    async def trash(self, notice: present.Notice | None = None) -> str:
        """What lies in the trash now, under what is to be said."""
        items, whole = await self._service.cleaning.trash(), await self._service.cleaning.trash_bytes()
        return render("discarded", view=discarded_of(items, whole, time.time()), notice=notice)

    async def _asked(self, removal: Removal, notice: str = "") -> str:
        return render("removal", ask=question_of(removal, await self._used()), notice=notice)

    async def _used(self) -> Used:
        states = {state.id: state for state in self._service.model_states()}
        standing = Standing(states=states, chosen=chosen_model(self._service, None), pinned=self._service.settings.pinned_models)
        return view.used_of(await self._service.infos(), standing)


async def bar_for(service: Service, holdings: tuple[Holding, ...], picked: tuple[Selected, ...]) -> Bar | None:
    """What a selection comes to; what has gone meanwhile is no longer selected."""
    here = {each.id for each in holdings}
    present_ones = tuple(each for each in picked if each.id in here)
    if not present_ones:
        return None
    try:
        removal = await service.cleaning.plan(present_ones)
    except HarmonyError as error:
        return bar_of(present_ones, None, 0, told(error))
    kept = {path for item in removal.items for path in item.keeps}
    return bar_of(present_ones, removal, await asyncio.to_thread(_bytes_of, kept))


def told(error: HarmonyError) -> str:
    """What went wrong and what to do, in one line."""
    return f"{error.message} {error.hint}".strip()


def _bytes_of(paths: Iterable[str]) -> int:
    """The bytes of these files, each counted once whatever leads to it."""
    found: dict[tuple[int, int], int] = {}
    for path in paths:
        with suppress(OSError):
            stat = Path(path).stat()
            found[stat.st_dev, stat.st_ino] = stat.st_size
    return sum(found.values())


def _failed(error: HarmonyError) -> present.Notice:
    return present.Notice(tone="bad", headline="That could not be done", text=told(error))


def layout() -> tuple[gr.HTML, gr.HTML]:
    """The trash, and the place of the question."""
    return surface("discarded", "discarded-view"), surface("removal", "removal")


def connect(bridge: gr.HTML, views: tuple[gr.HTML, gr.HTML], service: Service, forget: Callable[[], None]) -> CleaningUp:
    """Bind the events."""
    discarded, question = views
    handlers = CleaningUp(service, forget)
    wire(bridge, "models_ask", Handler(handlers.ask, (question, bridge)))
    wire(bridge, "models_remove", Handler(handlers.remove, (question, bridge)))
    wire(bridge, "models_restore", Handler(handlers.restore, (discarded, bridge)))
    wire(bridge, "models_empty", Handler(handlers.empty, (discarded, bridge)))
    wire(bridge, "models_trash", Handler(handlers.show, (discarded,), queue=False))
    return handlers
