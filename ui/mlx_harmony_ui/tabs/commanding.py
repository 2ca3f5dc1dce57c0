"""Commands typed into the message box: obeyed here, by the same words as in the terminal. Drives no model."""

import gradio as gr

from mlx_harmony.conversation.commands import (
    HELP,
    Help,
    ListModels,
    SetValue,
    ShowSettings,
    Unknown,
    change,
    describe,
    parse_command,
)
from mlx_harmony.errors import HarmonyError
from mlx_harmony.service import Service
from mlx_harmony_ui import words
from mlx_harmony_ui.components.surface import Commands, number_of, text_of
from mlx_harmony_ui.render import render
from mlx_harmony_ui.tabs.options import Options, tuning_html

Rows = tuple[tuple[str, str], ...]


class Commanding:
    """The handler of what begins like a command. It holds no state of a tab."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._options = Options(service)

    async def command(self, event: gr.EventData) -> tuple[object, str]:
        """tuning and bridge: a list as a note above the box, or a setting changed and said; what cannot be obeyed stays in the box."""
        text = text_of(event, "text")
        commands = Commands()
        try:
            match parse_command(text):
                case None:
                    commands.add("plain", text=text)
                case Help():
                    commands.add("note", text=text, html=note("Commands", HELP))
                case ShowSettings():
                    rows = describe(await self._options.of(event))
                    commands.add("note", text=text, html=note("Settings of the next answer", rows))
                case ListModels():
                    commands.add("note", text=text, html=note("Models on this machine", self._models()))
                case SetValue(name=name, value=value):
                    return await self._set(event, name, value, commands.add("obeyed", text=text))
                case Unknown(name=name):
                    commands.add("note", text="", html=note(f"There is no command “{words.shorten(name)}”", HELP, unknown=True))
        except HarmonyError as error:
            commands = Commands().fail(" ".join(filter(None, (error.message, error.hint))))
        return gr.skip(), str(commands)

    async def _set(self, event: gr.EventData, name: str, value: str, commands: Commands) -> tuple[object, str]:
        chat_id = text_of(event, "chat")
        options = change(await self._options.of(event), name, value)
        if chat_id:
            await self._service.save_options(chat_id, options)
        [now] = [said for known, said in describe(options) if known == name]
        commands.add("say", text=f"From the next answer on, {name} is {now}.")
        return tuning_html(self._service, options, number_of(event, "ask"), begun=bool(chat_id)), str(commands)

    def _models(self) -> Rows:
        states = {state.id: state.phase for state in self._service.model_states()}
        models = tuple(
            (entry.id, entry.problem or f"{words.size(entry.bytes)}, {states.get(entry.id, 'asleep')}") for entry in self._service.models()
        )
        return (*models, *((entry.id, entry.problem or "alias") for entry in self._service.routing.entries()))


def note(headline: str, rows: Rows, *, unknown: bool = False) -> str:
    """A list above the message box; `unknown` offers to send the text as a message all the same."""
    return render("note", headline=headline, rows=rows, unknown=unknown)
