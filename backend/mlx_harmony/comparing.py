"""Comparing, as the service offers it: one prompt answered twice at once, each answer an ordinary turn of a chat of its own.

Such a chat lies in the trash from the first moment, until somebody keeps it: so the list of chats holds none that nobody chose, and no
answer is lost, whatever happens to the program. One whose model said nothing goes at once. It knows neither models nor pages.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import aclosing, suppress
from typing import Literal

from mlx_harmony.conversation.beginning import new_chat, with_setup
from mlx_harmony.conversation.history import title_aside, title_of
from mlx_harmony.conversation.records import Chat, TurnEvent, TurnOptions
from mlx_harmony.conversation.store import Store
from mlx_harmony.conversation.turn import Turns, ending_in_failed
from mlx_harmony.conversation.writable import writable
from mlx_harmony.errors import ChatNotFound, StorageError
from mlx_harmony.events import Failed, Finished, TextDelta, ToolCallDelta
from mlx_harmony.records import Timings, Usage

Side = Literal["left", "right"]
SIDES: tuple[Side, ...] = ("left", "right")
SideEvent = tuple[Side, TurnEvent]

Forget = Callable[[Collection[str]], Awaitable[None]]

_NOTHING = Usage(prompt_tokens=0, completion_tokens=0)
_NO_TIME = Timings(prompt_n=0, cached_n=0, prompt_ms=0.0, predicted_n=0, predicted_ms=0.0)


class Comparison:
    """Two answers on their way. Leaving `events` cancels both, `stop` one of them; neither end touches the other."""

    def __init__(self, left: AsyncGenerator[TurnEvent, None], right: AsyncGenerator[TurnEvent, None]) -> None:
        self._streams: dict[Side, AsyncGenerator[TurnEvent, None]] = {"left": left, "right": right}
        self._tasks: dict[Side, asyncio.Task[None]] = {}
        self._come: asyncio.Queue[tuple[Side, TurnEvent | None]] = asyncio.Queue()

    async def events(self) -> AsyncGenerator[SideEvent, None]:
        """What both sides bring, as it comes: of each side the events of a turn, with one end. To be read once."""
        for side, stream in self._streams.items():
            self._tasks[side] = task = asyncio.create_task(self._take(side, stream))
            task.add_done_callback(lambda _task, side=side: self._come.put_nowait((side, None)))  # type: ignore[misc]
        running = set(SIDES)
        ended: set[Side] = set()
        try:
            while running:
                side, event = await self._come.get()
                if event is None:
                    running.discard(side)
                    if not self._tasks[side].cancelled():
                        self._tasks[side].result()
                    if side in ended:
                        continue
                    event = Finished(reason="cancelled", usage=_NOTHING, timings=_NO_TIME)
                if isinstance(event, Finished | Failed):
                    ended.add(side)
                yield side, event
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.wait(self._tasks.values())

    async def stop(self, side: Side | None = None) -> None:
        """End one side now, or both, and wait until what was written is kept."""
        tasks = [task for name, task in self._tasks.items() if side in (None, name)]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _take(self, side: Side, stream: AsyncGenerator[TurnEvent, None]) -> None:
        async with aclosing(stream) as events:
            async for event in events:
                self._come.put_nowait((side, event))


class Comparing:
    """Comparisons over the turns of chats.

    `defaults` are the options that a new chat begins with; `forget` has models drop what chats used.
    """

    def __init__(self, turns: Turns, store: Store, defaults: Callable[[], TurnOptions], forget: Forget) -> None:
        self._turns = turns
        self._store = store
        self._defaults = defaults
        self._forget = forget

    def begin(self, text: str, left: TurnOptions, right: TurnOptions) -> Comparison:
        """Answer a text twice, as the first message of two new chats. A Failed before a side's TurnStarted: nothing is kept of it."""
        return Comparison(self._side(text, left), self._side(text, right))

    async def find(self, chat_id: str) -> Chat:
        """A side's chat, whether it was kept or not. Raises ChatNotFound where it said nothing, or the trash was emptied since."""
        return await self._store.read_chat(writable("chat_id", chat_id), trashed=True)

    async def keep(self, chat_id: str) -> Chat:
        """Put a side's chat into the list, where it is one like any other. Raises ChatNotFound once the trash was emptied."""
        try:
            await self._store.restore_chat(writable("chat_id", chat_id))
        except ChatNotFound as error:
            hint = "The trash was emptied meanwhile. Compare again to have it anew."
            raise ChatNotFound("This answer is no longer there.", hint=hint, param="chat_id") from error
        chat = await self._store.read_chat(chat_id)
        title = _own_title(chat)
        if title is None:
            return chat
        await self._store.rename_chat(chat_id, title)
        return await self._store.read_chat(chat_id)

    async def _side(self, text: str, options: TurnOptions) -> AsyncGenerator[TurnEvent, None]:
        chat = new_chat(with_setup(options, self._defaults()))
        said = False
        try:
            async with aclosing(ending_in_failed(self._turns.begin_aside(chat, text))) as events:
                async for event in events:
                    said = said or isinstance(event, TextDelta | ToolCallDelta)
                    yield event
        finally:
            if not said:
                await self._drop(chat.summary.id)

    async def _drop(self, chat_id: str) -> None:
        """Let go of a side that said nothing. Where the chats are closed already, or the disk is full, it stays in the trash."""
        with suppress(StorageError):
            if await self._store.drop_trashed(chat_id):
                await self._forget((chat_id,))


def _own_title(chat: Chat) -> str | None:
    """The title that a chat with this first message has, in place of the one it was put aside under; None where it has another by now."""
    asked = next((message.content for message in chat.messages if message.role == "user"), "")
    models = {chat.options.model, *(message.provenance.model for message in chat.messages if message.provenance)}
    aside = {title_aside(asked, model) for model in models if model}
    return title_of(asked) if chat.summary.title in aside else None
