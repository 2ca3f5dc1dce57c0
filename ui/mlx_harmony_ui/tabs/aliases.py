"""Aliases set, changed and removed from the Models tab. What may be kept is the service's to say; where it refuses, the field is named."""

import asyncio
import secrets

import gradio as gr

from mlx_harmony.errors import HarmonyError
from mlx_harmony.service import Service
from mlx_harmony_ui.components.surface import Commands, Handler, record_of, surface, text_of, wire
from mlx_harmony_ui.models.alias_form import LONGEST_NAME, alias_from, beside, form_of, sent_of
from mlx_harmony_ui.render import render
from mlx_harmony_ui.tabs.cleaning import told


class AliasForms:
    """Handlers of the form. They hold nothing: the page sends the whole of it."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def ask(self, event: gr.EventData) -> tuple[object, str]:
        """The form of an alias, or of a new one where none is named."""
        name, commands = text_of(event, "alias", 4096), Commands()
        try:
            rows = await asyncio.to_thread(self._service.routing.rows)
            entries = await asyncio.to_thread(self._service.models)
        except HarmonyError as error:
            return gr.skip(), str(commands.add("models_say", text=told(error), tone="bad"))
        alias = next((row.alias for row in rows if row.alias.name == name), None)
        if name and alias is None:
            gone = f"The alias {name} is no longer there."
            return gr.skip(), str(commands.add("models_say", text=gone, tone="bad").add("models_changed"))
        # Asked for again, it is drawn again, whatever was typed into it and then left.
        mark = secrets.token_hex(4)
        html = render("alias_form", form=form_of(alias, entries, rows), mark=mark, longest=LONGEST_NAME)
        return html, str(commands.add("alias_form", mark=mark))

    async def save(self, event: gr.EventData) -> str:
        """Keep what the form says; what cannot be kept is said beside its field."""
        commands, sent = Commands(), record_of(event, "form")
        try:
            alias = await self._service.routing.save(alias_from(sent), new=sent.get("new") == "yes")
        except HarmonyError as error:
            return str(commands.add("alias_refused", field=error.param or "", text=beside(error), why=told(error)))
        said = f"{alias.name} is back." if sent.get("undo") == "yes" else f"{alias.name} can be asked for now, like a model."
        return str(commands.add("alias_kept").add("models_say", text=said).add("models_changed"))

    async def remove(self, event: gr.EventData) -> str:
        """Delete an alias; it can be brought back, if it could be used."""
        name, commands = text_of(event, "alias", 4096), Commands()
        try:
            alias = await self._service.routing.remove(name)
        except HarmonyError as error:
            return str(commands.add("models_say", text=told(error), tone="bad").add("models_changed"))
        undo = {} if alias.problem else {"alias": sent_of(alias)}
        said = f"The alias {name} is removed; its models stay."
        if name == self._service.settings.model:
            said += " New chats began with it: choose another default."
        return str(commands.add("models_say", text=said, **undo).add("models_changed"))


def layout() -> gr.HTML:
    """The place of the form."""
    return surface("alias-form", "alias-place")


def connect(bridge: gr.HTML, form: gr.HTML, service: Service) -> AliasForms:
    """Bind the events."""
    handlers = AliasForms(service)
    wire(bridge, "alias_form", Handler(handlers.ask, (form, bridge)))
    wire(bridge, "alias_save", Handler(handlers.save, (bridge,)))
    wire(bridge, "alias_remove", Handler(handlers.remove, (bridge,)))
    return handlers
