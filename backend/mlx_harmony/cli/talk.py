"""One chat in the terminal: takes what was typed, a command or a message, and shows what comes of it. It reads no keyboard."""

from collections.abc import Mapping
from contextlib import aclosing, suppress
from typing import Any

from mlx_harmony.cli.answer import Answer
from mlx_harmony.cli.errors import DONE, WRONG_USAGE
from mlx_harmony.cli.models_table import model_lines
from mlx_harmony.cli.reread import LITTLE, reread
from mlx_harmony.cli.terminal import Terminal
from mlx_harmony.conversation.attachments import names as attached
from mlx_harmony.conversation.beginning import overlaid
from mlx_harmony.conversation.commands import (
    HELP,
    Command,
    Help,
    ListModels,
    SetValue,
    ShowSettings,
    Unknown,
    change,
    describe,
    parse_command,
)
from mlx_harmony.conversation.history import last_id
from mlx_harmony.conversation.records import Chat, TurnStarted
from mlx_harmony.errors import ChatChanged, EngineCrashed
from mlx_harmony.events import Failed, Finished
from mlx_harmony.service import Service


class Talk:
    """A chat's id, once there is one, and what the next answer is made with. A chat is begun by its first message."""

    def __init__(self, service: Service, terminal: Terminal, choices: Mapping[str, Any]) -> None:
        """`choices` are what flags say, by name; they win over what a new chat begins with and over what a kept one recorded."""
        self._service = service
        self._terminal = terminal
        self._choices = choices
        self._options = overlaid(service.default_options(), choices)
        self._chat_id = ""
        self._last_seen = ""

    async def begin(self) -> None:
        """Shows the greeting of a new chat, if it has one; such a chat is kept from here on."""
        if self._options.setup is not None and self._options.setup.greeting.strip():
            self._show(await self._service.create_chat(self._options))

    async def resume(self, chat_id: str) -> None:
        """Goes on with a kept chat as it was left, showing its messages. Raises ChatNotFound."""
        chat = await self._service.read_chat(chat_id)
        self._options = overlaid(chat.options, self._choices)
        if self._service.settings.profile or self._service.settings.prompt_config:
            self._terminal.warn("This chat goes on as it was set up; a profile or prompt config is for new chats.")
        self._show(chat)

    def _show(self, chat: Chat) -> None:
        """Shows what was not shown yet: all that follows the last message seen, or the whole chat where that is no part of it."""
        self._chat_id = chat.summary.id
        names = chat.options.setup.placeholders if chat.options.setup else {}
        ids = [message.id for message in chat.messages]
        begin = ids.index(self._last_seen) + 1 if self._last_seen in ids else 0
        for message in chat.messages[begin:]:
            self._terminal.speech(names.get(message.role, message.role), message.content)
            if message.attachments:
                self._terminal.line(f"  (with {attached(message.attachments)})")
        self._last_seen = last_id(chat)

    async def take(self, text: str) -> int:
        """Obeys a command or answers a message; returns its exit code. Raises InvalidRequest for a command that cannot be obeyed."""
        command = parse_command(text)
        return await self._say(text) if command is None else await self._obey(command)

    async def _say(self, text: str) -> int:
        if not self._chat_id:
            self._chat_id = (await self._service.create_chat(self._options)).summary.id
        answer = Answer(self._terminal, self._options.setup)
        try:
            async with aclosing(self._service.send(self._chat_id, text, self._options, after=self._last_seen)) as events:
                async for event in events:
                    answer.show(event)
                    if isinstance(event, TurnStarted):
                        self._last_seen = event.assistant_message_id
                    elif isinstance(event, Failed) and event.code == ChatChanged.code:
                        self._show(await self._service.read_chat(self._chat_id))
                    elif isinstance(event, Finished) and event.reuse is not None and event.reuse.prompt - event.reuse.reused >= LITTLE:
                        with suppress(EngineCrashed):
                            await self._tell_what_was_read()
        finally:
            answer.leave()
        return answer.code

    async def _tell_what_was_read(self) -> None:
        """Where much of the chat had to be read again: why."""
        chat = await self._service.read_chat(self._chat_id)
        made = chat.messages[-1].provenance if chat.messages else None
        requests = (await self._service.caches.look(made.model)).recent if made else ()
        mine = next((request for request in requests if request.chat == self._chat_id), None)
        if mine is not None and (why := reread(mine)):
            self._terminal.aside(why, end="\n")

    async def _obey(self, command: Command) -> int:
        match command:
            case Help():
                self._table(HELP)
            case ShowSettings():
                self._table(describe(self._options))
            case ListModels():
                for line in model_lines(await self._service.infos(), self._service.needs_of):
                    self._terminal.line(line)
                self._table(tuple((entry.id, entry.problem or "alias") for entry in self._service.routing.entries()))
            case SetValue(name=name, value=value):
                self._options = change(self._options, name, value)
                self._table(tuple(row for row in describe(self._options) if row[0] == name))
            case Unknown(name=name):
                self._terminal.warn(f"There is no command {name!r}. Known commands:")
                self._table(HELP)
                return WRONG_USAGE
        return DONE

    def _table(self, rows: tuple[tuple[str, str], ...]) -> None:
        width = max((len(name) for name, _ in rows), default=0)
        for name, value in rows:
            self._terminal.line(f"  {name:<{width}}  {value}")
