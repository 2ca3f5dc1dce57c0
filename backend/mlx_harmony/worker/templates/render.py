"""Renders a conversation through a model's own chat template into tokens. Owns what a template may cost, and that text stays text.

Wherever somebody's text holds a control token's name, a nonce stands in for it while the template runs; the name is then written in
its place as ordinary text. Everything else is tokenised exactly as transformers would.
"""

import re
import secrets
from bisect import bisect_right
from typing import Any

import jinja2
import msgspec

from mlx_harmony.errors import InvalidRequest
from mlx_harmony.records import ChatPrompt, Message
from mlx_harmony.worker.chat import MAX_TEXT_CHARACTERS
from mlx_harmony.worker.places import END, SYSTEM, TOOLS, agreeing, names_of
from mlx_harmony.worker.templates.deadline import DeadlineExceeded, within
from mlx_harmony.worker.templates.messages import template_messages, tool_schemas, variants
from mlx_harmony.worker.templates.pieces import Pieces
from mlx_harmony.worker.tokens import Tokens

RENDER_LIMIT_S = 5.0
_FAILURES = (
    jinja2.TemplateError,
    ArithmeticError,
    AttributeError,
    ImportError,
    LookupError,
    MemoryError,
    NotImplementedError,
    RecursionError,
    TypeError,
    ValueError,
)
Messages = list[dict[str, Any]]


class TemplateRenderer:
    """Runs one model's template. `limit_s` is the time one rendering may take."""

    def __init__(self, tokens: Tokens, limit_s: float = RENDER_LIMIT_S) -> None:
        self._tokens = tokens
        self.pieces = Pieces(tokens)
        self._tokenizer = tokens.tokenizer
        self._limit_s = limit_s
        source = self._tokenizer.chat_template
        texts = [source] if isinstance(source, str) else list(source.values()) if isinstance(source, dict) else []
        self.takes_tools = not texts or any(re.search(r"\btools\b", text) for text in texts)

    def render(self, prompt: ChatPrompt) -> tuple[list[int], tuple[int, ...]]:
        """Tokens and boundaries. Raises InvalidRequest where the template refuses the conversation or runs wild."""
        tools = tool_schemas(prompt.tools)
        if tools and not self.takes_tools:
            raise InvalidRequest(
                "This model's chat template takes no tools.", hint="Send the request without tools, or choose another model.", param="tools"
            )
        continued = self._continued(prompt)
        options = self._options(prompt) | ({"tools": tools} if tools else {})
        last_error = ""
        for messages in variants(template_messages(prompt)):
            try:
                tokens = self._encode(messages, options, continued=continued)
            except _FAILURES as error:
                last_error = str(error) or type(error).__name__
                continue
            if tokens:
                return tokens, self._boundaries(messages, options, tokens)
            last_error = "it renders nothing"
        raise InvalidRequest(
            f"The model's chat template refuses this conversation: {last_error[:500]}.",
            hint="Look at the order of the messages, or choose another model.",
            param="messages",
        )

    def place(self, prompt: ChatPrompt, tokens: list[int], position: int) -> str:
        """In which part of a rendered prompt a token stands: found by rendering its beginnings."""
        told = next((at for at, message in enumerate(prompt.messages) if message.role not in ("system", "developer")), len(prompt.messages))
        if position < self._agreed(prompt, tokens, told, standing_in=True):
            return TOOLS if self._in_tools(prompt, tokens, position) else names_of(prompt.messages[:1])[0] if told else SYSTEM
        counts = range(told + 1, len(prompt.messages) + 1)
        at = bisect_right(counts, position, key=lambda count: self._agreed(prompt, tokens, count))
        return names_of(prompt.messages)[counts[at] - 1] if at < len(counts) else END

    def _in_tools(self, prompt: ChatPrompt, tokens: list[int], position: int) -> bool:
        """Whether a token of the system block declares tools, which some templates put before the instructions and some after."""
        if not prompt.tools:
            return False
        told = tuple(message for message in prompt.messages if message.role in ("system", "developer"))
        others = tuple(msgspec.structs.replace(message, content="?") for message in told)
        alone = msgspec.structs.replace(prompt, messages=told)
        tools_at = self._agreed(msgspec.structs.replace(alone, tools=()), tokens, len(told), standing_in=True)
        told_at = self._agreed(msgspec.structs.replace(alone, messages=others), tokens, len(told), standing_in=True) if told else 0
        return tools_at <= position < told_at if tools_at < told_at else position >= tools_at

    def _agreed(self, prompt: ChatPrompt, tokens: list[int], count: int, *, standing_in: bool = False) -> int:
        """How far the prompt of the first messages alone is the same; a question may stand in for what follows them."""
        messages = (*prompt.messages[:count], *((Message(role="user", content="?"),) if standing_in else ()))
        shorter = msgspec.structs.replace(prompt, messages=messages, continue_last=False)
        tools = tool_schemas(prompt.tools)
        options = self._options(prompt) | ({"tools": tools} if tools else {})
        for variant in variants(template_messages(shorter)):
            try:
                return agreeing(self._encode(variant, options, generation=False), tokens)
            except _FAILURES:
                continue
        return 0

    def _continued(self, prompt: ChatPrompt) -> bool:
        if not prompt.continue_last:
            return False
        if not prompt.messages[-1].content:
            raise InvalidRequest(
                "Thinking without an answer cannot be continued with this model.", hint="Regenerate it instead.", param="messages"
            )
        return True

    def _options(self, prompt: ChatPrompt) -> dict[str, Any]:
        """Effort in the words that templates know: an on and off switch, or the effort's own name."""
        thinking = bool(self._tokenizer.has_thinking) and prompt.effort != "low"
        return {"enable_thinking": thinking, "reasoning_effort": prompt.effort}

    def _boundaries(self, messages: Messages, options: dict[str, Any], tokens: list[int]) -> tuple[int, ...]:
        """Where later prompts still agree: after the system block, before the last question and after the last two, as far as we see."""
        questions = [at for at, message in enumerate(messages) if message["role"] == "user"]
        ends = [questions[0], *(at + 1 for at in questions[-2:-1]), questions[-1], questions[-1] + 1] if questions else []
        lengths = []
        for end in ends:
            # A conversation of nothing but instructions is refused by many templates, so a question stands in for the first one.
            head = messages[:end] if end and messages[end - 1]["role"] == "user" else [*messages[:end], {"role": "user", "content": "?"}]
            try:
                shorter = self._encode(head, options, generation=False)
            except _FAILURES:
                continue
            lengths.append(agreeing(shorter, tokens))
        return tuple(length for length in dict.fromkeys(lengths) if 0 < length < len(tokens))

    def _encode(self, messages: Messages, options: dict[str, Any], *, continued: bool = False, generation: bool = True) -> list[int]:
        guard = _Guard(self._tokens, self.pieces)
        guarded = guard.cover(messages)
        covered = options | ({"tools": guard.cover(options["tools"])} if "tools" in options else {})
        if continued:
            covered["continue_final_message"] = True
        covered["add_generation_prompt"] = generation and not continued
        try:
            text = within(self._limit_s, lambda: self._tokenizer.apply_chat_template(guarded, tokenize=False, **covered))
        except DeadlineExceeded as error:
            raise InvalidRequest(
                f"The model's chat template ran longer than {self._limit_s:g} seconds.", hint="Choose another model.", param="messages"
            ) from error
        if not isinstance(text, str) or len(text) > MAX_TEXT_CHARACTERS:
            raise InvalidRequest("The model's chat template renders far too much.", hint="Choose another model.", param="messages")
        return guard.encode(text)


class _Guard:
    """Stands nonces in for control tokens' names in one rendering."""

    def __init__(self, tokens: Tokens, pieces: Pieces) -> None:
        self._tokens = tokens
        self._pieces = pieces
        self._nonce = f"Q{secrets.token_hex(8)}Q"
        self._names: list[str] = []

    def cover(self, value: Any) -> Any:
        """The value with every text in it guarded."""
        if isinstance(value, str):
            return self._cover_text(value)
        if isinstance(value, dict):
            return {self._cover_text(str(key)): self.cover(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.cover(inner) for inner in value]
        return value

    def encode(self, text: str) -> list[int]:
        """The rendered text's tokens: the template's markup as markup, guarded names as text."""
        ids: list[int] = []
        for at, piece in enumerate(re.split(rf"{self._nonce}(\d+)Q", text)):
            if piece:
                ids += self._tokens.encode_text(self._names[int(piece)]) if at % 2 else self._pieces.encode(piece)
        return ids

    def _cover_text(self, text: str) -> str:
        covered: list[str] = []
        at = 0
        for start, end in self._tokens.names_control(text):
            covered += [text[at:start], f"{self._nonce}{len(self._names)}Q"]
            self._names.append(text[start:end])
            at = end
        return "".join([*covered, text[at:]]) if covered else text
