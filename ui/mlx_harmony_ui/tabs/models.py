"""The Models tab, what is on this machine, and the model pill: looked at, loaded, unloaded, pinned. A load that runs can be cancelled.

What is deleted, and comes back, is the business of `tabs.cleaning`.
"""

import asyncio
import shutil
import time
from collections.abc import AsyncGenerator

import gradio as gr

from mlx_harmony.errors import HarmonyError, InvalidRequest, OutOfMemory, SettingsError, Unavailable
from mlx_harmony.models.filtering import matching
from mlx_harmony.models.holdings import Holding
from mlx_harmony.models.info import ModelInfo
from mlx_harmony.models.outlook import Needs
from mlx_harmony.models.removal import Selected
from mlx_harmony.prompting.adding import add_profile
from mlx_harmony.records import ModelEntry
from mlx_harmony.service import Service
from mlx_harmony_ui import present
from mlx_harmony_ui.components.surface import Commands, Handler, record_of, surface, text_of, wire
from mlx_harmony_ui.models import drawer, rows, view
from mlx_harmony_ui.models.aliases import Aliased
from mlx_harmony_ui.models.cleaning import Bar
from mlx_harmony_ui.models.wanted import Wanted, wanted_of
from mlx_harmony_ui.render import render
from mlx_harmony_ui.tabs.chosen import chosen_model, pill_html, starter_html
from mlx_harmony_ui.tabs.cleaning import bar_for, told

FRAME_S = 0.25
FRESH_S = 10.0
"""The disk is read again after so long, or when something was changed from here."""
NEVER = (-FRESH_S, (), 0)
Summed = tuple[float, tuple[Selected, ...], Bar | None]
"""When the disk was read, a selection, and what it came to."""


class Models:
    """Handlers over the models of this machine. They hold no state of a tab: the page says what it wants to see."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._loading: dict[str, asyncio.Task[HarmonyError | None]] = {}
        self._refused: set[str] = set()
        self._held: tuple[float, tuple[Holding, ...], int] = NEVER
        self._summed: Summed = (-FRESH_S, (), None)

    def pulse(self, event: gr.EventData) -> tuple[str, str]:
        """Pill and the Starter's line as they stand now; the page asks while it is looked at."""
        model = text_of(event, "model", 4096)
        return pill_html(self._service, model), starter_html(self._service, model)

    async def look(self, event: gr.EventData) -> tuple[object, str]:
        """What is on this machine, for a page that shows it: nothing is drawn where nothing has changed since."""
        commands = Commands().add("models_looked")
        try:
            html = await self.drawn(wanted_of(record_of(event, "wanted")), text_of(event, "mark", 64))
        except HarmonyError as error:
            return gr.skip(), str(commands.add("models_say", text=told(error), tone="bad"))
        return html or gr.skip(), str(commands)

    async def load(self, event: gr.EventData) -> AsyncGenerator[tuple[object, object], None]:
        """Load, drawing the percent on the pill; a failure is said."""
        model, force = text_of(event, "model", 4096), text_of(event, "force", 8) == "yes"
        if model not in self._loading:
            self._loading[model] = asyncio.create_task(self._load(model, force))
        task = self._loading[model]
        while not task.done():
            yield pill_html(self._service, model), gr.skip()
            await asyncio.wait([task], timeout=FRAME_S)
        self._loading.pop(model, None)
        failed = None if task.cancelled() else task.result()
        yield pill_html(self._service, model), str(_changed(told(failed) if failed else "", "bad"))

    async def unload(self, event: gr.EventData) -> tuple[str, str]:
        """Unload, or stop loading."""
        model = text_of(event, "model", 4096)
        if task := self._loading.get(model):
            task.cancel()
            await asyncio.wait([task])
        commands = _changed()
        try:
            await self._service.unload(model)
        except HarmonyError as error:
            commands = _changed(told(error), "bad")
        return pill_html(self._service, model), str(commands)

    async def act(self, event: gr.EventData) -> tuple[str, str, str]:
        """Pin, unpin, make the default, or name in a new profile."""
        model, name = text_of(event, "model", 4096), text_of(event, "name", 1000)
        try:
            said = await self._act(text_of(event, "action", 20), model, name)
            commands = _changed(said)
        except HarmonyError as error:
            commands = _changed(told(error), "bad")
        chosen = text_of(event, "chosen", 4096)
        return pill_html(self._service, chosen), starter_html(self._service, chosen), str(commands)

    async def _act(self, action: str, model: str, name: str) -> str:
        match action:
            case "pin" | "unpin":
                await self._service.pin(model, action == "pin")
                return "Pinned: it stays loaded until you unload it." if action == "pin" else "No longer pinned."
            case "default":
                await self._service.change_settings(model=model)
                return "It is the default model now: new chats begin with it."
            case "profile":
                entry = await asyncio.to_thread(self._service.find_model, model)
                made = await asyncio.to_thread(add_profile, self._service.settings, name, entry.id)
                return f"The profile “{made}” is in profiles.json: choose it in the Tuning of a new chat."
        raise InvalidRequest("That cannot be done with a model.", param="action")

    async def drawn(self, wanted: Wanted, shown: str = "") -> str:
        """The part's HTML; "" where `shown` is the mark of just that. Made in a thread: a long list keeps no answer waiting."""
        looked = await self._looked(wanted)

        def draw() -> str:
            found = view.disk_view(looked, time.time())
            return "" if found.mark == shown else render("models", view=found, formats=view.FORMAT_CHOICES, sizes=view.SIZE_CHOICES)

        return await asyncio.to_thread(draw)

    def forget(self) -> None:
        """Read the disk again at the next look: something was changed."""
        self._held = NEVER

    async def _looked(self, wanted: Wanted) -> view.Looked:
        every, (_, holdings, trash_bytes) = await self._service.infos(), await self._disk()
        aliases, notices = await asyncio.to_thread(self._aliases)
        aliased = bool(aliases or notices)
        try:
            infos, beside, aliases = matching(every, wanted.filter), _beside(holdings, every, wanted), _meant(aliases, wanted)
        except InvalidRequest as error:
            infos, beside = every, ()
            notices = (present.Notice(tone="warn", headline="That cannot be looked for", text=f"{error.message} {error.hint}"),)
        standing = await asyncio.to_thread(self._standing, infos)
        return view.Looked(
            wanted=wanted,
            infos=infos,
            every=every,
            holdings=holdings,
            beside=beside,
            standing=standing,
            opened=await self._opened(every, holdings, wanted.opened),
            bar=await self._bar(holdings, wanted.picked),
            aliases=aliases,
            aliased=aliased,
            trash_bytes=trash_bytes,
            free_bytes=await asyncio.to_thread(_free_bytes, self._service.settings.home),
            notices=notices,
        )

    async def _disk(self) -> tuple[float, tuple[Holding, ...], int]:
        """What lies on the disk and the bytes in the trash, and when that was read."""
        if time.monotonic() - self._held[0] >= FRESH_S:
            cleaning = self._service.cleaning
            found = await cleaning.holdings(), await cleaning.trash_bytes()
            self._held = (time.monotonic(), *found)
        return self._held

    async def _bar(self, holdings: tuple[Holding, ...], picked: tuple[Selected, ...]) -> Bar | None:
        """What the selection comes to; told anew for another selection, and when the disk was read again."""
        if self._summed[:2] != (self._held[0], picked):
            self._summed = (self._held[0], picked, await bar_for(self._service, holdings, picked))
        return self._summed[2]

    def _aliases(self) -> tuple[tuple[Aliased, ...], tuple[present.Notice, ...]]:
        """Every alias with the last way it went; where their file cannot be read, none and a word on that."""
        routing = self._service.routing
        try:
            rows = routing.rows()
        except SettingsError as error:
            return (), (present.Notice(tone="warn", headline="The aliases cannot be read", text=told(error)),)
        last = {route.alias: route for route in routing.recent}
        found = (last.get(row.entry.id) for row in rows)
        return tuple(Aliased(row, way.at, way.note) if way else Aliased(row) for row, way in zip(rows, found, strict=True)), ()

    def _standing(self, infos: tuple[ModelInfo, ...]) -> rows.Standing:
        return rows.Standing(
            states={state.id: state for state in self._service.model_states()},
            needs=rows.needs_by_id(infos, self._service.needs_of),
            chosen=chosen_model(self._service, None),
            pinned=self._service.settings.pinned_models,
            refused=tuple(sorted(self._refused)),
        )

    async def _opened(self, every: tuple[ModelInfo, ...], holdings: tuple[Holding, ...], model: str) -> drawer.Opened | None:
        info = next((each for each in every if each.entry.id == model), None)
        if info is None:
            return None
        holding = next((each for each in holdings if each.id == model), None)
        needs = await asyncio.to_thread(self._needs_at, info.entry)
        return drawer.Opened(info, holding, needs, await self._room(info.entry) if needs else "")

    def _needs_at(self, entry: ModelEntry) -> tuple[tuple[int, Needs], ...]:
        """What the model would need at each length of context."""
        first = None if entry.problem else self._service.needs_of(entry)
        if first is None:
            return ()
        found = ((length, self._service.needs_of(entry, first.free, length)) for length in drawer.contexts(entry.context_length))
        return tuple((length, needs) for length, needs in found if needs is not None)

    async def _room(self, entry: ModelEntry) -> str:
        """What loading it would do to others, or why it would be refused."""
        try:
            plan = await self._service.room_for(entry)
        except HarmonyError as error:
            return error.message
        return drawer.going_text(plan.going, plan.waits_for)

    async def _load(self, model: str, force: bool) -> HarmonyError | None:
        try:
            await self._service.load(model, force=force)
        except HarmonyError as error:
            if isinstance(error, OutOfMemory | Unavailable):
                self._refused.add(model)
            return error
        self._refused.discard(model)
        return None


def _beside(holdings: tuple[Holding, ...], every: tuple[ModelInfo, ...], wanted: Wanted) -> tuple[Holding, ...]:
    """What of the rest of the disk the filter lets through: none of it is of any format."""
    models = {info.entry.id for info in every}
    rest = {each.id: each for each in holdings if each.id not in models}
    if wanted.filter.format:
        return ()
    return tuple(rest[info.entry.id] for info in matching(map(rows.as_info, rest.values()), wanted.filter))


def _meant(aliases: tuple[Aliased, ...], wanted: Wanted) -> tuple[Aliased, ...]:
    """The aliases that the filter lets through, in its order."""
    by_id = {each.row.entry.id: each for each in aliases}
    return tuple(by_id[info.entry.id] for info in matching((ModelInfo(entry=each.row.entry) for each in aliases), wanted.filter))


def _free_bytes(home: str) -> int | None:
    try:
        return shutil.disk_usage(home).free
    except OSError:
        return None


def _changed(text: str = "", tone: str = "") -> Commands:
    """The models stand otherwise now; and what is to be said of it."""
    commands = Commands().add("models_changed")
    return commands.add("models_say", text=text, tone=tone) if text else commands


def layout() -> gr.HTML:
    """The head with its parts, and what is on this machine."""
    surface("models-head", "models-head", render("models_head"))
    return surface("models", "disk-view", render("models_wait"))


def connect(bridge: gr.HTML, models: gr.HTML, pill: gr.HTML, starter: gr.HTML, service: Service) -> Models:
    """Bind the events of the tab and the pulse."""
    handlers = Models(service)
    wire(bridge, "pulse", Handler(handlers.pulse, (pill, starter), queue=False))
    wire(bridge, "models", Handler(handlers.look, (models, bridge), queue=False))
    wire(bridge, "models_act", Handler(handlers.act, (pill, starter, bridge)))
    wire(bridge, "load_model", Handler(handlers.load, (pill, bridge)))
    wire(bridge, "unload_model", Handler(handlers.unload, (pill, bridge)))
    return handlers
