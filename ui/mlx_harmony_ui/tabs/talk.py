"""Sending and answering again: a generator per answer that draws the growing turn and hands it over to the history when it ends."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import NamedTuple

import gradio as gr
import msgspec

from mlx_harmony.conversation.records import Chat, ChatMessage, TurnEvent
from mlx_harmony.errors import ChatChanged, ChatNotFound, HarmonyError, InvalidRequest
from mlx_harmony.service import Service
from mlx_harmony_ui import failures, present
from mlx_harmony_ui.components.surface import Commands, ids_of, number_of, record_of, text_of
from mlx_harmony_ui.growing import Growing
from mlx_harmony_ui.live import LiveTurn
from mlx_harmony_ui.render import render
from mlx_harmony_ui.running import Desk, RunningTurn, unkept
from mlx_harmony_ui.tabs.chats import details_html, history_html
from mlx_harmony_ui.tabs.options import Options
from mlx_harmony_ui.voices import of_message

Frame = tuple[object, object, object, object]
"""What one step draws: live, history, details, bridge."""


class Begun(NamedTuple):
    """An answer that can begin: what is drawn of it at first, and the events it comes by."""

    turn: LiveTurn
    events: AsyncGenerator[TurnEvent, None]


Begin = Callable[[gr.EventData, Commands], Awaitable[Begun]]
"""Reads an event of the page, without driving the model. Raises HarmonyError for what cannot be begun."""
Answering = Callable[[gr.EventData, gr.Request], AsyncGenerator[Frame, None]]


class Talk:
    """Handlers that drive the model. Leaving a generator, by Stop or by closing the tab, cancels its answer."""

    def __init__(self, service: Service, desk: Desk) -> None:
        self._service = service
        self._options = Options(service)
        self._desk = desk
        self.send = self._answering(self._send)
        self.regenerate = self._answering(self._regenerate)
        self.edit = self._answering(self._edit)
        self.go_on = self._answering(self._go_on)

    async def replay(self, event: gr.EventData, request: gr.Request) -> AsyncGenerator[Frame, None]:
        """An answer made again with what made it; where the model's weights have changed since, the page asks first."""
        commands = Commands()
        if not number_of(event, "anyway"):
            chat_id, message_id = text_of(event, "chat"), text_of(event, "message")
            yield only(commands.add("say", text="Looking whether the model is still the same…"))
            try:
                changed = await self._service.weights_changed(chat_id, message_id)
            except HarmonyError as error:
                yield only(commands.fail(failures.told(error)))
                return
            commands.add("say", text="")
            if changed:
                yield only(commands.add("ask_replay", message=message_id))
                return
        async with aclosing(self._answer(self._replay, event, request, commands)) as frames:
            async for frame in frames:
                yield frame

    async def stop(self, request: gr.Request) -> None:
        await self._desk.stop(request.session_hash)

    def _answering(self, begin: Begin) -> Answering:
        """The handler of an event by which an answer begins."""

        async def answer(event: gr.EventData, request: gr.Request) -> AsyncGenerator[Frame, None]:
            async with aclosing(self._answer(begin, event, request, Commands())) as frames:
                async for frame in frames:
                    yield frame

        return answer

    async def _send(self, event: gr.EventData, commands: Commands) -> Begun:
        """A message of the person, in the chat the tab shows or in a new one."""
        text, chat_id, attached = text_of(event, "text"), text_of(event, "chat"), ids_of(event, "attached")
        options = await self._options.of(event)
        waiting = await self._service.waiting(attached)
        if not text.strip() and not waiting:
            raise InvalidRequest("Type a message first.", param="text")
        last, greeted = record_of(event, "seen").get("last"), False
        if not chat_id:
            chat = await self._service.create_chat(options)
            # What a new chat begins with, a greeting, was not kept when the page last looked.
            chat_id, last, greeted = chat.summary.id, None, bool(chat.messages)
            commands.add("chat", id=chat_id)
        events = self._service.send(chat_id, text, options, attached, after=last if isinstance(last, str) else None)
        return Begun(LiveTurn(chat_id=chat_id, user_text=text, attachments=waiting, greeted=greeted), events)

    async def _regenerate(self, event: gr.EventData, commands: Commands) -> Begun:
        """A new version of an answer; the old one makes room while it is written."""
        options = await self._options.of(event)
        turn, _ = await self._again(event)
        return Begun(turn, self._service.regenerate(turn.chat_id, text_of(event, "message"), options))

    async def _replay(self, event: gr.EventData, commands: Commands) -> Begun:
        """A version of an answer by what made it; the chat's options play no part."""
        turn, _ = await self._again(event)
        return Begun(turn, self._service.replay(turn.chat_id, text_of(event, "message")))

    async def _edit(self, event: gr.EventData, commands: Commands) -> Begun:
        """Another version of a message of the person's, and its answer; the earlier version stays beside it."""
        chat_id, message_id, text = text_of(event, "chat"), text_of(event, "message"), text_of(event, "text")
        options = await self._options.of(event)
        before = find_any(await self._service.read_chat(chat_id), message_id)
        turn = LiveTurn(chat_id=chat_id, user_text=text, attachments=before.attachments, again=True, edited=True)
        return Begun(turn, self._service.edit(chat_id, message_id, text, options))

    async def _go_on(self, event: gr.EventData, commands: Commands) -> Begun:
        """More of an answer that was cut or stopped; what it said already stands above what comes."""
        options = await self._options.of(event)
        turn, answer = await self._again(event)
        voices = of_message(answer) if answer.role == "assistant" else ()
        events = self._service.continue_answer(turn.chat_id, text_of(event, "message"), options)
        return Begun(msgspec.structs.replace(turn, base=len(voices), voices=voices), events)

    async def _again(self, event: gr.EventData) -> tuple[LiveTurn, ChatMessage]:
        """The turn of an answer that stands in the chat already, as it is asked for anew, and that answer."""
        chat = await self._service.read_chat(text_of(event, "chat"))
        answer = find_any(chat, text_of(event, "message"))
        asked = find_any(chat, answer.parent_id or "")
        return LiveTurn(chat_id=chat.summary.id, user_text=asked.content, attachments=asked.attachments, again=True), answer

    async def _answer(self, begin: Begin, event: gr.EventData, request: gr.Request, commands: Commands) -> AsyncGenerator[Frame, None]:
        """One answer from its beginning, or why it cannot begin, to the place it is kept in."""
        session = request.session_hash
        try:
            turn, events = await begin(event, commands)
        except HarmonyError as error:
            yield refused(commands, text_of(event, "text"), failures.told(error))
            return
        if self._desk.of(session):
            await events.aclose()
            yield refused(commands, given_back(turn), "An answer is being written here. Stop it or wait until it is done.")
            return
        running = self._desk.start(session, turn, events)
        pen = Pen()
        begun = False
        try:
            yield pen.draw(running.turn), gr.skip(), gr.skip(), str(commands)
            async with aclosing(running.frames()) as turns:
                async for now in turns:
                    first = now.started and not begun
                    begun = begun or first
                    yield await self._step(now, first, pen, commands)
        finally:
            await self._desk.leave(session, running)
        yield await self._end(running, commands)

    async def _step(self, turn: LiveTurn, first: bool, pen: "Pen", commands: Commands) -> Frame:
        """One frame; the first after both ends of the turn are on disk also takes what the live turn shows out of the history."""
        live = pen.draw(turn)
        if not first:
            return live, gr.skip(), gr.skip(), gr.skip()
        commands.add("accepted").add("list")
        history: object = gr.skip()
        if turn.again or turn.greeted:
            # Where the chat was deleted just now, the end of the turn says so.
            with suppress(HarmonyError):
                history = await history_html(await self._service.read_chat(turn.chat_id), without=turn.answer_id)
        return live, history, gr.skip(), str(commands)

    async def _end(self, running: RunningTurn, commands: Commands) -> Frame:
        """The kept answer takes the live one's place; what was never kept goes back into the box."""
        turn = running.turn
        if not turn.started:
            failed = unkept(turn)
            frame = refused(commands, given_back(turn), failures.said(failed) if failed else "Stopped before it was sent.")
            return await self._as_it_is_now(turn.chat_id, frame) if failed and failed.code == ChatChanged.code else frame
        try:
            chat = await self._service.read_chat(turn.chat_id)
        except ChatNotFound:
            said = "This chat was deleted while its answer was being written. The answer is kept with it, in the trash."
            commands.add("gone", id=turn.chat_id).add("say", text=said).add("list")
            return render("live", view=None), gr.skip(), gr.skip(), str(commands)
        except HarmonyError as error:
            return render("live", view=None), gr.skip(), gr.skip(), str(commands.fail(failures.told(error)))
        if turn.failed and turn.failed.code == "storage":
            commands.fail(failures.said(turn.failed))
        return render("live", view=None), await history_html(chat), details_html(chat, ""), str(commands.add("list"))

    async def _as_it_is_now(self, chat_id: str, frame: Frame) -> Frame:
        """The frame with the chat drawn anew, as another window has left it."""
        try:
            chat = await self._service.read_chat(chat_id)
        except HarmonyError:
            return frame
        return frame[0], await history_html(chat), gr.skip(), frame[-1]


def find_any(chat: Chat, message_id: str) -> ChatMessage:
    """The shown message of that id; an empty one where there is none."""
    nothing = ChatMessage(id="", chat_id=chat.summary.id, role="user", content="", created_at=0.0)
    return next((message for message in chat.messages if message.id == message_id), nothing)


def given_back(turn: LiveTurn) -> str:
    """What was typed for this turn; an answer made again was not typed."""
    return "" if turn.again and not turn.edited else turn.user_text


class Pen:
    """Draws one live turn again and again; text that can no longer change is not rendered twice."""

    def __init__(self) -> None:
        self._texts: dict[int, Growing] = {}

    def draw(self, turn: LiveTurn) -> str:
        return render("live", view=self.view(turn))

    def view(self, turn: LiveTurn) -> present.TurnView:
        """The turn as shown."""
        drawn = {
            voice.index: self._texts.setdefault(voice.index, Growing()).render(voice.text) for voice in turn.voices if voice.part != "call"
        }
        return present.growing(turn, drawn)


def only(commands: Commands) -> Frame:
    """Commands to the page, and nothing drawn."""
    return gr.skip(), gr.skip(), gr.skip(), str(commands)


def refused(commands: Commands, text: str, why: str) -> Frame:
    """Nothing was kept: the live turn goes, the text goes back into the box with the reason beside it."""
    return render("live", view=None), gr.skip(), gr.skip(), str(commands.add("refused", text=text, say=why))
