"""Prompt formats of models without Harmony: by their own chat template, or without any. Owns their defaults."""

from functools import partial

from mlx_harmony.errors import InvalidRequest
from mlx_harmony.records import ChatPrompt, Format, Prompt
from mlx_harmony.worker.chat import check_chat, refuse_roles
from mlx_harmony.worker.formats import FormatDefaults, Rendered, TurnParser
from mlx_harmony.worker.places import SYSTEM, Span, names_of, place_in
from mlx_harmony.worker.plain import PlainParser, encode_plain_prompt
from mlx_harmony.worker.templates.lines import Lines
from mlx_harmony.worker.templates.messages import tool_schemas
from mlx_harmony.worker.templates.parser import TemplateParser
from mlx_harmony.worker.templates.render import TemplateRenderer
from mlx_harmony.worker.tokens import Tokens

DEFAULTS = FormatDefaults(max_tokens=512, repetition_penalty=0.0, repetition_context_size=20)
_REMEMBERED_PROMPTS = 16


class _TokenizerFormat:
    """What a format takes from the tokenizer alone."""

    name: Format
    defaults: FormatDefaults = DEFAULTS

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens

    @property
    def stop_tokens(self) -> frozenset[int]:
        return frozenset(self.tokens.tokenizer.eos_token_ids)


class TemplateFormat(_TokenizerFormat):
    """Talks to a model through its chat template."""

    name = "template"

    def __init__(self, tokens: Tokens) -> None:
        super().__init__(tokens)
        self._renderer = TemplateRenderer(tokens)
        tag = tokens.tokenizer.think_end
        self._answer_now = tokens.encode_markup(tag) if tag else None
        self._thinking: dict[int, tuple[ChatPrompt, bool]] = {}

    def render(self, prompt: Prompt) -> Rendered:
        """The prompt's tokens. Raises InvalidRequest where the template refuses it."""
        if not isinstance(prompt, ChatPrompt):
            return Rendered(encode_plain_prompt(self.tokens, prompt))
        check_chat(prompt)
        refuse_roles(prompt, "has a chat template, which says who speaks")
        known = self._renderer.pieces.memo.misses
        tokens, boundaries = self._renderer.render(prompt)
        while len(self._thinking) >= _REMEMBERED_PROMPTS:
            del self._thinking[next(iter(self._thinking))]
        self._thinking[id(prompt)] = (prompt, self._opens_thinking(tokens))
        place = partial(self._renderer.place, prompt, tokens)
        return Rendered(tokens, boundaries, tokenised=self._renderer.pieces.memo.misses - known, place=place)

    def parser(self, prompt: Prompt, ends: frozenset[int] = frozenset()) -> TurnParser:
        """The parser for this prompt's answer; it begins in thought where the rendered prompt ends in it."""
        if not isinstance(prompt, ChatPrompt):
            return PlainParser(self.tokens)
        if id(prompt) not in self._thinking:
            self.render(prompt)
        thinking = self._thinking[id(prompt)][1]
        return TemplateParser(self.tokens, self.stop_tokens | ends, tool_schemas(prompt.tools), thinking=thinking)

    def answer_now(self) -> list[int] | None:
        return list(self._answer_now) if self._answer_now else None

    def _opens_thinking(self, tokens: list[int]) -> bool:
        tokenizer = self.tokens.tokenizer
        return bool(tokenizer.has_thinking) and tokenizer.rfind_think_start(tokens) > tokenizer.rfind_think_end(tokens)


class RawFormat(_TokenizerFormat):
    """Talks to a model that has no template: every message as a line `role: text`, or as a role mapping has it."""

    name = "raw"

    def render(self, prompt: Prompt) -> Rendered:
        """The prompt's tokens; boundaries after each message's line."""
        if not isinstance(prompt, ChatPrompt):
            return Rendered(encode_plain_prompt(self.tokens, prompt))
        check_chat(prompt)
        if prompt.tools:
            raise InvalidRequest(
                "This model has no chat template and takes no tools.", hint="Send the request without tools.", param="tools"
            )
        last = prompt.messages[-1]
        opened = last.content if prompt.continue_last else None
        lines = Lines(self.tokens, prompt.roles)
        tokens = self.tokens.encode_markup("", special=True)
        boundaries, spans = [], []  # type: list[int], list[Span]
        if prompt.identity:
            tokens += lines.line("system", prompt.identity)
            spans.append(Span(len(tokens), SYSTEM))
        elif not any(message.role in ("system", "developer") for message in prompt.messages) and (first := lines.first()):
            tokens += first
            spans.append(Span(len(tokens), SYSTEM))
        said = prompt.messages if opened is None else prompt.messages[:-1]
        for message, name in zip(said, names_of(said), strict=True):
            tokens += lines.line(message.role, message.content)
            boundaries.append(len(tokens))
            spans.append(Span(len(tokens), name))
        tokens += lines.opened(opened)
        return Rendered(tokens, tuple(boundaries), place=partial(place_in, spans))

    def parser(self, prompt: Prompt, ends: frozenset[int] = frozenset()) -> TurnParser:
        """One final message; a chat's answer ends where the model begins the user's next line."""
        return PlainParser(self.tokens, stops=Lines(self.tokens, prompt.roles).stops if isinstance(prompt, ChatPrompt) else ())

    def answer_now(self) -> None:
        return None
