"""The prompt config: every field, its range and its default, as an edge model. Knows neither files nor what a field then does."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from mlx_harmony.field import LARGEST, LARGEST_SEED
from mlx_harmony.kv_ranges import KV_FIELDS
from mlx_harmony.prompting.placeholders import moment
from mlx_harmony.prompting.reading import Expects
from mlx_harmony.prompting.records import DEFAULT_TRUNCATION
from mlx_harmony.ranges import MAX_TOKENS, MOST_STOPS, SAMPLING_FIELDS
from mlx_harmony.records import DEFAULT_CUTOFF

DETERMINISTIC_TIME = "2000-01-01T00:00:00Z"
_NUMBERS = {field.name: field for field in (*SAMPLING_FIELDS, MAX_TOKENS)}
_KV = {field.name: field.help for field in KV_FIELDS}
_ANY_CASE = "^([Ll][Oo][Ww]|[Mm][Ee][Dd][Ii][Uu][Mm]|[Hh][Ii][Gg][Hh])$"


def _number(name: str) -> Any:
    """A number of the one table of ranges, with its default."""
    field = _NUMBERS[name]
    return Field(default=field.default, ge=field.low, le=LARGEST_SEED if name == "seed" else field.high, description=field.help)


def _iso(text: str | None) -> str | None:
    if text is not None:
        moment(text)
    return text


Token = Annotated[int, Field(ge=0, le=LARGEST)]
Stop = Annotated[str, Field(min_length=1)]
Key = Annotated[str, Field(min_length=1, pattern=r"^[^{}<>|]+$")]


class ExampleMessage(BaseModel):
    """One message of an example dialogue."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    role: Literal["system", "developer", "user", "assistant"]
    content: str


class PromptConfig(BaseModel):
    """How a chat begins and how its answers are drawn. Every field may be left out or null, which means its default."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, title="MLX Harmony prompt config")

    system_model_identity: str | None = Field(None, description="Who the model is told it is; Harmony's own sentence where unset.")
    reasoning_effort: Annotated[str | None, Expects("low, medium or high")] = Field(
        "medium", pattern=_ANY_CASE, description="How long the model thinks: low, medium or high, in any case."
    )
    conversation_start_date: str | None = Field(None, description="The day the model is told, such as <|DATE|>; today where unset.")
    knowledge_cutoff: str | None = Field(DEFAULT_CUTOFF, description="Up to when the model is told that it knows things.")
    developer_instructions: str | None = Field(None, description="Instructions that stand above the whole chat.")
    assistant_greeting: str | None = Field(None, description="The first message of a new chat, spoken by the assistant.")
    example_dialogues: Annotated[list[list[ExampleMessage]] | None, Expects("a list of dialogues, each a list of messages")] = Field(
        None, description="Dialogues the model sees before the chat's own."
    )
    placeholders: Annotated[dict[Key, str] | None, Expects("an object that gives names their texts")] = Field(
        {}, description="Texts for {key} and <|KEY|>; assistant and user name the speakers."
    )

    deterministic_time_enabled: bool | None = Field(False, description="Whether the time stands still, so that prompts come out the same.")
    deterministic_time_iso: Annotated[str | None, Expects("a time in ISO 8601, as in 2026-01-27T12:00:00Z"), AfterValidator(_iso)] = Field(
        None, description=f"The time that then holds, in ISO 8601; {DETERMINISTIC_TIME} where unset."
    )
    seed: int | None = _number("seed")
    reseed_each_turn: bool | None = Field(
        False, description="Whether each turn has a seed of its own, the seed counted up by one a turn, instead of all the same."
    )

    max_tokens: int | None = _number("max_tokens")
    max_context_tokens: int | None = Field(None, ge=1, le=LARGEST, description="The longest context, if below the model's own.")
    max_context_tokens_margin: int | None = Field(0, ge=0, le=LARGEST, description="Tokens of the context that stay unused.")
    max_kv_size: int | None = Field(None, ge=1, le=LARGEST, description=_KV["max_kv_size"])
    kv_keep: int | None = Field(None, ge=0, le=LARGEST, description=_KV["kv_keep"])
    kv_bits: Annotated[Literal[0, 4, 8] | None, Expects("0, 4 or 8")] = Field(None, description=_KV["kv_bits"])
    kv_group_size: Annotated[Literal[32, 64, 128] | None, Expects("32, 64 or 128")] = Field(None, description=_KV["kv_group_size"])
    quantized_kv_start: int | None = Field(None, ge=0, le=LARGEST, description=_KV["quantized_kv_start"])
    performance_mode: bool | None = Field(False, description="Whether the perf_ fields count.")
    perf_max_tokens: int | None = Field(None, ge=1, le=LARGEST, description="The longest answer in performance mode.")
    perf_max_context_tokens: int | None = Field(None, ge=1, le=LARGEST, description="The longest context in performance mode.")
    perf_max_kv_size: int | None = Field(None, ge=1, le=LARGEST, description="The KV window in performance mode.")
    perf_prompt_token_budget: int | None = Field(None, ge=1, le=LARGEST, description="The longest prompt in performance mode.")

    temperature: float | None = _number("temperature")
    top_p: float | None = _number("top_p")
    min_p: float | None = _number("min_p")
    top_k: int | None = _number("top_k")
    min_tokens_to_keep: int | None = _number("min_tokens_to_keep")
    xtc_probability: float | None = _number("xtc_probability")
    xtc_threshold: float | None = _number("xtc_threshold")
    xtc_special_tokens: Annotated[list[Token] | None, Expects("a list of token ids")] = Field(
        None, description="Token ids that XTC never excludes; where unset, what ends an answer and the line break."
    )
    repetition_penalty: float | None = _number("repetition_penalty")
    repetition_context_size: int | None = _number("repetition_context_size")
    presence_penalty: float | None = _number("presence_penalty")
    frequency_penalty: float | None = _number("frequency_penalty")
    loop_detection: Literal["off", "cheap", "full"] | None = Field("cheap", description="How an answer that goes in circles is noticed.")
    end_token_strings: Annotated[list[Stop] | None, Expects(f"a list of at most {MOST_STOPS} texts")] = Field(
        None, max_length=MOST_STOPS, description="Texts that end an answer."
    )

    truncate_thinking: int | None = Field(
        DEFAULT_TRUNCATION, ge=0, le=LARGEST, description="Characters of the thinking that a terminal shows; display only."
    )
    truncate_response: int | None = Field(
        DEFAULT_TRUNCATION, ge=0, le=LARGEST, description="Characters of the answer that a terminal shows; display only."
    )

    mlock: bool | None = Field(False, description="Whether weights are locked in memory.")
    lazy: bool | None = Field(False, description="Whether weights are read when first used.")
    clear_cache: bool | None = Field(True, description="Whether MLX's cache is cleared while a prompt is read.")
    clear_cache_interval: int | None = Field(1, ge=0, le=LARGEST, description="After how many pieces of the prompt it is cleared.")
    clear_cache_generation: bool | None = Field(False, description="Whether it is cleared while the answer is written.")
    log_memory_stats: bool | None = Field(False, description="Whether figures of memory are logged.")
    log_timing_stats: bool | None = Field(False, description="Whether figures of time are shown after each answer in the terminal.")
    logs_dir: str | None = Field(None, description="A folder for logs.")
    chats_dir: str | None = Field(None, description="A folder for chats.")
    models_dir: str | None = Field(None, description="A folder whose sub-folders are models.")
    max_tool_iterations: int | None = Field(10, ge=0, le=LARGEST, description="How often a turn may go on after a tool's result.")
    max_resume_attempts: int | None = Field(2, ge=0, le=LARGEST, description="How often a cut answer goes on by itself.")

    @model_validator(mode="before")
    @classmethod
    def _null_is_unset(cls, data: Any) -> Any:
        return {name: value for name, value in data.items() if value is not None} if isinstance(data, dict) else data

    @field_validator("reasoning_effort")
    @classmethod
    def _lower(cls, effort: str | None) -> str | None:
        return effort.lower() if effort else effort
