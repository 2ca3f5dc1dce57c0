"""The frozen records every room shares: what is asked for and what a model is. They know nothing of HTTP, SQLite or MLX.

They are msgspec Structs, so the same objects travel over the worker's socket. Edges (api, cli, ui) validate first and build these.
"""

from typing import Any, Literal, dataclass_transform

import msgspec

Role = Literal["system", "developer", "user", "assistant", "tool"]
Channel = Literal["analysis", "commentary", "final"]
Effort = Literal["low", "medium", "high"]
ToolKind = Literal["function", "python", "browser", "apply_patch"]
Format = Literal["harmony", "template", "raw", "unsupported"]
LoopDetection = Literal["off", "cheap", "full"]
Speculation = Literal["auto", "off", "lookup", "draft"]
"""Who guesses the next tokens of an answer: whoever can; nobody; what stands in the conversation already; a draft model."""
AUTO_DRAFT = "auto"
"""As a draft model: the largest that fits."""
SpeculationKind = Literal["none", "lookup", "draft", "mixed"]

CHANNELS: tuple[Channel, ...] = ("analysis", "commentary", "final")
EFFORTS: tuple[Effort, ...] = ("low", "medium", "high")
LOOP_DETECTIONS: tuple[LoopDetection, ...] = ("off", "cheap", "full")
DEFAULT_CUTOFF = "2024-06"
SPECULATIONS: tuple[Speculation, ...] = ("auto", "off", "lookup", "draft")


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the frozen records; equality is by value."""


class ToolCall(Record):
    """One call a model made. `name` is OpenAI's: `get_weather`, `python`, `browser.search`, `apply_patch`; `arguments` is JSON text."""

    id: str
    name: str
    arguments: str


class Message(Record):
    """One message of a conversation, in the shape every format can render.

    An assistant message holds its final text in `content` (or its preamble, when it ends in `tool_calls`) and its thinking in
    `reasoning`. A tool message answers `tool_call_id`. Formats decide what of it a later prompt still shows.
    """

    role: Role
    content: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None


class Tool(Record):
    """A tool offered to the model. Built-in kinds need no more than their kind; functions carry name, description and JSON Schema."""

    kind: ToolKind
    name: str = ""
    description: str = ""
    parameters: dict[str, Any] | None = None


class RoleMapping(Record):
    """How a model without a chat template is shown who speaks, as mlx_lm.server has it: a prefix for each role, `stop` after each message.

    `system_prompt` stands first where the conversation brings no instructions.
    """

    system_prompt: str = ""
    system: str = ""
    developer: str = ""
    user: str = ""
    assistant: str = ""
    tool: str = ""
    stop: str = ""


class ChatPrompt(Record, tag="chat"):
    """A conversation to answer. Unset fields take the format's own default (formats.md)."""

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    effort: Effort = "medium"
    identity: str | None = None
    knowledge_cutoff: str = DEFAULT_CUTOFF
    start_date: str | None = None
    channels: tuple[Channel, ...] = CHANNELS
    continue_last: bool = False
    roles: RoleMapping | None = None


class TextPrompt(Record, tag="text"):
    """Raw text, no template: what /v1/completions and `generate --raw` send."""

    text: str


class TokenPrompt(Record, tag="tokens"):
    """Token ids, already rendered; each is checked against the vocabulary before it reaches mlx."""

    tokens: tuple[int, ...]


Prompt = ChatPrompt | TextPrompt | TokenPrompt


class Sampling(Record):
    """mlx-lm's filters, with formats.md's ranges.

    A penalty of None means what the model's own files say, else the format's default; top_p 0 or 1 is off; temperature 0 is argmax.
    """

    temperature: float = 1.0
    top_p: float = 0.0
    min_p: float = 0.0
    top_k: int = 0
    min_tokens_to_keep: int = 1
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.0
    xtc_special_tokens: tuple[int, ...] | None = None
    repetition_penalty: float | None = None
    repetition_context_size: int | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: dict[int, float] = {}
    seed: int = -1


class DraftChoice(Record):
    """A model that may guess for another, where it lies."""

    id: str
    path: str


class KvOptions(Record):
    """In what form the keys and values of one request are kept; unset is as the model computes them, all of them.

    `kv_bits` 8 or 4 packs them in groups of `kv_group_size` (unset: as fits) once there are `quantized_kv_start` of them; `max_kv_size`
    keeps so many at most, the first `kv_keep` and the latest. 0 says outright that the first or the third is not wanted.
    """

    kv_bits: int | None = None
    kv_group_size: int | None = None
    quantized_kv_start: int | None = None
    max_kv_size: int | None = None
    kv_keep: int | None = None


class GenerationRequest(Record):
    """All one generation needs. `max_tokens` None: the format's default. `top_logprobs` None: none; 0: the chosen token's only.

    `stop` is matched on visible text. `id` is unique per process. `trim`: a chat longer than the context loses its oldest whole turns
    instead of being refused. A `stop` that is one control token of the model ends the answer by its id as well; `end_tokens` are such
    control tokens and nothing else. After `analysis_budget` tokens thinking is closed and the model made to answer; 0 allows none.
    `max_context_tokens` caps the model's context, `context_margin` of which stays unused; `prompt_budget` caps the prompt alone.
    `chat` names the conversation it belongs to, where what is kept of it is shown; it changes nothing else.
    `speculation` changes how fast an answer comes and never which; at most `num_draft_tokens` are guessed at once, None: as many as pay.
    `draft_model` is an id, "auto" for the largest that fits, "" for none, which also unloads one, and None for what the settings say;
    `drafts` are the folders it may be, the best first, which the server fills in.
    """

    id: str
    prompt: Prompt
    sampling: Sampling = Sampling()
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    end_tokens: tuple[str, ...] = ()
    top_logprobs: int | None = None
    analysis_budget: int | None = None
    loop_detection: LoopDetection = "cheap"
    trim: bool = False
    max_context_tokens: int | None = None
    context_margin: int = 0
    prompt_budget: int | None = None
    chat: str = ""
    speculation: Speculation = "auto"
    num_draft_tokens: int | None = None
    draft_model: str | None = None
    drafts: tuple[DraftChoice, ...] = ()
    kv: KvOptions = KvOptions()


class PromptCount(Record):
    """What a prompt takes, in tokens. `total` is the whole of it as rendered; beyond `limit` the messages at `dropped` go.

    `messages` counts each of the prompt's messages, empty where the model's format does not render them one by one; `sent` is what
    the model is given after dropping; `tokenised` how many messages had to be tokenised for this, the others being known. `reused` of
    what is sent need no reading at this moment; the rest takes `seconds`, None before this model's pace is known.
    """

    total: int
    limit: int
    context_length: int
    sent: int
    messages: tuple[int, ...] = ()
    dropped: tuple[int, ...] = ()
    tokenised: int = 0
    reused: int = 0
    seconds: float | None = None


class LoadOptions(Record):
    """How a model is to be loaded. `path` is a folder on this machine.

    `adapter` is the folder of LoRA weights to put over it. `force`: it is loaded also where memory seems too little.
    What it reads is kept: in `cache_bytes` of memory (None: as this machine has room), and in `cache_folder`, with whatever other models
    keep there, in `cache_disk_bytes`; without a folder in memory only. At most `cache_entries` at once, 0 for any number.
    """

    path: str
    adapter: str = ""
    force: bool = False
    max_context_tokens: int | None = None
    cache_bytes: int | None = None
    cache_folder: str = ""
    cache_disk_bytes: int = 0
    cache_entries: int = 0


class Numerics(Record):
    """What the same weights may answer differently with: the device, the types it computes in, the versions. "" is not known."""

    device: str = ""
    types: str = ""
    mlx: str = ""
    mlx_lm: str = ""


class ModelCard(Record):
    """What a loaded model says of itself. Bytes are the weights in memory; `context_length` in tokens.

    `peak_bytes` is the most memory that loading it took, 0 where that is not known.
    """

    format: Format
    architecture: str
    context_length: int
    vocabulary_size: int
    weight_bytes: int
    parameters: int
    device: str
    fingerprint: str
    notes: tuple[str, ...] = ()
    peak_bytes: int = 0
    numerics: Numerics = Numerics()


class ModelEntry(Record):
    """One model on disk, as the catalogue found it without opening the weights.

    With an `adapter`, a folder of LoRA weights, it is the model in `path` with these over it: what the adapter is of is named in `base`,
    by its id where it is here, and `bytes` are the adapter's alone. An alias or a profile stands for others and has no folder.
    """

    id: str
    path: str
    bytes: int
    architecture: str
    format: Format
    source: Literal["bundled", "folder", "hub_cache", "alias", "profile"]
    bits: int | None = None
    context_length: int | None = None
    modified_at: float = 0.0
    problem: str = ""
    adapter: str = ""
    base: str = ""

    @property
    def folder(self) -> str:
        """The folder that is this model's own."""
        return self.adapter or self.path


class MemoryNeed(Record):
    """What loading a model takes, and what there is, in bytes. `least` is with the shortest useful context, `usual` with a usual one.

    `free` may be taken at this moment, `limit` is for all models together; None where that is not known, or where there is none.
    """

    least: int
    usual: int
    free: int | None = None
    limit: int | None = None


class Speculated(Record):
    """What guessing ahead brought for one answer: of `drafted` tokens, checked in `passes`, `accepted` were what the answer said next.

    `kind` is who guessed; `draft_model` the draft model's id, "" for none. `paused`: for most of the answer guessing would have cost
    more time than it saves. `note` says why there was no draft model, or no guess.
    """

    kind: SpeculationKind = "none"
    drafted: int = 0
    accepted: int = 0
    passes: int = 0
    draft_model: str = ""
    paused: bool = False
    note: str = ""


class Usage(Record):
    """Token counts of one generation; `cached_tokens` of the prompt were not read again."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0


class Timings(Record):
    """What one generation took. Milliseconds; `prompt_n` counts the tokens really read (prompt less cached).

    At its end `kv_length` tokens were held by the layer that holds the most, and all layers together took `kv_bytes`. `peak_bytes` is the
    most memory that the model's process ever took, and `kept_bytes` what it keeps of prompts; 0 where that is not known.
    """

    prompt_n: int
    cached_n: int
    prompt_ms: float
    predicted_n: int
    predicted_ms: float
    queued_ms: float = 0.0
    first_token_ms: float = 0.0
    kv_length: int = 0
    kv_bytes: int = 0
    peak_bytes: int = 0
    kept_bytes: int = 0

    @property
    def predicted_per_second(self) -> float:
        return self.predicted_n / self.predicted_ms * 1000 if self.predicted_ms > 0 else 0.0


class ChatName(Record):
    """A chat as it is named elsewhere: enough to tell of it and to open it."""

    id: str
    title: str


class ChatUses(Record):
    """In how many chats a model answered, and the few of them that were used last, the last one first."""

    count: int = 0
    latest: tuple[ChatName, ...] = ()
