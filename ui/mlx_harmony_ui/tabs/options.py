"""What a chat's next turn is made with: the page's controls over what the chat has, and the profile a new chat begins with."""

from itertools import count

import gradio as gr

from mlx_harmony.conversation.records import TurnOptions
from mlx_harmony.errors import HarmonyError, SettingsError
from mlx_harmony.records import Record
from mlx_harmony.service import Service
from mlx_harmony_ui import controls, failures
from mlx_harmony_ui.choices import choices
from mlx_harmony_ui.components.surface import Commands, number_of, record_of, text_of
from mlx_harmony_ui.render import render
from mlx_harmony_ui.tabs.chosen import pill_html, starter_html
from mlx_harmony_ui.tabs.greeting import greeting_html

NOTE = "Sets the model, the prompt and the context that a new chat begins with; the chat then keeps it."
NO_PRESET = "A preset sets all the numbers of sampling and repetition at once. Save these to have them again."
NONE_YET = " There are none yet: write them in profiles.json."
_stamps = count(1)


class ProfileChoice(Record):
    """One profile to begin a chat with; `problem` says why it cannot be used."""

    name: str
    problem: str = ""


class ProfilePicker(Record):
    """The profiles of this run. `fixed`: the chat has begun, so its profile stays. `note` says what can be done here."""

    chosen: str
    choices: tuple[ProfileChoice, ...]
    note: str
    fixed: bool


class PresetChoice(Record):
    """One preset to choose; `problem` says why it cannot be."""

    name: str
    note: str
    problem: str


class PresetPicker(Record):
    """The presets to choose from. `chosen` is the one that the numbers are, "" for none; `own`: it can be deleted."""

    choices: tuple[PresetChoice, ...]
    note: str
    none: str = NO_PRESET
    chosen: str = ""
    own: bool = False
    problem: bool = False


class Options:
    """Handlers of the options that are sent with every turn."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def of(self, event: gr.EventData) -> TurnOptions:
        """The options that came with an event. Raises HarmonyError for a value out of range, a chat that is gone, an unusable profile."""
        data = record_of(event, "options")
        return controls.options_from(data, await self._kept(text_of(event, "chat"), data.get("profile")))

    async def _kept(self, chat_id: str, profile: object) -> TurnOptions:
        if chat_id:
            return await self._service.read_options(chat_id)
        return self._service.apply_profile(profile) if isinstance(profile, str) and profile else self._service.default_options()

    async def save(self, event: gr.EventData) -> str:
        """Keep the chat's options; a value out of range is named and not kept."""
        commands = Commands()
        try:
            await self._service.save_options(text_of(event, "chat"), await self.of(event))
        except HarmonyError as error:
            commands.add("say", text=failures.told(error))
        return str(commands)

    async def profile(self, event: gr.EventData) -> tuple[object, ...]:
        """tuning, starter, pill, history and bridge for a new chat with that profile, or with none.

        A profile that cannot be used changes nothing.
        """
        name, ask = text_of(event, "profile", 1000), number_of(event, "ask")
        commands = Commands()
        try:
            options = await self._kept("", name)
        except HarmonyError as error:
            commands.add("say", text=failures.told(error))
            return await self._unchanged(event, ask), gr.skip(), gr.skip(), gr.skip(), str(commands)
        drawn = tuning_html(self._service, options, ask)
        model = options.model or ""
        return (
            drawn,
            starter_html(self._service, model),
            pill_html(self._service, model),
            greeting_html(self._service, options),
            str(commands),
        )

    async def _unchanged(self, event: gr.EventData, ask: int) -> object:
        """The panel as it stood before a choice that could not be made."""
        try:
            return tuning_html(self._service, await self.of(event), ask)
        except HarmonyError:
            return gr.skip()


def tuning_html(service: Service, options: TurnOptions, ask: int, begun: bool = False) -> str:
    """The options as controls; `ask` is the page's number for having asked, so that it can tell an answer that came late."""
    return render(
        "tuning",
        options=options,
        profiles=profile_picker(service, options, begun),
        presets=preset_picker(service, options),
        groups=controls.slides(options),
        channels=controls.CHANNEL_SWITCHES,
        choices=choices(options, service.models()),
        tools=" ".join(tool.kind for tool in options.tools),
        identity=controls.DEFAULT_IDENTITY,
        stamp=next(_stamps),
        ask=ask,
    )


def preset_picker(service: Service, options: TurnOptions) -> PresetPicker:
    """The presets, and the one that the numbers are; where the file cannot be read, why not."""
    presets, problem = service.presets.built_in, ""
    try:
        presets = service.presets.all()
    except SettingsError as error:
        problem = failures.told(error)
    chosen = next((each for each in presets if each.is_of(options.sampling)), None)
    note = (chosen.note or "A preset of your own.") if chosen else NO_PRESET
    return PresetPicker(
        choices=tuple(PresetChoice(name=each.name, note=each.note, problem=each.problem) for each in presets),
        chosen=chosen.name if chosen else "",
        own=bool(chosen and chosen.own),
        note=problem or note,
        problem=bool(problem),
    )


def profile_picker(service: Service, options: TurnOptions, begun: bool) -> ProfilePicker:
    """The profiles on file as choices, with a sentence on what choosing does, or why none can be chosen."""
    chosen = options.setup.profile if options.setup else ""
    try:
        rows = service.profiles()
        note = NOTE if rows else NOTE + NONE_YET
    except SettingsError as error:
        rows, note = (), failures.told(error)
    choices = tuple(ProfileChoice(name=row.name, problem=row.problem) for row in rows)
    if chosen and chosen not in {choice.name for choice in choices}:
        choices = (*choices, ProfileChoice(name=chosen))
    return ProfilePicker(chosen=chosen, choices=choices, note=note, fixed=begun)
