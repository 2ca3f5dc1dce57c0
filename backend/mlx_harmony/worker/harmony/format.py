"""The Harmony prompt format: renders prompts for one model and makes its parsers. Owns the defaults and the boundaries of a prompt."""

from functools import cache, partial

import msgspec
import openai_harmony as harmony

from mlx_harmony.errors import InvalidRequest
from mlx_harmony.records import Channel, ChatPrompt, Format, Message, Prompt, TextPrompt, TokenPrompt
from mlx_harmony.worker.chat import check_chat, refuse_roles
from mlx_harmony.worker.formats import FormatDefaults, Rendered, TurnParser
from mlx_harmony.worker.harmony.codec import Codec
from mlx_harmony.worker.harmony.history import developer_message, has_functions, system_message, turns
from mlx_harmony.worker.harmony.parser import HarmonyParser
from mlx_harmony.worker.harmony.routing import function_names
from mlx_harmony.worker.memo import TokenMemo
from mlx_harmony.worker.places import DEVELOPER, SYSTEM, TOOLS, Span, agreeing, names_of, place_in
from mlx_harmony.worker.plain import PlainParser, encode_plain_prompt
from mlx_harmony.worker.tokens import Tokens

DEFAULTS = FormatDefaults(max_tokens=1024, repetition_penalty=1.05, repetition_context_size=256, stop=("<|endoftext|>",))
_ASSISTANT = "<|start|>assistant"
_ANSWER_NOW = f"<|end|>{_ASSISTANT}<|channel|>final<|message|>"


@cache
def load_encoding() -> harmony.HarmonyEncoding:
    """openai-harmony's encoding; TIKTOKEN_ENCODINGS_BASE must name the vocabulary's folder by now."""
    return harmony.load_harmony_encoding(harmony.HarmonyEncodingName.HARMONY_GPT_OSS)


class HarmonyFormat:
    """Talks Harmony with one model, whatever its tokenizer. `encoding` is openai-harmony's, `tokens` the model's."""

    def __init__(self, encoding: harmony.HarmonyEncoding, tokens: Tokens) -> None:
        self.tokens = tokens
        self._codec = Codec(encoding, tokens)
        self._memo = TokenMemo()
        self._answer_now = tokens.encode_markup(_ANSWER_NOW)

    @property
    def name(self) -> Format:
        return "harmony"

    @property
    def stop_tokens(self) -> frozenset[int]:
        return self._codec.stop_tokens

    @property
    def defaults(self) -> FormatDefaults:
        return DEFAULTS

    def answer_now(self) -> list[int]:
        return list(self._answer_now)

    def render(self, prompt: Prompt) -> Rendered:
        """The prompt's tokens. Boundaries: in and after the system block, each user message, and the last message before the answer."""
        if isinstance(prompt, ChatPrompt):
            return self._render_chat(prompt)
        return Rendered(encode_plain_prompt(self.tokens, prompt))

    def parser(self, prompt: Prompt, ends: frozenset[int] = frozenset()) -> TurnParser:
        """The parser for this prompt's answer; raw prompts that open an assistant's turn are answered in Harmony too."""
        match prompt:
            case ChatPrompt():
                _, opened = _opened(prompt)
                return HarmonyParser(self.tokens, function_names(prompt.tools), opened[0] if opened else None, ends)
            case TextPrompt():
                harmonious = prompt.text.endswith(_ASSISTANT)
            case TokenPrompt():
                opening = tuple(self.tokens.encode_markup(_ASSISTANT))
                harmonious = prompt.tokens[-len(opening) :] == opening
        return HarmonyParser(self.tokens, frozenset(), None, ends) if harmonious else PlainParser(self.tokens)

    def _render_chat(self, prompt: ChatPrompt) -> Rendered:
        check_chat(prompt)
        refuse_roles(prompt, "speaks Harmony, whose roles have fixed names")
        parts = [0] * len(prompt.messages)
        known = self._memo.misses
        prompt, opened = _opened(prompt)
        functions = has_functions(prompt)
        tokens = self._encode([system_message(prompt)], functions)
        spans = [Span(len(tokens), SYSTEM)]
        if developer := developer_message(prompt):
            instructions = self._encode([developer], functions)
            spans += [Span(len(tokens) + self._told(prompt, instructions), DEVELOPER), Span(len(tokens) + len(instructions), TOOLS)]
            tokens += instructions
            for at in (at for at, message in enumerate(prompt.messages) if message.role in ("system", "developer")):
                parts[at] = len(instructions)
                break
        boundaries = [self._agreed_on(prompt, tokens, functions), len(tokens)]
        last, names = "user", names_of(prompt.messages)
        places = (at for at, message in enumerate(prompt.messages) if message.role not in ("system", "developer"))
        for at, (message, written) in zip(places, turns(prompt), strict=True):
            if message.role == "user":
                boundaries.append(len(tokens))
            encoded = self._encode(written, functions)
            tokens += encoded
            parts[at] = len(encoded)
            spans.append(Span(len(tokens), names[at]))
            last = message.role
            if last == "user":
                boundaries.append(len(tokens))
        if last == "tool":
            boundaries.append(len(tokens))
        tokens += self.tokens.encode_markup(_ASSISTANT)
        if opened:
            channel, text = opened
            going_on = self.tokens.encode_markup(f"<|channel|>{channel}<|message|>") + self.tokens.encode_text(text)
            tokens += going_on
            parts[-1] += len(going_on)
        tokenised, place = self._memo.misses - known, partial(place_in, spans)
        return Rendered(tokens, tuple(dict.fromkeys(boundaries)), tuple(parts), tokenised, place)

    def _agreed_on(self, prompt: ChatPrompt, tokens: list[int], functions: bool) -> int:
        """How far the system message is the same with and without functions: there chats with tools and without them part."""
        return agreeing(tokens, self._encode([system_message(prompt)], not functions))

    def _told(self, prompt: ChatPrompt, instructions: list[int]) -> int:
        """How many tokens of the developer message come before the declarations of tools."""
        if not has_functions(prompt):
            return len(instructions)
        alone = developer_message(msgspec.structs.replace(prompt, tools=()))
        return agreeing(instructions, self._encode([alone], functions=True)) if alone else 0

    def _encode(self, messages: list[harmony.Message], functions: bool) -> list[int]:
        options = harmony.RenderOptions(conversation_has_function_tools=functions)
        tokens: list[int] = []
        try:
            for message in messages:
                known = f"{functions}{message.to_json()}"
                tokens += self._memo.tokens(known, lambda message=message: self._codec.render(message, options))  # type: ignore[misc]
            return tokens
        except (ValueError, RecursionError, harmony.HarmonyError) as error:
            raise InvalidRequest(
                f"Harmony cannot write this conversation: {error}.", hint="Look at the tools' schemas and names.", param="tools"
            ) from error


def _opened(prompt: ChatPrompt) -> tuple[ChatPrompt, tuple[Channel, str] | None]:
    """A prompt to be continued: what stands before, and the channel and text that stay open. None where nothing is open."""
    if not prompt.continue_last:
        return prompt, None
    *others, last = prompt.messages
    before = tuple(others)
    if last.content:
        thinking = (Message(role="assistant", reasoning=last.reasoning),) if last.reasoning else ()
        return msgspec.structs.replace(prompt, messages=before + thinking, continue_last=False), ("final", last.content)
    return msgspec.structs.replace(prompt, messages=before, continue_last=False), (("analysis", last.reasoning) if last.reasoning else None)
