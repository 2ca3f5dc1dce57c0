"""Compare: one prompt to two models side by side. A generator draws both answers as they grow; what is kept of them becomes a chat.

The answers do not depend on the generator that draws them: a page that was loaded anew takes them up where they are.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import NamedTuple

import gradio as gr

from mlx_harmony.comparing import SIDES, Side
from mlx_harmony.errors import HarmonyError, InvalidRequest
from mlx_harmony.service import Service
from mlx_harmony_ui import failures, listing
from mlx_harmony_ui.comparing.held import Held, Shelf
from mlx_harmony_ui.comparing.settings import beginning, setup_view, side_options
from mlx_harmony_ui.comparing.sides import Asked, Pair, SideView, asked_text, kept_view, side_view
from mlx_harmony_ui.components.surface import Commands, Handler, record_of, surface, text_of, wire
from mlx_harmony_ui.live import LiveTurn
from mlx_harmony_ui.render import render
from mlx_harmony_ui.tabs.chats import listed
from mlx_harmony_ui.tabs.chosen import chosen_model
from mlx_harmony_ui.tabs.talk import Pen

RUNS = "A comparison is running here. Stop it or wait until it is done."

Frame = tuple[object, object, object, object]
"""What one step draws: the prompt, both sides, bridge."""


class Surfaces(NamedTuple):
    """The parts that the server draws on."""

    setup: gr.HTML
    asked: gr.HTML
    left: gr.HTML
    right: gr.HTML


class Compare:
    """Handlers of the part. A browser tab compares one prompt at a time; what nobody looks at any more is ended after a while."""

    def __init__(self, service: Service, shelf: Shelf | None = None) -> None:
        self._service = service
        self._shelf = shelf or Shelf()

    async def look(self, event: gr.EventData) -> object:
        """The settings of both sides, as the page has them; nothing is drawn where the models are as they were."""
        chosen, choices = await asyncio.to_thread(self._choices)
        sides = beginning(choices, self._service.default_options(), chosen)
        for side in SIDES:
            try:
                sides[side] = side_options(record_of(event, side), sides[side])
            except HarmonyError:
                continue
        view = setup_view(choices, sides)
        return gr.skip() if view.mark == text_of(event, "mark", 64) else render("compare_setup", view=view)

    async def compare(self, event: gr.EventData, request: gr.Request) -> AsyncGenerator[Frame, None]:
        """Ask both, and draw what comes; what cannot be asked is said and nothing is drawn."""
        session, commands = str(request.session_hash), Commands()
        try:
            text, left, right = await self._asked(event)
            if self._shelf.seen_by(session):
                raise InvalidRequest(RUNS)
        except HarmonyError as error:
            yield gr.skip(), gr.skip(), gr.skip(), str(commands.add("compare_refused", text=f"{error.message} {error.hint}".strip()))
            return
        held = self._shelf.begin(self._service.comparing.begin(text, left.options, right.options), text, left, right)
        async with aclosing(self._drawn(held, session)) as frames:
            async for frame in frames:
                yield frame

    async def back(self, event: gr.EventData, request: gr.Request) -> AsyncGenerator[Frame, None]:
        """The comparison that a page looked at before it was loaded anew, as it stands and goes on."""
        held = self._shelf.of(text_of(event, "id", 64))
        if held is None:
            yield await self._from_chats(event)
            return
        async with aclosing(self._drawn(held, str(request.session_hash))) as frames:
            async for frame in frames:
                yield frame

    async def _from_chats(self, event: gr.EventData) -> Frame:
        """A comparison that this program no longer holds, as after a restart: what its chats have kept of both answers."""
        views: dict[Side, SideView] = {}
        text = ""
        for side in SIDES:
            with suppress(HarmonyError):
                chat = await self._service.comparing.find(text_of(event, side, 64))
                text = text or asked_text(chat)
                if view := kept_view(chat, side):
                    views[side] = view
        if not views:
            return gr.skip(), gr.skip(), gr.skip(), str(Commands().add("compare_gone"))
        left, right = (render("compare_side", view=views[side]) if side in views else "" for side in SIDES)
        return render("compare_asked", text=text), left, right, gr.skip()

    async def _drawn(self, held: Held, session: str) -> AsyncGenerator[Frame, None]:
        drawing = _Drawing()
        with self._shelf.looking(session, held):
            begun = str(Commands().add("compare_begun", id=held.id))
            yield render("compare_asked", text=held.text), *drawing.frame(held.running.shown), begun
            async with aclosing(held.running.frames()) as pairs:
                async for pair in pairs:
                    yield gr.skip(), *drawing.frame(pair), gr.skip()

    async def stop(self, event: gr.EventData, request: gr.Request) -> None:
        """End one side, or both where none is named."""
        if held := self._shelf.seen_by(str(request.session_hash)):
            named = text_of(event, "side", 10)
            await held.comparison.stop(next((side for side in SIDES if side == named), None))

    async def keep(self, event: gr.EventData) -> tuple[object, str]:
        """An answer into the list of chats, where it is opened."""
        chat_id, commands = text_of(event, "chat", 64), Commands()
        try:
            await self._service.comparing.keep(chat_id)
        except HarmonyError as error:
            return gr.skip(), str(commands.add("models_say", text=failures.told(error), tone="bad"))
        commands.add("compare_kept", id=chat_id).add("go", id=chat_id)
        return await listed(self._service, event, commands), str(commands)

    def _choices(self) -> tuple[str, tuple[listing.ModelChoice, ...]]:
        """The default model, and all that may be chosen from."""
        chosen = chosen_model(self._service, None)
        return chosen, listing.pill(self._service.models(), (), chosen).choices

    async def _asked(self, event: gr.EventData) -> tuple[str, Asked, Asked]:
        text, usual = text_of(event, "text"), self._service.default_options()
        if not text.strip():
            raise InvalidRequest("Type a prompt first.", param="text")
        _, choices = await asyncio.to_thread(self._choices)
        names = {each.id: each.name for each in choices}
        sides = (side_options(record_of(event, side), usual) for side in SIDES)
        left, right = (Asked(name=names.get(each.model or "", each.model or ""), options=each) for each in sides)
        return text, left, right


class _Drawing:
    """Both columns, each drawn anew only when something came for it."""

    def __init__(self) -> None:
        self._pens: dict[Side, Pen] = {side: Pen() for side in SIDES}
        self._drawn: dict[Side, LiveTurn | None] = dict.fromkeys(SIDES)

    def frame(self, pair: Pair) -> tuple[object, object]:
        left, right = (self._column(pair, side) for side in SIDES)
        return left, right

    def _column(self, pair: Pair, side: Side) -> object:
        turn = pair.of(side)
        if turn is self._drawn[side]:
            return gr.skip()
        self._drawn[side] = turn
        return render("compare_side", view=side_view(pair, side, self._pens[side].view(turn).answer))


def layout() -> Surfaces:
    """The settings of both sides, what was asked, both answers, and the box for the prompt."""
    with gr.Column(elem_id="compare-view"):
        with gr.Column(elem_id="compare-scroll"):
            setup = surface("compare-setup", "compare-setup", render("models_wait"))
            asked = surface("compare-asked", "compare-asked", render("compare_asked", text=""))
            left = surface("compare-left", "compare-left")
            right = surface("compare-right", "compare-right")
        surface("compare-composer", "compare-composer", render("compare_composer"))
    return Surfaces(setup, asked, left, right)


def connect(bridge: gr.HTML, at: Surfaces, chats: gr.HTML, service: Service) -> Compare:
    """Bind the events of the part."""
    handlers = Compare(service)
    wire(bridge, "compare_look", Handler(handlers.look, (at.setup,)))
    wire(bridge, "compare", Handler(handlers.compare, (at.asked, at.left, at.right, bridge)))
    wire(bridge, "compare_back", Handler(handlers.back, (at.asked, at.left, at.right, bridge)))
    wire(bridge, "compare_stop", Handler(handlers.stop, (), queue=False))
    wire(bridge, "compare_keep", Handler(handlers.keep, (chats, bridge)))
    return handlers
