"""The only door for api, ui and cli: it opens, joins and closes everything below and turns every failure into one event or error.

It owns no state of its own but the settings; it knows nothing of HTTP, of the page or of mlx.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from mlx_harmony.caches import Caches
from mlx_harmony.cleaning import Cleaning, recovered
from mlx_harmony.comparing import Comparing
from mlx_harmony.conversation.attachments import LARGEST_BYTES as LARGEST_ATTACHMENT
from mlx_harmony.conversation.attachments import MOST, read_attachment
from mlx_harmony.conversation.beginning import new_chat, options_of, with_setup
from mlx_harmony.conversation.forking import LONGEST_TITLE, forked
from mlx_harmony.conversation.interchange.export import as_json
from mlx_harmony.conversation.interchange.importing import import_chats
from mlx_harmony.conversation.interchange.markdown import as_markdown
from mlx_harmony.conversation.interchange.reading import LARGEST_BYTES as LARGEST_CHATS
from mlx_harmony.conversation.meter import Draft, measured
from mlx_harmony.conversation.plan import Asked, new_id
from mlx_harmony.conversation.records import (
    Attachment,
    Chat,
    ChatSummary,
    ContextUse,
    CopyKind,
    ImportReport,
    Limits,
    SearchHit,
    TrashItem,
    TurnEvent,
    TurnOptions,
)
from mlx_harmony.conversation.replay import Server, copied, options_again, weights_changed
from mlx_harmony.conversation.store import Store
from mlx_harmony.conversation.turn import Turns, ending_in_failed
from mlx_harmony.conversation.uses import CHATS_FILE
from mlx_harmony.conversation.writable import writable
from mlx_harmony.engine.counting import TextCounts
from mlx_harmony.engine.protocols import ModelState, Provider
from mlx_harmony.engine.provider import worker_provider
from mlx_harmony.engine.residency import MEGABYTE
from mlx_harmony.engine.residency import Limits as LoadLimits
from mlx_harmony.errors import ChatNotFound, HarmonyError, InvalidRequest, SettingsError
from mlx_harmony.events import Event, Failed
from mlx_harmony.getting import Getting
from mlx_harmony.jobs import Jobs
from mlx_harmony.library import Library
from mlx_harmony.models.drafting import with_drafts
from mlx_harmony.models.filtering import Filter, matching
from mlx_harmony.models.hub.download import Downloads
from mlx_harmony.models.info import ModelInfo
from mlx_harmony.models.outlook import Outlook
from mlx_harmony.prompting.choosing import Given, given_by, settled
from mlx_harmony.prompting.presets import Presets
from mlx_harmony.prompting.records import ProfileRow
from mlx_harmony.ranges import check_request
from mlx_harmony.records import GenerationRequest, ModelCard, ModelEntry, TextPrompt
from mlx_harmony.routing.door import Routing, real
from mlx_harmony.settings import Settings, changed, checked
from mlx_harmony.shelf.kept import Shelves


class Service:
    """All that the app can do. Open it once with `Service.open`, close it with `close`."""

    def __init__(
        self,
        settings: Settings,
        provider: Provider,
        store: Store,
        given: Given = Given(),  # noqa: B008
        outlook: Outlook | None = None,
    ) -> None:
        self.settings = settings
        self._given = given
        self._provider = provider
        self._store = store
        self.presets = Presets(settings.home)
        outlook = outlook or Outlook(settings.home)
        outlook.taken = lambda: sum(state.memory_bytes for state in provider.states())
        self.needs_of = outlook.needs
        self.room_for = provider.room_for
        self._library = Library(settings)
        self._changing = asyncio.Lock()
        self.routing = Routing(lambda: self._library, provider, partial(with_drafts, self), TextCounts(settings.home))
        self._turns = Turns(store, self.routing, self.usable_model)
        shelves = Shelves(settings.home, settings.cache_disk_mb * MEGABYTE)
        self.caches = Caches(shelves, provider, lambda model: real(self.find_model(model)), self.models)
        self.comparing = Comparing(self._turns, store, self.default_options, self.caches.forget)
        self.cleaning = Cleaning(settings.home, lambda: self._library, provider.states, provider.unload)
        self.jobs = Jobs(Path(settings.home, "jobs"), {"download": Downloads()})
        self.getting = Getting(self.jobs)

    @classmethod
    async def open(cls, settings: Settings, provider: Provider | None = None) -> "Service":
        """Open the chats and make ready to answer.

        Raises StorageError where the home folder cannot be used, SettingsError for a profile or prompt config of this run that cannot.
        """
        given = given_by(settings)
        settings = settled(settings, given)
        await recovered(settings.home)
        store = await Store.open(Path(settings.home) / CHATS_FILE)
        outlook = Outlook(settings.home)
        return cls(settings, provider or worker_provider(settings, outlook), store, given, outlook)

    async def end_answers(self) -> None:
        """Save what is being said and end it, and the models' processes. No answer begins after this."""
        await self._turns.close()
        await self._provider.close()

    async def close(self) -> None:
        """Do that, stop the jobs until the next start, close the chats."""
        await self.end_answers()
        await self.jobs.close()
        await self._store.close()

    @property
    def limits(self) -> Limits:
        """How much `attach`, `send` and `import_chats` take."""
        return Limits(attachment_bytes=LARGEST_ATTACHMENT, attachments=MOST, chats_bytes=LARGEST_CHATS)

    def notices(self) -> tuple[str, ...]:
        """What happened at the start that the person should know, such as a damaged file that was set aside."""
        return (*self.settings.notices, *self._store.notices)

    async def change_settings(self, **changes: Any) -> Settings:
        """Check, save and use these settings. Raises SettingsError or ModelNotFound for what cannot be used; then nothing is changed."""
        async with self._changing:
            return await self._change({name: checked(name, value) for name, value in changes.items()})

    async def _change(self, proposed: dict[str, Any]) -> Settings:
        added = set(proposed.get("models_dirs", ())) - set(self.settings.models_dirs)
        missing = sorted(folder for folder in added if not Path(folder).is_dir())  # noqa: ASYNC240
        if missing:
            raise SettingsError(f"There is no folder {missing[0]!r}.", hint="Type the path of a folder that exists.", param="models_dirs")
        library = Library(msgspec.structs.replace(self.settings, **proposed))
        if "model" in proposed:
            library.find(None)
        self.settings = await asyncio.to_thread(changed, self.settings, proposed)
        self._library = library
        self._provider.limit(LoadLimits.of(self.settings))
        return self.settings

    def default_options(self) -> TurnOptions:
        """What a new chat begins with: as this run's profile and prompt config have it, else as the settings do."""
        # The model is already this run's default one.
        return msgspec.structs.replace(options_of(self._given.chosen(self.settings)), model=None)

    @property
    def prompt_config_path(self) -> str | None:
        """The prompt config this run's new chats begin with."""
        return self._given.chosen(self.settings).setup.prompt_config or None

    def profiles(self) -> tuple[ProfileRow, ...]:
        """The profiles on file, each with what is wrong with it. Raises SettingsError for a file that cannot be read."""
        return self._library.profiles()

    def apply_profile(self, name: str) -> TurnOptions:
        """The options of a new chat with that profile. Raises SettingsError, naming the known profiles, and ModelNotFound."""
        return self._library.apply_profile(name)

    def models(self) -> tuple[ModelEntry, ...]:
        """Every model on this machine, also those with a `problem`."""
        return self._library.models()

    async def infos(self, wanted: Filter = Filter()) -> tuple[ModelInfo, ...]:  # noqa: B008
        """The models that are meant, with all that is known of each. Raises InvalidRequest for what cannot be looked for."""
        return matching(await asyncio.to_thread(self._library.infos, await self._store.chats_by_model()), wanted)

    def find_model(self, model_id: str | None, adapter: str = "") -> ModelEntry:
        """The model or alias of that id, or the default one; with LoRA weights, what they make of it. Raises ModelNotFound."""
        return self._library.adapted(model_id, adapter) if adapter else self._library.find(model_id)

    def usable_model(self, model_id: str | None) -> ModelEntry:
        """The same, but a model known to be broken raises LoadFailed and starts no process. May scan folders: called in threads."""
        return self._library.usable(model_id)

    def model_states(self) -> tuple[ModelState, ...]:
        """Where each model that was ever asked for stands; one that is not listed is asleep."""
        return self._provider.states()

    async def load(self, model_id: str, *, force: bool = False) -> ModelCard:
        """Load a model and wait until it is awake, with `force` whatever is forecast. Raises ModelNotFound and the errors of loading."""
        return await self._provider.load(real(await asyncio.to_thread(self.usable_model, model_id)), force=force)

    async def pin(self, model_id: str, pinned: bool = True) -> None:
        """Keep a model loaded until somebody unloads it, or no longer; this stays over restarts. Raises ModelNotFound."""
        entry = real(await asyncio.to_thread(self.find_model, model_id))
        async with self._changing:
            others = tuple(each for each in self.settings.pinned_models if each != entry.id)
            await self._change({"pinned_models": (*others, entry.id) if pinned else others})

    async def unload(self, model_id: str) -> None:
        """End the model's process; one that is asleep already is left so."""
        await self._provider.unload(real(self.find_model(model_id)).id)

    async def generate(self, model_id: str | None, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        """Answer one request without keeping it; a request or model at fault yields one Failed."""
        try:
            check_request(request)
            entry = await asyncio.to_thread(self.usable_model, model_id)
            async with aclosing(self.routing.generate(entry, request)) as events:
                async for event in events:
                    yield event
        except HarmonyError as error:
            yield Failed.of(error)

    async def list_chats(self) -> tuple[ChatSummary, ...]:
        """The chats, last used first."""
        return await self._store.list_chats()

    async def search(self, query: str) -> tuple[SearchHit, ...]:
        """Titles and messages of all chats that hold every word of the query, the best first; any text is a query."""
        return await self._store.search(writable("query", query))

    async def create_chat(self, options: TurnOptions | None = None) -> Chat:
        """A new chat, empty but for its setup's greeting; without options, with the defaults."""
        chat = new_chat(with_setup(options or self.default_options(), self.default_options()))
        await self._store.add_chat(chat)
        return await self._store.read_chat(chat.summary.id)

    def unkept_chat(self, options: TurnOptions) -> Chat:
        """A chat as it would begin with these options; nothing is kept of it."""
        return new_chat(options)

    async def read_chat(self, chat_id: str) -> Chat:
        """The chat with the path that is shown. Raises ChatNotFound."""
        return await self._store.read_chat(writable("chat_id", chat_id))

    async def rename_chat(self, chat_id: str, title: str) -> None:
        """Give the chat a title of one line. Raises InvalidRequest for an empty or overlong one."""
        line = " ".join(writable("title", title).split())
        if not 0 < len(line) <= LONGEST_TITLE:
            raise InvalidRequest(f"A title has 1 to {LONGEST_TITLE} characters.", param="title")
        await self._store.rename_chat(writable("chat_id", chat_id), line)

    async def delete_chat(self, chat_id: str) -> None:
        """Take the chat out of the list; `restore_chat` brings it back."""
        await self._store.trash_chat(writable("chat_id", chat_id))

    async def restore_chat(self, chat_id: str) -> None:
        """Bring a deleted chat back."""
        await self._store.restore_chat(writable("chat_id", chat_id))

    async def fork(self, chat_id: str, message_id: str) -> Chat:
        """A new chat that holds the messages up to this one."""
        chat = await self._store.read_chat(writable("chat_id", chat_id))
        path = await self._store.read_path(chat_id, writable("message_id", message_id))
        copy = forked(chat, path)
        await self._store.add_chat(copy)
        return await self._store.read_chat(copy.summary.id)

    async def delete_message(self, chat_id: str, message_id: str) -> str:
        """Delete a message with all that followed it; the token is for `undo_delete`. Raises Unavailable while the chat is answering."""
        return await self._turns.delete(writable("chat_id", chat_id), writable("message_id", message_id))

    async def undo_delete(self, token: str) -> None:
        """Bring a deleted message back with what followed it. Raises ChatNotFound once the trash was emptied."""
        await self._store.restore_message(writable("token", token))

    async def list_trash(self) -> tuple[TrashItem, ...]:
        """What was deleted: chats for `restore_chat`, messages for `undo_delete`, the last deleted first."""
        return await self._store.list_trash()

    async def empty_trash(self) -> None:
        """Remove for good what was deleted, and what models kept of it in memory and on disk."""
        await self.caches.forget(await self._store.empty_trash())

    async def export_json(self, chat_id: str | None = None) -> bytes:
        """One chat, or all, as a conversation file of version 2, with every version of every message."""
        chats = await self._store.whole_chats(None if chat_id is None else writable("chat_id", chat_id))
        return await asyncio.to_thread(as_json, chats)

    async def export_markdown(self, chat_id: str) -> str:
        """What is shown of a chat, as Markdown to read."""
        return as_markdown(await self.read_chat(chat_id))

    async def import_chats(self, source: bytes | Path) -> ImportReport:
        """The chats of a conversation file, version 1 or 2, as new ones beside those that are here.

        Raises InvalidRequest, with `param` file, for one that is too large, of a later version, or holds nothing that can be read.
        """
        return await import_chats(self._store, source, self._library.here)

    async def context(self, chat_id: str, draft: str, options: TurnOptions, attached: tuple[str, ...] = ()) -> ContextUse | None:
        """What the next prompt of this chat takes of the context: exactly while the model is awake, else as it was last counted.

        No id is a chat that is not kept yet. None where nothing is known. `attached` are the ids of attachments that wait to come with the
        draft; others are not counted.

        Raises what sending would raise: InvalidRequest for a draft that cannot be sent, ModelNotFound, ChatNotFound.
        """
        chat = await self._store.read_chat(writable("chat_id", chat_id)) if chat_id else new_chat(options)
        asked = Asked(await asyncio.to_thread(self.usable_model, options.model), with_setup(options, chat.options), chat.summary.created_at)
        waiting = await self._store.read_waiting(attached)
        return await measured(self._store, self.routing, chat, Draft(writable("draft", draft), waiting), asked)

    async def attach(self, name: str, data: bytes, *, pasted: bool = False) -> Attachment:
        """Keep a text until the message it comes with is sent. Raises InvalidRequest where it is too large, empty or no text."""
        attachment = await asyncio.to_thread(read_attachment, name, data, pasted=pasted)
        await self._store.add_waiting(attachment)
        return attachment

    async def waiting(self, attached: tuple[str, ...]) -> tuple[Attachment, ...]:
        """Those of these attachments that still wait for their message."""
        return await self._store.read_waiting(attached)

    async def detach(self, attachment_id: str) -> None:
        """Let go of an attachment that waits."""
        await self._store.remove_waiting((attachment_id,))

    async def read_attachment(self, chat_id: str, message_id: str, attachment_id: str) -> Attachment:
        """What came with a message. Raises ChatNotFound."""
        message = (await self._store.read_path(writable("chat_id", chat_id), writable("message_id", message_id)))[-1]
        found = next((each for each in message.attachments if each.id == attachment_id), None)
        if found is None:
            raise ChatNotFound("That file does not come with this message.", hint="Reload the chat.", param="attachment_id")
        return found

    async def count_text(self, text: str, model_id: str | None = None) -> int | None:
        """How many tokens a text has for a model, with what its tokenizer begins a text with; None while it is asleep."""
        request = GenerationRequest(id=new_id(), prompt=TextPrompt(text=writable("text", text)))
        count = await self.routing.count(await asyncio.to_thread(self.usable_model, model_id), request) if text else None
        return count.total if count else (None if text else 0)

    async def replay_options(self, chat_id: str, message_id: str) -> TurnOptions:
        """What made an answer, its seed included: regenerating with it gives the same text. Raises InvalidRequest where it is not known."""
        return options_again((await self._store.read_path(writable("chat_id", chat_id), writable("message_id", message_id)))[-1])

    async def copy_as(self, chat_id: str, message_id: str, kind: CopyKind, address: str = "") -> str:
        """The request that made an answer, ready to run in a terminal or in Python; `address` is the server's own where none is given.

        Raises InvalidRequest where what made it is not known.
        """
        chat = await self._store.read_chat(writable("chat_id", chat_id))
        path = await self._store.read_path(chat_id, writable("message_id", message_id))
        host = f"[{self.settings.host}]" if ":" in self.settings.host else self.settings.host
        server = Server(address.rstrip("/") or f"http://{host}:{self.settings.port}", bool(self.settings.api_key_hashes))
        return copied(kind, path, chat.summary.created_at, server, chat.options.setup)

    async def read_options(self, chat_id: str) -> TurnOptions:
        """What was chosen for the next turn of a chat. Raises ChatNotFound."""
        return await self._store.read_options(writable("chat_id", chat_id))

    async def save_options(self, chat_id: str, options: TurnOptions) -> None:
        """Keep what the person chose for the next turn."""
        await self._store.save_options(writable("chat_id", chat_id), options)

    async def show_version(self, chat_id: str, message_id: str) -> Chat:
        """Make that version of a message the one that is shown, and return the chat as it then is."""
        await self._store.show(writable("chat_id", chat_id), writable("message_id", message_id))
        return await self._store.read_chat(chat_id)

    def send(
        self, chat_id: str, text: str, options: TurnOptions, attached: tuple[str, ...] = (), after: str | None = None
    ) -> AsyncGenerator[TurnEvent, None]:
        """Keep the user's message and stream the answer, kept as it grows. A Failed before TurnStarted means that nothing was kept.

        `attached` are the ids of attachments that wait to come with it. `after` is the last message that the person saw, "" for none:
        where the chat has gone on since, that is a ChatChanged.
        """
        return ending_in_failed(self._turns.send(chat_id, text, options, attached, after))

    def regenerate(self, chat_id: str, message_id: str, options: TurnOptions) -> AsyncGenerator[TurnEvent, None]:
        """Stream a new version of that answer; the earlier ones stay beside it."""
        return ending_in_failed(self._turns.regenerate(chat_id, message_id, options))

    def replay(self, chat_id: str, message_id: str) -> AsyncGenerator[TurnEvent, None]:
        """Stream an answer again with what made it, as another version; its note says whether it came out the same."""
        return ending_in_failed(self._turns.replay(chat_id, message_id))

    async def weights_changed(self, chat_id: str, message_id: str) -> bool:
        """Whether the model that made an answer has other weights now; it is loaded to be asked.

        Raises InvalidRequest where what made the answer is not known, ModelNotFound and the errors of loading.
        """
        answer = (await self._store.read_path(writable("chat_id", chat_id), writable("message_id", message_id)))[-1]
        card = await self.load(options_again(answer).model or "")
        return weights_changed(answer, card.fingerprint)

    def edit(self, chat_id: str, message_id: str, text: str, options: TurnOptions) -> AsyncGenerator[TurnEvent, None]:
        """Put another version of a user's message beside it and stream its answer."""
        return ending_in_failed(self._turns.edit(chat_id, message_id, text, options))

    def continue_answer(self, chat_id: str, message_id: str, options: TurnOptions) -> AsyncGenerator[TurnEvent, None]:
        """Stream more of an answer that was cut or stopped; TurnStarted says `resumed`, and the text grows in the same message."""
        return ending_in_failed(self._turns.continue_answer(chat_id, message_id, options))
