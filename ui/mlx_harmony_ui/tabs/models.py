"""The Models tab and the model pill: what is on disk, loaded and unloaded from here. A load that runs can be cancelled."""

import asyncio
from collections.abc import AsyncGenerator

import gradio as gr

from mlx_harmony.errors import HarmonyError
from mlx_harmony.events import Failed
from mlx_harmony.service import Service
from mlx_harmony_ui import failures, listing, present
from mlx_harmony_ui.components.surface import Handler, surface, text_of, wire
from mlx_harmony_ui.render import render
from mlx_harmony_ui.tabs.chosen import chosen_model, pill_html, starter_html

FRAME_S = 0.25
Drawn = tuple[str, str]
"""Models, pill."""


class Models:
    """Handlers over the models of this machine."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._loading: dict[str, asyncio.Task[object]] = {}

    def pulse(self, event: gr.EventData) -> tuple[str, str, str]:
        """Models, pill and the Starter's line as they stand now; the page asks while it is looked at."""
        model = text_of(event, "model", 4096)
        return self.table(), pill_html(self._service, model), starter_html(self._service, model)

    async def load(self, event: gr.EventData) -> AsyncGenerator[Drawn, None]:
        """Load, drawing the percent; a failure stands above the list."""
        model = text_of(event, "model", 4096)
        task = self._loading.setdefault(model, asyncio.create_task(self._load(model)))
        while not task.done():
            yield self.table(), pill_html(self._service, model)
            await asyncio.wait([task], timeout=FRAME_S)
        self._loading.pop(model, None)
        failed = None if task.cancelled() else task.result()
        yield self.table(failed if isinstance(failed, Failed) else None), pill_html(self._service, model)

    async def unload(self, event: gr.EventData) -> Drawn:
        """Unload, or stop loading."""
        model = text_of(event, "model", 4096)
        if task := self._loading.get(model):
            task.cancel()
            await asyncio.wait([task])
        failed = None
        try:
            await self._service.unload(model)
        except HarmonyError as error:
            failed = Failed.of(error)
        return self.table(failed), pill_html(self._service, model)

    def table(self, failed: Failed | None = None) -> str:
        entries = self._service.models()
        needs = {entry.id: found for entry in entries if not entry.problem and (found := self._service.needs_of(entry)) is not None}
        rows = listing.model_rows(entries, self._service.model_states(), chosen_model(self._service, None), needs)
        notice = None
        if failed:
            notice = present.Notice(tone="bad", headline=failures.headline(failed.code), text=failures.explain(failed))
        return render("models", rows=rows, folders=self._service.settings.models_dirs, notice=notice)

    async def _load(self, model: str) -> Failed | None:
        try:
            await self._service.load(model)
        except HarmonyError as error:
            return Failed.of(error)
        return None


def layout() -> gr.HTML:
    return surface("models", "models-view")


def connect(bridge: gr.HTML, models: gr.HTML, pill: gr.HTML, starter: gr.HTML, service: Service) -> Models:
    """Bind the events of the tab and the pulse."""
    handlers = Models(service)
    wire(bridge, "pulse", Handler(handlers.pulse, (models, pill, starter), queue=False))
    wire(bridge, "load", Handler(handlers.load, (models, pill)))
    wire(bridge, "unload", Handler(handlers.unload, (models, pill)))
    return handlers
