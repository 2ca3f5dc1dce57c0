"""One turn of a chat: keep what was typed, have it answered, keep the answer while it grows. Knows no SQL, no mlx and no page.

The user's message and the empty answer are on disk before TurnStarted; the growing text is saved twice a second; leaving the
iterator ends the turn as cancelled with the text so far. One chat answers one message at a time.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress

import msgspec

from mlx_harmony.conversation.answer import Answer
from mlx_harmony.conversation.attachments import names
from mlx_harmony.conversation.beginning import with_setup
from mlx_harmony.conversation.comparing import replayed
from mlx_harmony.conversation.history import last_id, title_aside, title_of
from mlx_harmony.conversation.plan import Asked, Plan, continued_answer, named, new_answer, new_id, user_message
from mlx_harmony.conversation.records import UNTITLED, Chat, TurnEvent, TurnOptions
from mlx_harmony.conversation.replay import options_again
from mlx_harmony.conversation.store import Store
from mlx_harmony.conversation.waiting import taken
from mlx_harmony.engine.protocols import Answers
from mlx_harmony.errors import ChatChanged, EngineCrashed, HarmonyError, InvalidRequest, ShuttingDown, StorageError
from mlx_harmony.events import Event, Failed, Finished, MessageStarted, Routed, Trimmed
from mlx_harmony.records import ModelCard, ModelEntry

SAVE_EVERY_S = 0.5


class Turns:
    """Runs turns over the store and the provider. Streams raise HarmonyError only for what happened before TurnStarted."""

    def __init__(self, store: Store, provider: Answers, find_model: Callable[[str | None], ModelEntry]) -> None:
        self._store = store
        self._provider = provider
        self._find_model = find_model
        self._growing: set[Answer] = set()

    async def close(self) -> None:
        """Save what the answers still under way have said; the next start finds them as interrupted."""
        for answer in tuple(self._growing):
            if not answer.ended:
                answer.end("interrupted")
            with suppress(StorageError):
                await self._store.save_message(answer.message)

    async def send(
        self, chat_id: str, text: str, options: TurnOptions, attached: tuple[str, ...] = (), after: str | None = None
    ) -> AsyncGenerator[TurnEvent, None]:
        """Append the user's message and stream its answer; `attached` are the ids of what waits to come with it.

        `after`, where given, is the message that it must follow, "" for none. Raises ChatChanged where another one is the last.
        """
        with self._store.answering.hold(chat_id):
            chat = await self._store.read_chat(chat_id)
            if after is not None and after != last_id(chat):
                raise ChatChanged(
                    "Nothing was sent: the chat has gone on elsewhere.", hint="Look at what is new, then send again.", param="after"
                )
            attachments = taken(await self._store.read_waiting(attached), attached)
            user = user_message(chat_id, text, chat.messages[-1].id if chat.messages else None, attachments)
            first = chat.summary.title == UNTITLED and not any(message.role == "user" for message in chat.messages)
            plan = new_answer((*chat.messages, user), await self._asked(chat, options), (user,))
            async with aclosing(
                self._run(plan._replace(title=title_of(text if text.strip() else names(attachments)) if first else None))
            ) as events:
                async for event in events:
                    yield event

    async def begin_aside(self, chat: Chat, text: str) -> AsyncGenerator[TurnEvent, None]:
        """Stream the answer to the first message of a chat that nobody keeps yet: it lies in the trash until it is brought back."""
        with self._store.answering.hold(chat.summary.id):
            user = user_message(chat.summary.id, text, last_id(chat) or None)
            plan = new_answer((*chat.messages, user), await self._asked(chat, chat.options), (user,))
            summary = msgspec.structs.replace(chat.summary, title=title_aside(text, plan.entry.id))
            whole = Chat(summary=summary, messages=(*chat.messages, *plan.stored), options=plan.options)
            async with aclosing(self._run(plan._replace(aside=whole))) as events:
                async for event in events:
                    yield event

    async def edit(self, chat_id: str, message_id: str, text: str, options: TurnOptions) -> AsyncGenerator[TurnEvent, None]:
        """Stream the answer to another version of a user's message, with what came attached to it; the earlier ones stay beside it."""
        with self._store.answering.hold(chat_id):
            chat = await self._store.read_chat(chat_id)
            *before, old = await self._store.read_path(chat_id, message_id)
            if old.role != "user":
                raise InvalidRequest("Only a message of yours can be edited.", hint="Regenerate the answer instead.", param="message_id")
            user = user_message(chat_id, text, old.parent_id, old.attachments)
            async with aclosing(self._run(new_answer((*before, user), await self._asked(chat, options), (user,)))) as events:
                async for event in events:
                    yield event

    async def regenerate(self, chat_id: str, message_id: str, options: TurnOptions) -> AsyncGenerator[TurnEvent, None]:
        """Stream another version of an answer; the earlier ones stay beside it."""
        with self._store.answering.hold(chat_id):
            chat = await self._store.read_chat(chat_id)
            *path, old = await self._store.read_path(chat_id, message_id)
            if old.role != "assistant" or not path:
                raise InvalidRequest("Only an answer can be regenerated.", hint="Choose one of the model's answers.", param="message_id")
            async with aclosing(self._run(new_answer(tuple(path), await self._asked(chat, options)))) as events:
                async for event in events:
                    yield event

    async def replay(self, chat_id: str, message_id: str) -> AsyncGenerator[TurnEvent, None]:
        """Stream an answer again with what made it, as another version that notes whether it came out the same.

        The chat's own options stay. Raises InvalidRequest where what made the answer is not known.
        """
        with self._store.answering.hold(chat_id):
            chat = await self._store.read_chat(chat_id)
            *path, old = await self._store.read_path(chat_id, message_id)
            plan = new_answer(tuple(path), await self._asked(chat, options_again(old)))
            async with aclosing(self._run(plan._replace(options=chat.options, original=old))) as events:
                async for event in events:
                    yield event

    async def continue_answer(self, chat_id: str, message_id: str, options: TurnOptions) -> AsyncGenerator[TurnEvent, None]:
        """Stream more of an answer that was cut or stopped; the text grows in the same message."""
        with self._store.answering.hold(chat_id):
            chat = await self._store.read_chat(chat_id)
            path = await self._store.read_path(chat_id, message_id)
            asked = await self._asked(chat, options)
            if asked.entry.source == "alias" and (made := path[-1].provenance) is not None:
                # Whoever began the answer ends it.
                asked = await self._asked(chat, msgspec.structs.replace(options, model=made.model))
            plan = continued_answer(path, asked)
            async with aclosing(self._run(plan._replace(options=with_setup(options, chat.options)))) as events:
                async for event in events:
                    yield event

    async def delete(self, chat_id: str, message_id: str) -> str:
        """Delete a message with all that followed it; the token brings it back. Raises Unavailable while the chat is answering."""
        with self._store.answering.hold(chat_id):
            token = new_id()
            await self._store.trash_message(chat_id, message_id, token)
            return token

    async def _asked(self, chat: Chat, options: TurnOptions) -> Asked:
        # In a thread: looking for a model may scan folders, and other answers are being streamed meanwhile.
        entry = await asyncio.to_thread(self._find_model, options.model)
        return Asked(entry, with_setup(options, chat.options), chat.summary.created_at)

    async def _run(self, plan: Plan) -> AsyncGenerator[TurnEvent, None]:
        await self._begin(plan)
        answer = Answer(plan.answer, resumed=plan.resumed)
        self._growing.add(answer)
        saving = asyncio.create_task(self._save_while_growing(answer))
        lost: Failed | None = None
        end: Event | None = None
        model = plan.entry.id
        try:
            yield plan.started
            async with aclosing(self._answers(plan)) as events:
                async for event in events:
                    if answer.ended:
                        # The program stops and has kept what was said; that its model ends as well is no failure.
                        break
                    if isinstance(event, Routed):
                        model = event.model
                    if isinstance(event, MessageStarted) and (card := self._card(model)) is not None:
                        answer.made_by(card.fingerprint, card.numerics)
                    if isinstance(event, Trimmed):
                        event = named(event, plan.told)
                        answer.sees_from(next((name for name in plan.told if name and name not in event.message_ids), None))
                    if isinstance(event, Finished) and plan.original is not None:
                        event = replayed(event, plan.original, answer.message)
                    end = answer.add(event)
                    if answer.ended:
                        break
                    yield end
        finally:
            saving.cancel()
            if not answer.ended:
                answer.end("cancelled")
            try:
                lost = await self._keep(answer)
            finally:
                self._growing.discard(answer)
        yield lost or (end if isinstance(end, Finished | Failed) else Failed.of(ShuttingDown("MLX Harmony is stopping.")))

    async def _begin(self, plan: Plan) -> None:
        try:
            if plan.aside is not None:
                await self._store.add_chat(plan.aside, aside=True)
            elif plan.resumed is not None:
                await self._store.resume_turn(plan.answer, plan.options)
            else:
                await self._store.begin_turn(plan.stored, plan.options, plan.title)
        except asyncio.CancelledError:
            # The store carries the job out all the same: the answer must not stand there as still coming.
            await self._store.save_message(plan.resumed or msgspec.structs.replace(plan.answer, state="cancelled"))
            raise

    async def _answers(self, plan: Plan) -> AsyncGenerator[Event, None]:
        """The provider's events, with one end whatever happens."""
        try:
            async with aclosing(self._provider.generate(plan.entry, plan.request)) as events:
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

    def _card(self, model_id: str) -> ModelCard | None:
        return {state.id: state.card for state in self._provider.states()}.get(model_id)


async def ending_in_failed(stream: AsyncGenerator[TurnEvent, None]) -> AsyncGenerator[TurnEvent, None]:
    """The same stream, with what it raises as its last event."""
    try:
        async with aclosing(stream) as events:
            async for event in events:
                yield event
    except HarmonyError as error:
        yield Failed.of(error)
