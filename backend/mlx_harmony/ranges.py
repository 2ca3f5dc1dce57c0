"""The one table of what may be asked of a generation: the page's sliders, the API's checks and the terminal's flags come from it.

It knows the ranges and says them; it does not know a model's vocabulary or context, which the worker checks.
"""

from collections.abc import Iterable

import msgspec

from mlx_harmony.errors import InvalidRequest
from mlx_harmony.field import LARGEST, LARGEST_SEED, Field, check_field
from mlx_harmony.kv_ranges import check_kv
from mlx_harmony.records import (
    CHANNELS,
    LOOP_DETECTIONS,
    SPECULATIONS,
    ChatPrompt,
    GenerationRequest,
    Prompt,
    Sampling,
    TextPrompt,
    TokenPrompt,
)

MOST_STOPS = 16
MOST_TOP_LOGPROBS = 20
BIAS_LIMIT = 100.0
LIST_OF_IDS = "token ids of 0 or more with commas between them, or none"


SAMPLING_FIELDS: tuple[Field, ...] = (
    Field(
        name="temperature",
        label="Temperature",
        low=0,
        high=2,
        default=1.0,
        step=0.05,
        help="How freely words are chosen; 0 always takes the likeliest.",
    ),
    Field(
        name="top_p",
        label="Top P",
        low=0,
        high=1,
        default=0.0,
        step=0.01,
        help="Keeps the likeliest tokens until they add up to this share; 0 or 1 is off.",
    ),
    Field(
        name="min_p",
        label="Min P",
        low=0,
        high=1,
        default=0.0,
        step=0.01,
        help="Drops tokens less likely than this share of the likeliest one; 0 is off.",
    ),
    Field(
        name="top_k",
        label="Top K",
        low=0,
        high=LARGEST,
        slider_high=200,
        default=0,
        step=1,
        integer=True,
        help="Keeps only this many of the likeliest tokens; 0 is off.",
    ),
    Field(
        name="repetition_penalty",
        label="Repetition penalty",
        group="repetition",
        low=0,
        high=LARGEST,
        slider_high=2,
        default=None,
        step=0.01,
        help="Above 1 makes what was already said less likely; 1 is off, unset is the model's usual value.",
    ),
    Field(
        name="repetition_context_size",
        label="Repetition window",
        group="repetition",
        low=0,
        high=LARGEST,
        slider_high=2048,
        default=None,
        step=1,
        integer=True,
        help="How many of the last tokens the repetition penalties look at.",
    ),
    Field(
        name="presence_penalty",
        label="Presence penalty",
        group="repetition",
        low=-2,
        high=2,
        default=0.0,
        step=0.05,
        help="Above 0 makes any token that already occurred less likely.",
    ),
    Field(
        name="frequency_penalty",
        label="Frequency penalty",
        group="repetition",
        low=-2,
        high=2,
        default=0.0,
        step=0.05,
        help="Above 0 makes a token less likely each time it occurs.",
    ),
    Field(
        name="xtc_probability",
        label="XTC probability",
        group="advanced",
        low=0,
        high=1,
        default=0.0,
        step=0.01,
        help="How often the top choices are left out so that a less usual word is taken; 0 is off.",
    ),
    Field(
        name="xtc_threshold",
        label="XTC threshold",
        group="advanced",
        low=0,
        high=0.5,
        default=0.0,
        step=0.01,
        help="Which tokens count as top choices: those at least this likely.",
    ),
    Field(
        name="min_tokens_to_keep",
        label="Tokens always kept",
        group="advanced",
        low=1,
        high=LARGEST,
        slider_high=20,
        default=1,
        step=1,
        integer=True,
        help="Filters never leave fewer tokens than this to choose from.",
    ),
    Field(
        name="seed",
        label="Seed",
        group="advanced",
        low=-1,
        high=LARGEST_SEED,
        slider_high=LARGEST,
        default=-1,
        step=1,
        integer=True,
        help="The same seed gives the same answer again; -1 draws a new one each time.",
    ),
)
"""Every plain number of Sampling, in the order a person reads them."""

MAX_TOKENS = Field(
    name="max_tokens",
    label="Longest answer",
    group="length",
    low=1,
    high=LARGEST,
    slider_high=8192,
    default=None,
    step=1,
    integer=True,
    help="The answer, thinking included, ends after this many tokens; unset is the model's usual limit.",
)


ANALYSIS_BUDGET = Field(
    name="analysis_budget",
    label="Thinking budget",
    group="length",
    low=0,
    high=LARGEST,
    slider_high=8192,
    default=None,
    step=1,
    integer=True,
    help="After this many tokens of thinking the model is made to answer; 0 allows none, unset is no budget.",
)

CONTEXT_LIMIT = Field(
    name="max_context_tokens",
    label="Context limit",
    group="length",
    low=1,
    high=LARGEST,
    slider_high=131072,
    default=None,
    step=1,
    integer=True,
    help="The chat and its answer keep within this many tokens, the oldest turns going first; unset is all the model can hold.",
)

NUM_DRAFT_TOKENS = Field(
    name="num_draft_tokens",
    label="Guessed tokens",
    group="advanced",
    low=1,
    high=8,
    default=None,
    step=1,
    integer=True,
    help="How many tokens are guessed at once, at most; unset is as many as pay. It changes how fast an answer comes, not what it says.",
)

TURN_FIELDS: tuple[Field, ...] = (MAX_TOKENS, ANALYSIS_BUDGET, CONTEXT_LIMIT, NUM_DRAFT_TOKENS)
"""Every plain number of a turn beside its sampling; None is unset."""


def check_sampling(sampling: Sampling) -> None:
    """Raise InvalidRequest, with `param` and the range, for the first value that cannot be used."""
    for field in SAMPLING_FIELDS:
        check_field(field, getattr(sampling, field.name))
    _check_ids("xtc_special_tokens", sampling.xtc_special_tokens or ())
    _check_ids("logit_bias", sampling.logit_bias)
    for bias in sampling.logit_bias.values():
        if isinstance(bias, bool) or not isinstance(bias, int | float) or not abs(bias) <= BIAS_LIMIT:
            raise InvalidRequest(f"logit_bias must hold numbers from -{BIAS_LIMIT:g} to {BIAS_LIMIT:g}.", param="logit_bias")


def check_request(request: GenerationRequest) -> None:
    """Raise InvalidRequest for anything in the request that no model could take."""
    check_sampling(request.sampling)
    check_field(MAX_TOKENS, request.max_tokens)
    check_field(ANALYSIS_BUDGET, request.analysis_budget)
    check_field(CONTEXT_LIMIT, request.max_context_tokens)
    check_field(NUM_DRAFT_TOKENS, request.num_draft_tokens)
    check_kv(request.kv)
    check_stops(request.stop)
    check_stops(request.end_tokens, "end_tokens")
    if request.loop_detection not in LOOP_DETECTIONS:
        raise InvalidRequest(f"loop_detection must be one of {', '.join(LOOP_DETECTIONS)}.", param="loop_detection")
    if request.speculation not in SPECULATIONS:
        raise InvalidRequest(f"speculation must be one of {', '.join(SPECULATIONS)}.", param="speculation")
    if request.top_logprobs is not None and not 0 <= request.top_logprobs <= MOST_TOP_LOGPROBS:
        raise InvalidRequest(f"top_logprobs must be 0 to {MOST_TOP_LOGPROBS}.", param="top_logprobs")
    _check_prompt(request.prompt)
    try:
        msgspec.msgpack.encode(request)
    except (UnicodeEncodeError, OverflowError, TypeError) as error:
        raise InvalidRequest(
            "The request holds text or numbers that cannot be sent to a model, such as half a character.",
            hint="Remove unpaired surrogates and numbers beyond 64 bits.",
            param="prompt",
        ) from error


def token_ids(name: str, text: str) -> tuple[int, ...]:
    """The ids in `text`. Raises InvalidRequest, saying what it takes."""
    parts = [] if text.strip().lower() == "none" else text.strip("[] ").split(",")
    if not all(part.strip().isdecimal() and len(part) < 20 and int(part) <= LARGEST for part in parts):
        raise InvalidRequest(f"{name} must be {LIST_OF_IDS}; it was {text[:40]!r}.", param=name)
    return tuple(int(part) for part in parts)


def said_token_ids(ids: tuple[int, ...] | None) -> str:
    """The ids as they are typed; "" where they are left to the model."""
    return "" if ids is None else ", ".join(map(str, ids)) or "none"


def check_stops(stop: tuple[str, ...], param: str = "stop") -> None:
    """Raise InvalidRequest for too many stop strings or an empty one."""
    if len(stop) > MOST_STOPS:
        raise InvalidRequest(f"{param} takes at most {MOST_STOPS} strings.", param=param)
    if not all(stop):
        raise InvalidRequest(f"{param} must not hold an empty string.", param=param)


def check_channels(channels: tuple[str, ...]) -> None:
    """Raise InvalidRequest for a channel that Harmony does not have, for one named twice, and where final is missing."""
    unknown = next((channel for channel in channels if channel not in CHANNELS), None)
    if unknown is not None:
        raise InvalidRequest(f"{unknown[:40]!r} is no channel.", hint=f"Channels are {', '.join(CHANNELS)}.", param="channels")
    if "final" not in channels:
        raise InvalidRequest("The channel final cannot be left out: the answer comes on it.", hint="Add final.", param="channels")
    if len(set(channels)) < len(channels):
        raise InvalidRequest("channels names one channel twice.", hint="Name each once.", param="channels")


def _check_prompt(prompt: Prompt) -> None:
    match prompt:
        case ChatPrompt(messages=messages, channels=channels):
            check_channels(channels)
            if not messages:
                raise InvalidRequest("messages is empty.", hint="Send at least one message.", param="messages")
            last = messages[-1]
            if last.role == "user" and not last.content.strip():
                raise InvalidRequest("The last message is empty.", hint="Type a message first.", param="messages")
        case TextPrompt(text=text):
            if not text:
                raise InvalidRequest("prompt is empty.", hint="Send some text.", param="prompt")
        case TokenPrompt(tokens=tokens):
            if not tokens:
                raise InvalidRequest("prompt is empty.", hint="Send at least one token id.", param="prompt")
            _check_ids("prompt", tokens)


def _check_ids(param: str, ids: Iterable[object]) -> None:
    for token in ids:
        if isinstance(token, bool) or not isinstance(token, int) or not 0 <= token <= LARGEST:
            raise InvalidRequest(f"{param} must hold token ids, which are whole numbers of 0 or more.", param=param)
