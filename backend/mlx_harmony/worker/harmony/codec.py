"""Harmony's tokens (o200k_harmony) in another tokenizer's terms: control tokens one to one, text by the model's own tokenizer.

One codec for every model that speaks Harmony, gpt-oss and the Starter alike. Knows nothing of conversations.
"""

from openai_harmony import HarmonyEncoding

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
_NAMES = {token: name for name, token in SPECIAL_IDS.items()}
_PROBE = "Hello, world! 417 × 36 = 15012;\n\tdef f(x): return x  # naïve 😀 日本語"


class Codec:
    """Translates what openai-harmony renders into the model's tokens. Raises LoadFailed if the tokenizer lacks a control token."""

    def __init__(self, encoding: HarmonyEncoding, tokens: Tokens) -> None:
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

    def translate(self, rendered: list[int]) -> list[int]:
        """o200k_harmony tokens as the model's own."""
        if self.native:
            return rendered
        translated: list[int] = []
        start = 0
        for at, token in enumerate(rendered):
            if token in _NAMES:
                translated += self._text(rendered[start:at])
                translated += self._control(_NAMES[token])
                start = at + 1
        return translated + self._text(rendered[start:])

    def _control(self, name: str) -> list[int]:
        return [self.ids[name]] if name in self.ids else self._tokens.encode_text(name)

    def _text(self, tokens: list[int]) -> list[int]:
        return self._tokens.encode_text(self._encoding.decode(tokens)) if tokens else []
