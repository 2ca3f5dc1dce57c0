"""Presets in the Tuning panel: picked, saved from the numbers that stand there, deleted. What a preset may hold is the service's to say."""

import gradio as gr
import msgspec

from mlx_harmony.errors import HarmonyError
from mlx_harmony.service import Service
from mlx_harmony_ui import failures
from mlx_harmony_ui.components.surface import Commands, number_of, text_of
from mlx_harmony_ui.tabs.options import Options, tuning_html


class PresetPicking:
    """The handler of all that is done with presets. It holds no state of a tab."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._options = Options(service)

    async def preset(self, event: gr.EventData) -> tuple[object, str]:
        """tuning and bridge: the panel as it then is, and in words what was done or why not."""
        chat_id, name = text_of(event, "chat"), text_of(event, "preset", 1000)
        commands = Commands()
        try:
            options = await self._options.of(event)
        except HarmonyError as error:
            return gr.skip(), str(commands.fail(failures.told(error)))
        try:
            match text_of(event, "act", 20):
                case "use":
                    changed = msgspec.structs.replace(options, sampling=self._service.presets.apply(name, options.sampling))
                    if chat_id:
                        await self._service.save_options(chat_id, changed)
                    options = changed
                case "save":
                    saved = self._service.presets.save(name, options.sampling)
                    commands.add("say", text=f"These numbers are now the preset “{saved.name}”.")
                case "remove":
                    self._service.presets.remove(name)
                    commands.add("say", text=f"Deleted the preset “{name}”. Its numbers still stand here.", preset=name)
                case "restore":
                    self._service.presets.restore(name)
                    commands.add("say", text=f"The preset “{name}” is there again.")
        except HarmonyError as error:
            commands.fail(failures.told(error))
        return tuning_html(self._service, options, number_of(event, "ask"), begun=bool(chat_id)), str(commands)
