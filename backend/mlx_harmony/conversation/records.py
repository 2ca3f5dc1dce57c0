"""What a chat is, as kept and as shown: frozen records without behaviour. They know nothing of SQLite or of the page."""

from typing import Literal

from mlx_harmony.events import Event, Failed
from mlx_harmony.prompting.records import ChatSetup
from mlx_harmony.records import (
    CHANNELS,
    Channel,
    Effort,
    KvOptions,
    LoopDetection,
    Numerics,
    Record,
    Role,
    Sampling,
    Speculated,
    Speculation,
    Timings,
    Tool,
    ToolCall,
    Usage,
)

UNTITLED = "New chat"

MessageState = Literal["complete", "streaming", "cancelled", "length", "failed", "interrupted"]
CopyKind = Literal["curl", "python", "cli"]
Encoding = Literal["utf-8", "utf-16", "latin-1"]


class Attachment(Record):
    """A text that came with a message. `name` is a file's own name, never a path.

    `characters` is the length of `content`, `bytes` that of the file, `encoding` how it was read. `pasted`: it was too long a paste.
    """

    id: str
    name: str
    content: str
    characters: int
    bytes: int
    encoding: Encoding = "utf-8"
    pasted: bool = False


class Lane(Record):
    """One Harmony message of a turn as the model wrote it: who spoke on which channel to whom, and what closed it.

    `ids` are its tokens and `sizes` the bytes of `raw` that each of them wrote, as in MessageEnded; empty in older chats.
    """

    channel: Channel
    text: str
    role: Role = "assistant"
    recipient: str | None = None
    content_type: str | None = None
    stop_token: str = ""
    raw: str = ""
    tokens: int = 0
    ids: tuple[int, ...] = ()
    sizes: tuple[int, ...] = ()


class Provenance(Record):
    """What made an answer, enough to make it again. `continued`: it was cut and went on later, so one run alone does not make it.

    Of answers of earlier releases `numerics` is not known.
    """

    model: str
    fingerprint: str = ""
    numerics: Numerics = Numerics()
    sampling: Sampling = Sampling()
    seed: int = 0
    effort: Effort = "medium"
    identity: str | None = None
    instructions: str = ""
    max_tokens: int | None = None
    max_context_tokens: int | None = None
    stop: tuple[str, ...] = ()
    end_tokens: tuple[str, ...] = ()
    channels: tuple[Channel, ...] = CHANNELS
    analysis_budget: int | None = None
    loop_detection: LoopDetection = "cheap"
    speculation: Speculation = "auto"
    draft_model: str | None = None
    num_draft_tokens: int | None = None
    tools: tuple[Tool, ...] = ()
    kv: KvOptions = KvOptions()
    continued: bool = False
    version: str = ""


class ChatMessage(Record):
    """One message of the tree. `parent_id` None is a root; siblings are versions of the same place.

    `thinking_ms` is how long the analysis channel took. `error` says what ended a failed or interrupted answer. `seen_from` is set on
    an answer whose model did not see the whole chat: the id of the oldest message it saw beside the instructions.
    """

    id: str
    chat_id: str
    role: Role
    content: str
    created_at: float
    parent_id: str | None = None
    attachments: tuple[Attachment, ...] = ()
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    state: MessageState = "complete"
    lanes: tuple[Lane, ...] = ()
    thinking_ms: float = 0.0
    usage: Usage | None = None
    timings: Timings | None = None
    speculation: Speculated | None = None
    provenance: Provenance | None = None
    error: Failed | None = None
    repaired: str = ""
    note: str = ""
    seen_from: str | None = None
    versions: tuple[str, ...] = ()


class TurnOptions(Record):
    """What the person chose for the next turn; kept with the chat so that it opens as it was left. `model` None: the default.

    `setup` None: as the chat has it, and in a new chat the program's own, if it was started with one. `reseed_each_turn`: a seed of 0 or
    more is counted up by one a turn. `exact_seed`: it is not, whatever else is said; so an answer is made again. `max_context_tokens`,
    `loop_detection` and `reseed_each_turn` None: the setup's.
    `speculation`, `draft_model` and `num_draft_tokens` as in a GenerationRequest.
    """

    model: str | None = None
    sampling: Sampling = Sampling()
    max_tokens: int | None = None
    max_context_tokens: int | None = None
    stop: tuple[str, ...] = ()
    end_tokens: tuple[str, ...] = ()
    channels: tuple[Channel, ...] = CHANNELS
    analysis_budget: int | None = None
    loop_detection: LoopDetection | None = None
    reseed_each_turn: bool | None = None
    speculation: Speculation = "auto"
    draft_model: str | None = None
    num_draft_tokens: int | None = None
    effort: Effort = "medium"
    identity: str | None = None
    instructions: str = ""
    tools: tuple[Tool, ...] = ()
    kv: KvOptions = KvOptions()
    setup: ChatSetup | None = None
    exact_seed: bool = False


class ChatSummary(Record):
    """A row of the chat list. Times are seconds since the epoch."""

    id: str
    title: str
    created_at: float
    updated_at: float
    messages: int = 0


class Chat(Record):
    """One chat with its active path, oldest message first."""

    summary: ChatSummary
    messages: tuple[ChatMessage, ...]
    options: TurnOptions = TurnOptions()


class Limits(Record):
    """How much is taken in at once: the bytes of one attachment and of a file of chats, the attachments of one message."""

    attachment_bytes: int
    attachments: int
    chats_bytes: int


class WholeChat(Record):
    """A chat with every version of every message: parents first, and of each place the version shown last. `positions` order versions."""

    chat: Chat
    positions: tuple[int, ...]


class ImportReport(Record):
    """What an import brought: the ids of the new chats, and in words what was mended, left out or could not be used."""

    imported: tuple[str, ...]
    warnings: tuple[str, ...] = ()


class TrashItem(Record):
    """Something deleted: a chat, or a message with all that followed it. `id` brings it back; `messages` counts what it holds.

    `excerpt` is how its first message begins.
    """

    id: str
    kind: Literal["chat", "message"]
    chat_id: str
    title: str
    trashed_at: float
    messages: int
    excerpt: str = ""


class ContextUse(Record):
    """What the next prompt of a chat takes of the context, in tokens; exact, as the model would be given it, unless `counted` says else.

    `counted`: `now` by the model itself, `before` by it when it was last awake, or an `estimate` in part, for the model sleeps.

    `total` is the whole chat with `draft`, the text being typed; `sent` what is left of it after `trimmed`, the ids of the messages
    that the model would not see, because `limit` keeps room for the answer within `context_length`. `messages` are (id, tokens) of the
    shown messages, empty where the model's format does not render them one by one. `reused` of what is sent need no reading, and the
    rest takes about `seconds`: both None where that is not known.
    """

    total: int
    sent: int
    limit: int
    context_length: int
    draft: int = 0
    messages: tuple[tuple[str, int], ...] = ()
    trimmed: tuple[str, ...] = ()
    counted: Literal["now", "before", "estimate"] = "now"
    reused: int | None = None
    seconds: float | None = None


class SearchHit(Record):
    """A title or message that holds what was searched for. `message_id` and `role` are None for a title.

    `snippet` is plain text of one line; `matches` are ranges in it, (start, end) in characters (code points), left to right.
    """

    chat_id: str
    title: str
    snippet: str
    matches: tuple[tuple[int, int], ...]
    updated_at: float
    message_id: str | None = None
    role: Role | None = None


class TurnStarted(Record, tag="turn_started"):
    """A turn began and both ends of it are on disk: the user's message and the answer that will grow.

    `resumed`: the answer already holds text and goes on; what the events bring is added to it.
    """

    chat_id: str
    user_message_id: str
    assistant_message_id: str
    model: str
    resumed: bool = False


TurnEvent = TurnStarted | Event
