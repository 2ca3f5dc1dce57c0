"""The shape of a chat completion request, as OpenAI has it and with our own fields beside it. Types only.

Wrong types are refused, unknown fields ignored, as OpenAI's clients expect. Ranges are `mlx_harmony.ranges`'s, meaning is `chat_request`'s.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

MOST_MESSAGES = 10_000
MOST_TOOLS = 128
LONGEST_PREFIX = 10_000

Role = Literal["system", "developer", "user", "assistant", "tool", "function"]


class Shape(BaseModel):
    """Base of the request's parts: strict about types, deaf to unknown names."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class PartField(Shape):
    """One piece of a message's content; only text is understood, the rest is named in the refusal."""

    type: str
    text: str | None = None
    refusal: str | None = None


def _parts(value: object) -> object:
    """A plain string is one text part. Said here, because a union would blame both its halves in one breath."""
    if isinstance(value, str):
        return [{"type": "text", "text": value}]
    if value is not None and not isinstance(value, list):
        raise PydanticCustomError("content", "must be a string or a list of content parts")
    return value


def _strings(value: object) -> object:
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        raise PydanticCustomError("stop", "must be a string or a list of strings")
    return value


def _token_ids(value: object) -> object:
    """OpenAI's JSON writes token ids as object keys, which are strings."""
    if not isinstance(value, dict):
        return value
    if not all(isinstance(key, str) and key.isascii() and key.isdigit() and len(key) < 12 for key in value):
        raise PydanticCustomError("logit_bias", "must have token ids as its keys")
    return {int(key): bias for key, bias in value.items()}


class CalledFunction(Shape):
    name: str
    arguments: str


class CallField(Shape):
    """A call the assistant made earlier, sent back as it came."""

    id: str
    type: str = "function"
    function: CalledFunction


class MessageField(Shape):
    role: Role
    content: Annotated[list[PartField] | None, BeforeValidator(_parts)] = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[CallField] | None = None
    tool_call_id: str | None = None
    name: str | None = None


class FunctionField(Shape):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class ToolField(Shape):
    """An OpenAI function tool, or one of the three built-in ones by its bare type."""

    type: Literal["function", "python", "browser", "apply_patch"]
    function: FunctionField | None = None


class StreamOptions(Shape):
    include_usage: bool | None = None


class ResponseFormat(Shape):
    type: str


class ChatBody(Shape):
    """POST /v1/chat/completions. None means: as if the field were not there; a draft_model of null is none."""

    messages: Annotated[list[MessageField], Field(max_length=MOST_MESSAGES)]
    model: str | None = None
    adapter: str | None = None
    adapters: str | None = None
    tools: Annotated[list[ToolField], Field(max_length=MOST_TOOLS)] | None = None
    tool_choice: str | dict[str, Any] | None = None
    functions: list[Any] | None = None
    reasoning_effort: str | None = None
    system_model_identity: str | None = None
    conversation_start_date: str | None = None
    knowledge_cutoff: str | None = None
    role_mapping: dict[str, Annotated[str, Field(max_length=LONGEST_PREFIX)]] | None = None
    response_format: ResponseFormat | None = None
    modalities: list[str] | None = None
    n: int | None = None

    temperature: float | None = None
    top_p: float | None = None
    min_p: float | None = None
    top_k: int | None = None
    min_tokens_to_keep: int | None = None
    xtc_probability: float | None = None
    xtc_threshold: float | None = None
    xtc_special_tokens: list[int] | None = None
    repetition_penalty: float | None = None
    repetition_context_size: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: Annotated[dict[int, float], BeforeValidator(_token_ids)] | None = None
    seed: int | None = None

    stop: Annotated[list[str], BeforeValidator(_strings)] = []
    end_tokens: list[str] | None = None
    reasoning_budget: int | None = None
    loop_detection: str | None = None
    speculation: str | None = None
    draft_model: str | None = None
    num_draft_tokens: int | None = None
    channels: list[str] | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    kv_bits: int | None = None
    kv_group_size: int | None = None
    quantized_kv_start: int | None = None
    max_kv_size: int | None = None
    kv_keep: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None

    stream: bool | None = None
    stream_options: StreamOptions | None = None


class LoadBody(Shape):
    """POST /v1/models/load; with `stream` how far it is comes as lines of JSON."""

    model: str
    force: bool = False
    stream: bool = False


class UnloadBody(Shape):
    """POST /v1/models/unload."""

    model: str


class PinBody(Shape):
    """POST /v1/models/pin."""

    model: str
    pinned: bool = True


class UseBody(Shape):
    """POST /v1/models/use."""

    model: str


class CacheBody(Shape):
    """POST /v1/caches; `entry` is of no use to `clear`."""

    model: str
    action: Literal["pin", "unpin", "drop", "clear"]
    entry: str = ""


class ReadBody(Shape):
    """POST /files/caches/read; `name` is the file's, `system` stands above the prompt."""

    model: str
    prompt: str
    name: str
    system: str = ""
    replace: bool = False
