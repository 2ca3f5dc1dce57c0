"""One turn of a chat: keep what was typed, have it answered, keep the answer while it grows. Knows no SQL, no mlx and no page.

The user's message and the empty answer are on disk before TurnStarted; the growing text is saved twice a second; leaving the
iterator ends the turn as cancelled with the text so far. One chat answers one message at a time.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from functools import cache
from importlib.metadata import version
from typing import NamedTuple

import msgspec

from mlx_harmony.conversation.answer import Answer
from mlx_harmony.conversation.history import prompt_of, title_of
from mlx_harmony.conversation.records import ChatMessage, Provenance, TurnEvent, TurnOptions, TurnStarted
from mlx_harmony.conversation.store import UNTITLED, Store
from mlx_harmony.engine.protocols import Provider
from mlx_harmony.errors import EngineCrashed, HarmonyError, InvalidRequest, ShuttingDown, StorageError, Unavailable
from mlx_harmony.events import Event, Failed, Finished, MessageStarted
from mlx_harmony.ranges import check_request
from mlx_harmony.records import GenerationRequest, ModelEntry

SAVE_EVERY_S = 0.5


class _Turn(NamedTuple):
    """All that one turn needs: `path` is what was said before and with it, `stored` what it adds to the tree."""

    entry: ModelEntry
    options: TurnOptions
    path: tuple[ChatMessage, ...]
    stored: tuple[ChatMessage, ...]
    request: GenerationRequest
    title: str | None = None

    @property
    def answer(self) -> ChatMessage:
        return self.stored[-1]


class Turns:
    """Runs turns over the store and the provider. Streams raise HarmonyError only for what happened before TurnStarted."""

    def __init__(self, store: Store, provider: Provider, find_model: Callable[[str | None], ModelEntry]) -> None:
        self._store = store
        self._provider = provider
        self._find_model = find_model
        self._answering: set[str] = set()
        self._growing: set[Answer] = set()

    async def close(self) -> None:
        """Save what the answers still under way have said; the next start finds them as interrupted."""
        for answer in tuple(self._growing):
            answer.end("interrupted")
            with suppress(StorageError):
                await self._store.save_message(answer.message)

    async def send(self, chat_id: str, text: str, options: TurnOptions) -> AsyncGenerator[TurnEvent, None]:
        """Append the user's message and stream its answer."""
        if not text.strip():
            raise InvalidRequest("Type a message first.", param="text")
        with self._alone(chat_id):
            chat = await self._store.read_chat(chat_id)
            parent_id = chat.messages[-1].id if chat.messages else None
            user = ChatMessage(id=new_id(), chat_id=chat_id, role="user", content=text, created_at=time.time(), parent_id=parent_id)
            first = not chat.messages and chat.summary.title == UNTITLED
            turn = self._plan((*chat.messages, user), options, chat.summary.created_at)
            turn = turn._replace(stored=(user, turn.answer), title=title_of(text) if first else None)
            async with aclosing(self._run(turn)) as events:
                async for event in events:
                    yield event

    async def regenerate(self, chat_id: str, message_id: str, options: TurnOptions) -> AsyncGenerator[TurnEvent, None]:
        """Stream another version of an answer; the earlier ones stay beside it."""
        with self._alone(chat_id):
            chat = await self._store.read_chat(chat_id)
            *path, old = await self._store.read_path(chat_id, message_id)
            if old.role != "assistant" or not path:
                raise InvalidRequest("Only an answer can be regenerated.", hint="Choose one of the model's answers.", param="message_id")
            async with aclosing(self._run(self._plan(tuple(path), options, chat.summary.created_at))) as events:
                async for event in events:
                    yield event

    @contextmanager
    def _alone(self, chat_id: str) -> Iterator[None]:
        if chat_id in self._answering:
            raise Unavailable("This chat is answering.", hint="Stop it or wait until it is done, then send again.")
        self._answering.add(chat_id)
        try:
            yield
        finally:
            self._answering.discard(chat_id)

    def _plan(self, path: tuple[ChatMessage, ...], options: TurnOptions, created_at: float) -> _Turn:
        """Check everything that can be checked before anything is stored."""
        entry = self._find_model(options.model)
        answer = ChatMessage(
            id=new_id(),
            chat_id=path[-1].chat_id,
            role="assistant",
            content="",
            created_at=time.time(),
            parent_id=path[-1].id,
            state="streaming",
            provenance=_provenance(entry, options),
        )
        request = GenerationRequest(
            id=answer.id,
            prompt=prompt_of(path, options, created_at),
            sampling=options.sampling,
            max_tokens=options.max_tokens,
            stop=options.stop,
        )
        check_request(request)
        return _Turn(entry=entry, options=options, path=path, stored=(answer,), request=request)

    async def _run(self, turn: _Turn) -> AsyncGenerator[TurnEvent, None]:
        await self._begin(turn)
        answer = Answer(turn.answer)
        self._growing.add(answer)
        saving = asyncio.create_task(self._save_while_growing(answer))
        lost: Failed | None = None
        end: Event | None = None
        try:
            yield _started(turn)
            async with aclosing(self._answers(turn)) as events:
                async for event in events:
                    if isinstance(event, MessageStarted):
                        answer.made_by(self._fingerprint(turn.entry.id))
                    end = answer.add(event)
                    if answer.ended:
                        break
                    yield end
        finally:
            saving.cancel()
            if not answer.ended:
                answer.end("cancelled")
            lost = await self._keep(answer)
            self._growing.discard(answer)
        yield lost or (end if isinstance(end, Finished | Failed) else Failed.of(ShuttingDown("MLX Harmony is stopping.")))

    async def _begin(self, turn: _Turn) -> None:
        try:
            await self._store.begin_turn(turn.stored, turn.options, turn.title)
        except asyncio.CancelledError:
            # The store carries the job out all the same: the answer must not stand there as still coming.
            await self._store.save_message(msgspec.structs.replace(turn.answer, state="cancelled"))
            raise

    async def _answers(self, turn: _Turn) -> AsyncGenerator[Event, None]:
        """The provider's events, with one end whatever happens."""
        try:
            async with aclosing(self._provider.generate(turn.entry, turn.request)) as events:
                async for event in events:
                    yield event
        except HarmonyError as error:
            yield Failed.of(error)
        yield Failed.of(EngineCrashed("The model stopped in the middle of its answer.", hint="Send again; the model starts anew."))

    async def _save_while_growing(self, answer: Answer) -> None:
        while True:
            await asyncio.sleep(SAVE_EVERY_S)
            if answer.changed:
                answer.changed = False
                # The store keeps what it could not save; the end of the turn reports it if it still cannot.
                with suppress(StorageError):
                    await self._store.save_message(answer.message)

    async def _keep(self, answer: Answer) -> Failed | None:
        """Save the finished answer; what went wrong with that, to be told instead of the end."""
        try:
            await self._store.save_message(answer.message)
        except StorageError as error:
            return Failed.of(error)
        return None

    def _fingerprint(self, model_id: str) -> str:
        cards = {state.id: state.card for state in self._provider.states()}
        card = cards.get(model_id)
        return card.fingerprint if card else ""


def new_id() -> str:
    """A fresh id, as every chat and message has one."""
    return uuid.uuid4().hex


def _started(turn: _Turn) -> TurnStarted:
    return TurnStarted(
        chat_id=turn.answer.chat_id,
        user_message_id=turn.path[-1].id,
        assistant_message_id=turn.answer.id,
        model=turn.entry.id,
    )


def _provenance(entry: ModelEntry, options: TurnOptions) -> Provenance:
    return Provenance(
        model=entry.id,
        sampling=options.sampling,
        effort=options.effort,
        identity=options.identity,
        instructions=options.instructions,
        max_tokens=options.max_tokens,
        version=_version(),
    )


@cache
def _version() -> str:
    return version("mlx-harmony")
