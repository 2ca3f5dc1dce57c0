"""The one event union: what happens between a request and its end. Every stream ends in exactly one `Finished` or `Failed`.

Order: any number of Queued, Loading, at most one Routed, at most one Trimmed, Prefill; then for each message of the model
MessageStarted, its TextDelta or ToolCallDelta, MessageEnded; then the end. Text never holds control tokens nor half a character.
"""

from typing import Literal

from mlx_harmony.cache_records import Reuse
from mlx_harmony.errors import ERRORS, HarmonyError
from mlx_harmony.records import Channel, PromptCount, Record, Speculated, Timings, Usage

FinishReason = Literal["stop", "length", "tool_calls", "cancelled"]
WAITING = "Waiting until"
"""How the `stage` of a Loading begins while there is no room yet; it goes on with the models that have to answer first."""


class TokenLogprob(Record):
    """A token with its log-probability (natural log); `top` are the likeliest alternatives, best first."""

    token: str
    token_id: int
    logprob: float
    top: tuple[tuple[str, int, float], ...] = ()


class Queued(Record, tag="queued"):
    """Waiting; `position` 1 is next."""

    position: int


class Loading(Record, tag="loading"):
    """The model is being loaded; `fraction` 0 to 1, never falling."""

    stage: str
    fraction: float


class Routed(Record, tag="routed"):
    """An alias was asked, and `model` answers; `note` says so and why. It comes once that model is loaded."""

    alias: str
    model: str
    note: str


class Prefill(Record, tag="prefill"):
    """The prompt is being read: `done` of `total` tokens, of which `cached` needed no reading."""

    done: int
    total: int
    cached: int = 0


class Trimmed(Record, tag="trimmed"):
    """The chat was longer than the context: the model does not see the messages at these places of the prompt.

    In a chat's turn `message_ids` names them.
    """

    messages: tuple[int, ...]
    message_ids: tuple[str, ...] = ()


class Counted(Record, tag="counted"):
    """The answer to a question for a prompt's length; it ends that question and belongs to no generation."""

    count: PromptCount


class MessageStarted(Record, tag="message_started"):
    """The model opened message `index` of this turn. `recipient` is set on a tool call, as the model wrote it (`functions.get_weather`)."""

    index: int
    channel: Channel
    recipient: str | None = None
    content_type: str | None = None


class TextDelta(Record, tag="text"):
    """A piece of text on a channel: analysis is thinking, commentary speech before a call, final the answer."""

    index: int
    channel: Channel
    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


class ToolCallDelta(Record, tag="tool_call"):
    """A piece of a call: the first of a `call_id` carries `name` (OpenAI's), each carries a piece of the JSON text of its arguments."""

    index: int
    call_id: str
    name: str = ""
    arguments: str = ""


class MessageEnded(Record, tag="message_ended"):
    """Message `index` is complete. `stop_token` is what closed it (`<|end|>`, `<|return|>`, `<|call|>`) or "" where nothing did.

    `raw` is what the model really wrote, control tokens as text: for the lanes, never for the answer. `ids` are its tokens, and `sizes`
    how many bytes of `raw` each of them wrote; where that is not known, or bytes formed no character, the sizes do not sum up to `raw`.
    """

    index: int
    stop_token: str = ""
    raw: str = ""
    tokens: int = 0
    ids: tuple[int, ...] = ()
    sizes: tuple[int, ...] = ()


class Finished(Record, tag="finished"):
    """The end. `repaired` says in words what was malformed and mended, "" when nothing was.

    `note` says what a person should know though nothing is wrong: that thinking was cut at its budget, that a loop was ended. `reuse`
    says what of the prompt was not read again and why not more; None where no prompt was looked up. `speculation` says what guessing
    ahead brought; None where nothing was to be guessed.
    """

    reason: FinishReason
    usage: Usage
    timings: Timings
    seed: int = 0
    stop: str | None = None
    repaired: str = ""
    note: str = ""
    reuse: Reuse | None = None
    speculation: Speculated | None = None


class Failed(Record, tag="failed"):
    """The end by an error; what was shown before it stays shown and kept."""

    code: str
    message: str
    hint: str = ""
    param: str | None = None

    @classmethod
    def of(cls, error: HarmonyError) -> "Failed":
        return cls(code=error.code, message=error.message, hint=error.hint, param=error.param)

    def error(self) -> HarmonyError:
        """The exception this event stands for."""
        return ERRORS.get(self.code, HarmonyError)(self.message, hint=self.hint, param=self.param)


Event = (
    Queued | Loading | Routed | Prefill | Trimmed | Counted | MessageStarted | TextDelta | ToolCallDelta | MessageEnded | Finished | Failed
)
"""What a generation yields; match on it."""
