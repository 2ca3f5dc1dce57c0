"""Harmony's tokens (o200k_harmony) in another tokenizer's terms: control tokens one to one, text by the model's own tokenizer.

One codec for every model that speaks Harmony, gpt-oss and the Starter alike. Knows nothing of conversations.
"""

import secrets

import openai_harmony as harmony

from mlx_harmony.errors import LoadFailed
from mlx_harmony.models.kind import HARMONY_TOKENS
from mlx_harmony.worker.tokens import Tokens

STOP_NAMES = ("<|return|>", "<|call|>", "<|endoftext|>")
SPECIAL_IDS = {
    "<|endoftext|>": 199999,
    "<|return|>": 200002,
    "<|constrain|>": 200003,
    "<|channel|>": 200005,
    "<|start|>": 200006,
    "<|end|>": 200007,
    "<|message|>": 200008,
    "<|call|>": 200012,
}
LONG_TEXT_CHARACTERS = 2000
_TEXT_FIELDS: dict[type, str] = {
    harmony.TextContent: "text",
    harmony.SystemContent: "model_identity",
    harmony.DeveloperContent: "instructions",
}
_NAMES = {token: name for name, token in SPECIAL_IDS.items()}
_PROBE = "Hello, world! 417 × 36 = 15012;\n\tdef f(x): return x  # naïve 😀 日本語"


class Codec:
    """Translates what openai-harmony renders into the model's tokens. Raises LoadFailed if the tokenizer lacks a control token."""

    def __init__(self, encoding: harmony.HarmonyEncoding, tokens: Tokens) -> None:
        missing = sorted(HARMONY_TOKENS - tokens.control_ids.keys())
        if missing:
            raise LoadFailed(
                f"The model's tokenizer has no {', '.join(missing)}, which Harmony needs.",
                hint="Download the model's tokenizer files again.",
            )
        self._encoding = encoding
        self._tokens = tokens
        self.ids: dict[str, int] = {name: tokens.control_ids[name] for name in SPECIAL_IDS if name in tokens.control_ids}
        self.native = self.ids == SPECIAL_IDS and tokens.encode_text(_PROBE) == encoding.encode(_PROBE)

    @property
    def stop_tokens(self) -> frozenset[int]:
        """What ends generation: return, call and end of text, never end."""
        return frozenset(self.ids[name] for name in STOP_NAMES if name in self.ids)

    def render(self, message: harmony.Message, options: harmony.RenderOptions) -> list[int]:
        """The message in the model's tokens. Raises what openai-harmony raises.

        Its tokenizer takes quadratic time on a long run without spaces, so short marks stand in for long texts while it renders.
        """
        long_texts: dict[str, str] = {}
        for content in message.content:
            field = _TEXT_FIELDS.get(type(content))
            text = getattr(content, field) if field else None
            if field and text and len(text) > LONG_TEXT_CHARACTERS:
                mark = f"Q{secrets.token_hex(8)}Q"
                long_texts[mark] = text
                setattr(content, field, mark)
        return self.translate(self._encoding.render(message, options), long_texts)

    def translate(self, rendered: list[int], long_texts: dict[str, str] | None = None) -> list[int]:
        """o200k_harmony tokens as the model's own; `long_texts` are put back where their marks stand."""
        if self.native and not long_texts:
            return rendered
        translated: list[int] = []
        start = 0
        for at, token in enumerate([*rendered, None]):
            if token is None or token in _NAMES:
                translated += self._text(rendered[start:at], long_texts or {})
                translated += self._control(_NAMES[token]) if token is not None else []
                start = at + 1
        return translated

    def _control(self, name: str) -> list[int]:
        return [self.ids[name]] if name in self.ids else self._tokens.encode_text(name)

    def _text(self, tokens: list[int], long_texts: dict[str, str]) -> list[int]:
        text = self._encoding.decode(tokens)
        for mark, long_text in long_texts.items():
            text = text.replace(mark, long_text)
        return self._tokens.encode_text(text) if text else []
