"""What one turn will ask and store, worked out before anything happens. Pure but for ids and the clock; knows no store and no provider."""

import time
import uuid
from functools import cache
from importlib.metadata import version
from typing import NamedTuple

import msgspec

from mlx_harmony.conversation.attachments import MOST
from mlx_harmony.conversation.history import can_continue, continued_prompt, prompt_of, told_ids
from mlx_harmony.conversation.records import Attachment, Chat, ChatMessage, Provenance, TurnOptions, TurnStarted
from mlx_harmony.errors import InvalidRequest
from mlx_harmony.events import Trimmed
from mlx_harmony.field import LARGEST_SEED
from mlx_harmony.prompting.records import ChatSetup
from mlx_harmony.ranges import check_request
from mlx_harmony.records import ChatPrompt, GenerationRequest, LoopDetection, ModelEntry, Sampling

Path = tuple[ChatMessage, ...]


class Plan(NamedTuple):
    """All that one turn needs: `answer` as it begins, `stored` what the turn adds to the tree, `resumed` the answer before it went on.

    `told` names the message behind each message of the prompt, "" for the instructions. `original` is the answer that is replayed.
    `aside` is a whole chat that is new with this turn and begins in the trash.
    """

    entry: ModelEntry
    options: TurnOptions
    answer: ChatMessage
    request: GenerationRequest
    stored: Path = ()
    title: str | None = None
    resumed: ChatMessage | None = None
    told: tuple[str, ...] = ()
    original: ChatMessage | None = None
    aside: Chat | None = None

    @property
    def started(self) -> TurnStarted:
        """How the turn is announced."""
        return TurnStarted(
            chat_id=self.answer.chat_id,
            user_message_id=self.answer.parent_id or "",
            assistant_message_id=self.answer.id,
            model=self.entry.id,
            resumed=self.resumed is not None,
        )


class Asked(NamedTuple):
    """Who is to answer, with which options, and when the chat began, which dates the whole of it."""

    entry: ModelEntry
    options: TurnOptions
    created_at: float


def new_answer(path: Path, asked: Asked, stored: Path = ()) -> Plan:
    """A new answer to the last message of the path; `stored` is what of the path is new. Raises InvalidRequest for options out of range."""
    answer = ChatMessage(
        id=new_id(),
        chat_id=path[-1].chat_id,
        role="assistant",
        content="",
        created_at=time.time(),
        parent_id=path[-1].id,
        state="streaming",
        provenance=_provenance(asked, path),
    )
    request = _request(answer, prompt_of(path, asked.options, asked.created_at), asked.options, path)
    return Plan(asked.entry, asked.options, answer, request, (*stored, answer), told=told_ids(path, asked.options))


def continued_answer(path: Path, asked: Asked) -> Plan:
    """More of the last message of the path. Raises InvalidRequest where it is no answer that was cut in its text."""
    old = path[-1]
    if not can_continue(old):
        raise InvalidRequest(
            "Only an answer that was cut in the middle of its text can go on.", hint="Regenerate it instead.", param="message_id"
        )
    made = old.provenance or _provenance(asked, path[:-1])
    answer = msgspec.structs.replace(
        old, state="streaming", error=None, repaired="", note="", provenance=msgspec.structs.replace(made, continued=True)
    )
    request = _request(answer, continued_prompt(path, asked.options, asked.created_at), asked.options, path[:-1])
    request = msgspec.structs.replace(request, id=new_id())
    told = (*told_ids(path[:-1], asked.options), old.id)
    return Plan(asked.entry, asked.options, answer, request, resumed=old, told=told)


def named(event: Trimmed, told: tuple[str, ...]) -> Trimmed:
    """The event with the ids of the messages that the model does not see."""
    return msgspec.structs.replace(event, message_ids=tuple(told[at] for at in event.messages if told[at]))


def user_message(chat_id: str, text: str, parent_id: str | None, attachments: tuple[Attachment, ...] = ()) -> ChatMessage:
    """What a person typed and attached. Raises InvalidRequest for nothing but blanks, or too many attachments."""
    if not text.strip() and not attachments:
        raise InvalidRequest("Type a message first.", param="text")
    if len(attachments) > MOST:
        raise InvalidRequest(f"At most {MOST} files can come with one message.", hint="Take some off.", param="attachments")
    now = time.time()
    return ChatMessage(
        id=new_id(), chat_id=chat_id, role="user", content=text, created_at=now, parent_id=parent_id, attachments=attachments
    )


def new_id() -> str:
    """A fresh id, as every chat and message has one."""
    return uuid.uuid4().hex


def _request(answer: ChatMessage, prompt: ChatPrompt, options: TurnOptions, path: Path) -> GenerationRequest:
    request = GenerationRequest(
        id=answer.id,
        chat=answer.chat_id,
        prompt=prompt,
        sampling=_sampling(options, path),
        stop=options.stop,
        end_tokens=options.end_tokens,
        analysis_budget=options.analysis_budget,
        loop_detection=loop_detection(options),
        speculation=options.speculation,
        num_draft_tokens=options.num_draft_tokens,
        draft_model=options.draft_model,
    )
    request = fitting(request, options)
    check_request(request)
    return request


def fitting(request: GenerationRequest, options: TurnOptions) -> GenerationRequest:
    """The request with all that decides how much of a chat its prompt holds, and how much of it was read before."""
    setup = options.setup or ChatSetup()
    return msgspec.structs.replace(
        request,
        trim=True,
        max_tokens=options.max_tokens,
        max_context_tokens=_context_limit(options),
        context_margin=setup.max_context_tokens_margin,
        prompt_budget=setup.prompt_token_budget,
        kv=options.kv,
    )


def _sampling(options: TurnOptions, path: Path) -> Sampling:
    """The sampling of the next answer. Where each turn has a seed of its own, a chosen one is counted up by one a turn."""
    sampling = options.sampling
    if not reseeds(options) or options.exact_seed or sampling.seed < 0:
        return sampling
    turns = sum(message.role == "user" for message in path)
    return msgspec.structs.replace(sampling, seed=(sampling.seed + max(0, turns - 1)) % (LARGEST_SEED + 1))


def _context_limit(options: TurnOptions) -> int | None:
    """What the person chose, else what the chat's setup says, in tokens."""
    return options.max_context_tokens or (options.setup.max_context_tokens if options.setup else None)


def reseeds(options: TurnOptions) -> bool:
    """Whether each turn has a seed of its own: what the person chose, else what the chat's setup says, else not."""
    chosen = options.reseed_each_turn
    return chosen if chosen is not None else options.setup is not None and options.setup.reseed_each_turn


def loop_detection(options: TurnOptions) -> LoopDetection:
    """What the person chose, else what the chat's setup says, else the default."""
    return options.loop_detection or (options.setup.loop_detection if options.setup else "cheap")


def _provenance(asked: Asked, path: Path) -> Provenance:
    options = asked.options
    return Provenance(
        model=asked.entry.id,
        sampling=_sampling(options, path),
        effort=options.effort,
        identity=options.identity,
        instructions=options.instructions,
        max_tokens=options.max_tokens,
        max_context_tokens=_context_limit(options),
        stop=options.stop,
        end_tokens=options.end_tokens,
        channels=options.channels,
        analysis_budget=options.analysis_budget,
        loop_detection=loop_detection(options),
        speculation=options.speculation,
        draft_model=options.draft_model,
        num_draft_tokens=options.num_draft_tokens,
        tools=options.tools,
        kv=options.kv,
        version=_version(),
    )


@cache
def _version() -> str:
    return version("mlx-harmony")
