"""The Settings tab: every setting that acts, in sections. What a setting may be is the service's to say."""

import asyncio

import gradio as gr

from mlx_harmony.errors import HarmonyError
from mlx_harmony.records import Record
from mlx_harmony.service import Service
from mlx_harmony.settings import SETTING_FIELDS, SettingField, Settings
from mlx_harmony_ui import failures, present
from mlx_harmony_ui.components.surface import Commands, Handler, surface, text_of, wire
from mlx_harmony_ui.render import render

SECTIONS = (
    ("look", "Appearance", ("theme",)),
    ("models", "Models", ("model", "models_dirs", "max_models", "memory_budget_mb", "idle_minutes", "pinned_models")),
    ("chats", "New chats", ("effort", "instructions", "kv_bits", "max_kv_size")),
    ("cache", "Prompt cache", ("cache_memory_mb", "cache_disk_mb", "cache_entries")),
    ("server", "Server", ("host", "port", "max_waiting")),
)

NUMBERS = {"max_models", "memory_budget_mb", "idle_minutes", "max_kv_size", "cache_memory_mb", "cache_disk_mb", "cache_entries"}
NUMBERS |= {"port", "max_waiting"}


class SettingRow(Record):
    """One setting as shown. `kind` names its control; `note` says where the value comes from and when a change acts."""

    name: str
    label: str
    help: str
    kind: str
    value: str
    note: str
    choices: tuple[tuple[str, str], ...] = ()
    fixed: bool = False


class SettingSection(Record):
    id: str
    name: str
    rows: tuple[SettingRow, ...]


def sections(service: Service) -> tuple[SettingSection, ...]:
    """Every field of SETTING_FIELDS in its section."""
    fields = {field.name: field for field in SETTING_FIELDS}
    return tuple(
        SettingSection(id=key, name=name, rows=tuple(_row(fields[field], service) for field in names)) for key, name, names in SECTIONS
    )


def _row(field: SettingField, service: Service) -> SettingRow:
    settings = service.settings
    value = getattr(settings, field.name)
    kind, choices = _control(field, service)
    return SettingRow(
        name=field.name,
        label=field.label,
        help=field.help,
        kind=kind,
        value="\n".join(value) if isinstance(value, tuple) else str(value),
        note=_note(field, settings),
        choices=choices,
        fixed=settings.source(field.name) in ("flag", "env"),
    )


def _control(field: SettingField, service: Service) -> tuple[str, tuple[tuple[str, str], ...]]:
    match field.name:
        case "theme":
            return "theme", ()
        case "model":
            ids = [entry.id for entry in (*service.models(), *service.routing.entries()) if not entry.problem]
            chosen = service.settings.model
            return "choice", tuple((name, name) for name in dict.fromkeys([*ids, chosen]))
        case "instructions" | "models_dirs" | "pinned_models":
            return "lines", ()
        case name if name in NUMBERS:
            return "number", ()
        case _ if field.choices:
            return "choice", tuple((choice, choice.capitalize()) for choice in field.choices)
        case _:
            return "text", ()


def _note(field: SettingField, settings: Settings) -> str:
    match settings.source(field.name):
        case "flag":
            return "Set on the command line for this run"
        case "env":
            return f"Set by {field.variable}"
        case _:
            return "Acts at the next start" if field.takes_effect == "next start" else ""


class SettingsTab:
    """Handlers of the tab."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._turn = asyncio.Lock()

    def draw(self, notice: present.Notice | None = None) -> str:
        told = self._service.notices()
        if notice is None and told:
            notice = present.Notice(tone="warn", headline="At the start", text=" ".join(told))
        return render("settings", sections=sections(self._service), home=self._service.settings.home, notice=notice)

    async def show(self) -> str:
        """The tab as it stands; never in the middle of a change, which would be drawn over."""
        async with self._turn:
            return self.draw()

    async def change(self, event: gr.EventData) -> tuple[str, str]:
        """Take one value from the page; what cannot be used is said and changes nothing."""
        async with self._turn:
            return await self._change(text_of(event, "name", 100), text_of(event, "value"))

    async def _change(self, name: str, value: str) -> tuple[str, str]:
        try:
            await self._service.change_settings(**{name: _value(name, value)})
        except HarmonyError as error:
            notice = present.Notice(tone="bad", headline=failures.headline(error.code), text=f"{error.message} {error.hint}".strip())
            return self.draw(notice), str(Commands().add("say", text=error.message))
        return self.draw(), str(Commands())


def _value(name: str, text: str) -> object:
    """The page's text in the shape the service takes."""
    if name in ("models_dirs", "pinned_models"):
        return [line.strip() for line in text.splitlines() if line.strip()]
    return text


def layout() -> gr.HTML:
    return surface("settings", "settings-view")


def connect(bridge: gr.HTML, settings: gr.HTML, service: Service) -> SettingsTab:
    """Bind the events of the tab."""
    handlers = SettingsTab(service)
    wire(bridge, "setting", Handler(handlers.change, (settings, bridge)))
    return handlers
