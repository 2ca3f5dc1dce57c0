"""A model's tokens as bytes, and text as its tokens. Owns which tokens are control tokens, and that typed text never becomes one.

Works for Hugging Face tokenizers of every decoder kind. Knows nothing of prompts, channels or mlx.
"""

import itertools
import re
from collections.abc import Iterable
from functools import cached_property
from typing import Any

from mlx_harmony.worker.bytelevel import bytes_of

_MARKUP = re.compile(r"[<\[|{].+[>\]|}]", re.DOTALL)
_BYTE_PIECE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class Tokens:
    """The tokenizer as the formats need it. `tokenizer` is mlx-lm's TokenizerWrapper or a transformers tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self._backend = getattr(tokenizer, "backend_tokenizer", None)
        self._pieces: dict[int, bytes] = {}
        added = tokenizer.added_tokens_decoder.items()
        self._added: dict[int, str] = {token: entry.content for token, entry in added}
        self.control: dict[int, str] = {token: entry.content for token, entry in added if entry.special or _MARKUP.fullmatch(entry.content)}
        self.control_ids: dict[str, int] = {text: token for token, text in self.control.items()}
        decoder = self._backend.decoder if self._backend is not None else None
        self._decoder_kinds = decoder.__getstate__().decode("utf-8", "replace") if decoder is not None else ""

    @property
    def is_byte_level(self) -> bool:
        """Whether text is cut into bytes' letters, so that what stands before a piece does not change it."""
        return '"ByteLevel"' in self._decoder_kinds

    def piece(self, token: int) -> bytes:
        """The bytes a token stands for; a control token's are its name."""
        known = self._pieces.get(token)
        if known is None:
            known = self._pieces[token] = self._piece(token)
        return known

    def text_of(self, tokens: Iterable[int]) -> str:
        """Tokens as text, control tokens by name."""
        return b"".join(self.piece(token) for token in tokens).decode("utf-8", "replace")

    def encode_markup(self, text: str, *, special: bool = False) -> list[int]:
        """Tokens of our own text, control tokens by their names; `special` adds what the tokenizer puts round every text."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=special)
        return ids

    def encode_text(self, text: str) -> list[int]:
        """Tokens of somebody's text: a control token's name in it stays text."""
        if self._names is None or not self._names.search(text):
            return self.encode_markup(text)
        ids = self._encode_unspecial(text)
        if not any(token in self.control for token in ids):
            return ids
        # An added token that is not marked special is matched all the same, so its name is cut after the first letter.
        cuts = [0, *(match.start() + 1 for match in self._names.finditer(text)), len(text)]
        pieces = (text[start:end] for start, end in itertools.pairwise(cuts))
        return [token for piece in pieces if piece for token in self._encode_unspecial(piece)]

    def names_control(self, text: str) -> list[tuple[int, int]]:
        """Where control tokens' names stand in a text, as (start, end)."""
        return [match.span() for match in self._names.finditer(text)] if self._names is not None else []

    @cached_property
    def _names(self) -> re.Pattern[str] | None:
        names = sorted((name for name in self.control_ids if len(name) > 1), key=len, reverse=True)
        return re.compile("|".join(re.escape(name) for name in names)) if names else None

    def _encode_unspecial(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        return ids

    def _piece(self, token: int) -> bytes:
        if token in self._added:
            return self._added[token].encode("utf-8", "replace")
        letters = self.tokenizer.convert_ids_to_tokens(token)
        if not isinstance(letters, str):
            return b""
        if self.is_byte_level:
            return bytes_of(letters)
        if byte := _BYTE_PIECE.fullmatch(letters):
            return bytes([int(byte[1], 16)])
        if "▁" in self._decoder_kinds or '"Metaspace"' in self._decoder_kinds:
            return letters.replace("▁", " ").encode("utf-8", "replace")
        return str(self.tokenizer.decode([token])).encode("utf-8", "replace")
